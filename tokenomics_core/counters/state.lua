-- What Redis keeps of one token, and how windows and leases change it. state.lua, question.lua and
-- maintenance.lua are one script that does what the Python files of these names do: one call is one question,
-- and nothing comes between.
--
-- ARGV: the name of the question, and the question as JSON with the names of question.py.
-- KEYS, all of one token and of one hash tag, so that they lie on one node of a cluster:
--   counters  hash: key -> counter          leases  hash: id -> lease
--   gates     hash: key -> {until, reason}  expiry  zset: id of a lease, by when it is charged, then dropped
--   watched   hash: session -> watched      stale   zset: what can be dropped one day, by when to look at it
-- Values are MessagePack, which keeps whole numbers below 2^53 exact; so do replies, and JSON that is read.

local COUNTERS, LEASES, EXPIRY, GATES, WATCHED, STALE = unpack(KEYS)
local GRAINS, HISTORY = 128, 100
local HOUR = 3600 * 1000
local DAY = 24 * HOUR
local HISTORY_KEPT, KEPT = HOUR, DAY
local WITHDRAWN_KEPT = 600 * 1000

local call, pack, unpacked = redis.call, cmsgpack.pack, cmsgpack.unpack
local floor, max, min = math.floor, math.max, math.min
local null = cjson.null

local function given(value)
  if value == null then return nil end
  return value
end

-- Counters, read once and written once. buckets: of a sliding window, first, last and amount of each, all in
-- one row: a table for each of them would cost more than the rest of the question.

local counters, read = {}, {}

local function load_counter(blob)
  local flat = unpacked(blob)
  local counter = {
    unit = flat[1],
    window = { kind = flat[2], length = flat[3], start = flat[4], ['end'] = flat[5] },
    since = flat[6], settled = flat[7], reserved = flat[8], override = flat[9] or nil, look = flat[10],
    buckets = {},
  }
  for i = 11, #flat do counter.buckets[i - 10] = flat[i] end
  return counter
end

local function pack_counter(counter)
  local window = counter.window
  local flat = {
    counter.unit, window.kind, window.length, window.start, window['end'],
    counter.since, counter.settled, counter.reserved, counter.override or false, counter.look,
  }
  for i, number in ipairs(counter.buckets) do flat[10 + i] = number end
  return pack(flat)
end

local function read_counters(keys)
  local missing = {}
  for _, key in ipairs(keys) do
    if read[key] == nil then
      read[key] = false
      table.insert(missing, key)
    end
  end
  if #missing == 0 then return end
  local blobs = call('HMGET', COUNTERS, unpack(missing))
  for i, key in ipairs(missing) do
    if blobs[i] then
      read[key] = blobs[i]
      counters[key] = load_counter(blobs[i])
    end
  end
end

-- When the counter tells nothing any more; nil for one that counts for ever.
local function over_at(counter)
  local window, last = counter.window, counter.buckets[#counter.buckets - 1]
  if window.kind == 'calendar' then return window['end'] end
  if window.kind == 'fixed' then return counter.since + window.length end
  if window.kind == 'sliding' then return last and last + window.length or 0 end
  return nil
end

local function write_counters()
  local fields = {}
  local looks = {}
  for key, counter in pairs(counters) do
    local nothing = counter.settled == 0 and counter.reserved == 0 and not counter.override
    if read[key] or not nothing then
      local over = over_at(counter)
      -- An entry that is too early does no harm, so it is moved rarely.
      if over and over + DAY > counter.look + HOUR then
        counter.look = over + DAY
        table.insert(looks, counter.look)
        table.insert(looks, 'c:' .. key)
      end
      local blob = pack_counter(counter)
      if blob ~= read[key] then
        read[key] = blob
        table.insert(fields, key)
        table.insert(fields, blob)
      end
    end
  end
  for i = 1, #fields, 1000 do
    call('HSET', COUNTERS, unpack(fields, i, min(i + 999, #fields)))
  end
  for i = 1, #looks, 1000 do
    call('ZADD', STALE, unpack(looks, i, min(i + 999, #looks)))
  end
end

-- Windows.

local function roll(counter, window, now)
  local old = counter.window
  if old.kind ~= window.kind or old.length ~= window.length then
    counter.since, counter.buckets = window.start, {}
    if window.kind ~= 'total' then counter.settled = 0 end
  end
  if window.kind == 'calendar' then
    -- A process whose clock is behind does not bring the old period back.
    if window.start <= counter.since and old.kind == 'calendar' then
      window = old
    else
      counter.since, counter.settled = window.start, 0
    end
  elseif window.kind == 'fixed' then
    if counter.since ~= 0 and now >= counter.since + window.length then
      counter.since, counter.settled = 0, 0
    end
  elseif window.kind == 'sliding' then
    -- They leave in the order in which they came; most of the time none does.
    local buckets, gone = counter.buckets, 0
    while gone < #buckets and buckets[gone + 2] <= now - window.length do
      counter.settled = counter.settled - buckets[gone + 3]
      gone = gone + 3
    end
    if gone > 0 then
      counter.buckets = {}
      for i = gone + 1, #buckets do counter.buckets[i - gone] = buckets[i] end
    end
  end
  counter.window = window
end

local function new_counter(unit, window)
  return {
    unit = unit, window = window, since = window.start, settled = 0, reserved = 0, look = 0, buckets = {},
  }
end

local function counter_of(key, unit, window, now)
  read_counters({ key })
  local counter = counters[key]
  if not counter then
    counter = new_counter(unit, window)
    counters[key] = counter
  end
  roll(counter, window, now)
  return counter
end

local function add(counter, now, amount)
  if amount <= 0 then return end
  counter.settled = counter.settled + amount
  if counter.window.kind == 'sliding' then
    local buckets, n = counter.buckets, #counter.buckets
    if n > 0 and now - buckets[n - 2] < floor(counter.window.length / GRAINS) then
      buckets[n - 1] = max(buckets[n - 1], now)
      buckets[n] = buckets[n] + amount
    else
      buckets[n + 1], buckets[n + 2], buckets[n + 3] = now, now, amount
    end
  elseif counter.window.kind == 'fixed' and counter.since == 0 then
    counter.since = now
  end
end

local function take_back(counter, at, amount)
  if counter.window.kind == 'sliding' then
    local buckets = counter.buckets
    for i = 1, #buckets, 3 do
      if buckets[i + 1] >= at then
        if buckets[i] <= at then
          amount = min(amount, buckets[i + 2])
          buckets[i + 2] = buckets[i + 2] - amount
          counter.settled = counter.settled - amount
        end
        return
      end
    end
  elseif at >= counter.since and (counter.since ~= 0 or counter.window.kind ~= 'fixed') then
    counter.settled = max(0, counter.settled - amount)
  end
end

local function resets_at(counter)
  local window, last = counter.window, counter.buckets[#counter.buckets - 1]
  if window.kind == 'calendar' then return window['end'] end
  if window.kind == 'fixed' and counter.since ~= 0 then return counter.since + window.length end
  if window.kind == 'sliding' and last then return last + window.length end
  return nil
end

-- When no more than fits will be used, if nobody uses anything until then.
local function fits_at(counter, fits, now)
  if fits < 0 then return nil end
  if counter.settled <= fits then return now end
  if counter.window.kind ~= 'sliding' then return resets_at(counter) end
  local used = counter.settled
  local buckets = counter.buckets
  for i = 1, #buckets, 3 do
    used = used - buckets[i + 2]
    if used <= fits then return buckets[i + 1] + counter.window.length end
  end
  return nil
end

-- Leases. charged: when it was, as it expired; 0 for not. withdrawn: nobody took it; it holds nothing.

local function lease_of(id)
  local blob = call('HGET', LEASES, id)
  return blob and unpacked(blob) or nil
end

local function keep_lease(id, lease, due)
  call('HSET', LEASES, id, pack(lease))
  call('ZADD', EXPIRY, due, id)
end

local function drop_lease(id)
  call('HDEL', LEASES, id)
  call('ZREM', EXPIRY, id)
end

local function reserved_by(lease)
  local reserved = {}
  for i, hold in ipairs(lease.holds) do reserved[i] = { hold.key, hold.amount } end
  return reserved
end

local function charge(hold)
  if hold.unit == 'requests' or hold.unit == 'parallel' then return 0 end
  return math.max(hold.amount, hold.progress or 0)
end

local function charge_lease(lease, now)
  lease.charged = now
  for _, hold in ipairs(lease.holds) do
    local counter = counter_of(hold.key, hold.unit, hold.window, now)
    counter.reserved = max(0, counter.reserved - hold.amount)
    add(counter, now, charge(hold))
  end
end

local function expire(now, but)
  for _, id in ipairs(call('ZRANGEBYSCORE', EXPIRY, '-inf', now)) do
    local lease = id ~= but and lease_of(id)
    if lease and lease.charged == 0 then
      charge_lease(lease, now)
      keep_lease(id, lease, lease.expires + KEPT)
    elseif id ~= but then
      drop_lease(id)
    end
  end
end

-- What nobody can tell from nothing any more is dropped, a few at a time.
local function sweep(now)
  for _, member in ipairs(call('ZRANGEBYSCORE', STALE, '-inf', now, 'LIMIT', 0, 20)) do
    local kind, key = string.sub(member, 1, 2), string.sub(member, 3)
    if kind == 'w:' then
      call('HDEL', WATCHED, key)
      call('ZREM', STALE, member)
    else
      read_counters({ key })
      local counter = counters[key]
      local over = counter and over_at(counter)
      if not over then
        if counter then counter.look = 0 end
        call('ZREM', STALE, member)
      elseif over + DAY > now or counter.reserved > 0 or counter.override then
        counter.look = max(over, now) + DAY
        call('ZADD', STALE, counter.look, member)
      else
        call('HDEL', COUNTERS, key)
        call('ZREM', STALE, member)
        counters[key], read[key] = nil, false
      end
    end
  end
end
