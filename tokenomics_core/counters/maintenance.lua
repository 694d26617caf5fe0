-- What people ask, and repair.

local function scan(key, cursor, prefix)
  local pattern = string.gsub(prefix, '[%*%?%[%]%\\]', '\\%0') .. '*'
  return unpack(call('HSCAN', key, cursor, 'MATCH', pattern, 'COUNT', 500))
end

-- The fields that begin with prefix, each once.
local function fields_of(key, prefix)
  local fields, seen, cursor = {}, {}, '0'
  repeat
    local page
    cursor, page = scan(key, cursor, prefix)
    for i = 1, #page, 2 do
      if not seen[page[i]] then
        seen[page[i]] = true
        table.insert(fields, page[i])
      end
    end
  until cursor == '0'
  return fields
end

local function set_used(counter, settled, now)
  counter.settled = settled
  if counter.window.kind == 'sliding' then
    counter.buckets = settled > 0 and { now, now, settled } or {}
  elseif counter.window.kind == 'fixed' then
    counter.since = settled > 0 and now or 0
  end
end

-- Who settles late takes nothing back from a counter that was set anew since the lease was charged.
local function uncharge(keys)
  local set = {}
  for _, key in ipairs(keys) do set[key] = true end
  local all = call('HGETALL', LEASES)
  for i = 1, #all, 2 do
    local lease = unpacked(all[i + 1])
    if lease.charged ~= 0 then
      local holds = {}
      for _, hold in ipairs(lease.holds) do
        if not set[hold.key] then table.insert(holds, hold) end
      end
      if #holds < #lease.holds then
        lease.holds = holds
        call('HSET', LEASES, all[i], pack(lease))
      end
    end
  end
end

-- A page of the counters: there may be many. The cursor of the next comes first; 0 is the end. To look
-- changes nothing: leases that expired are charged in what is shown alone.
function questions.usage(about)
  local now = about.now
  for _, id in ipairs(call('ZRANGEBYSCORE', EXPIRY, '-inf', now)) do
    local lease = lease_of(id)
    if lease and lease.charged == 0 then charge_lease(lease, now) end
  end
  local cursor, page = scan(COUNTERS, about.cursor, about.prefix)
  local used = {}
  for i = 1, #page, 2 do
    local counter = counters[page[i]] or load_counter(page[i + 1])
    local window = counter.window
    roll(counter, window, now)
    local over = window.kind == 'calendar' and window['end'] <= now
    table.insert(used, {
      page[i], counter.unit, window.kind, window.length, window.start, window['end'],
      over and 0 or counter.settled, counter.reserved, counter.override or false,
    })
  end
  counters = {}
  return { cursor, used }
end

function questions.set_limit(about)
  read_counters({ about.key })
  local counter = counters[about.key]
  if not counter then
    counter = new_counter(about.unit, about.window)
    counters[about.key] = counter
  end
  counter.override = given(about.limit)
  return true
end

function questions.put(about)
  expire(about.now)
  set_used(counter_of(about.key, about.unit, about.window, about.now), about.settled, about.now)
  uncharge({ about.key })
  return true
end

function questions.reset(about)
  local now = about.now
  expire(now)
  write_counters()
  local keys, count = fields_of(COUNTERS, about.prefix), 0
  for i = 1, #keys, 1000 do read_counters({ unpack(keys, i, min(i + 999, #keys)) }) end
  for _, key in ipairs(keys) do
    local counter = counters[key]
    roll(counter, counter.window, now)
    if counter.settled > 0 then count = count + 1 end
    set_used(counter, 0, now)
  end
  uncharge(keys)
  return count
end

function questions.forget(about)
  local keys = fields_of(COUNTERS, about.prefix)
  if about.prefix == '' then
    call('DEL', unpack(KEYS))
    return #keys
  end
  for _, key in ipairs(keys) do
    call('HDEL', COUNTERS, key)
    call('ZREM', STALE, 'c:' .. key)
  end
  for _, key in ipairs(fields_of(GATES, about.prefix)) do call('HDEL', GATES, key) end
  for _, session in ipairs(fields_of(WATCHED, about.prefix)) do
    call('HDEL', WATCHED, session)
    call('ZREM', STALE, 'w:' .. session)
  end
  return #keys
end

function questions.freeze(freeze)
  call('HSET', GATES, freeze.key, pack({ given(freeze['until']) or 0, freeze.reason }))
  return true
end

function questions.thaw(about)
  local blob = call('HGET', WATCHED, about.key)
  if blob then calm(about.key, unpacked(blob)) end
  return call('HDEL', GATES, about.key)
end

function questions.frozen(about)
  local all, frozen = call('HGETALL', GATES), {}
  for i = 1, #all, 2 do
    local gate = unpacked(all[i + 1])
    if gate[1] == 0 or gate[1] > about.now then
      table.insert(frozen, { all[i], gate[1], gate[2] })
    end
  end
  return frozen
end

function questions.history(about)
  local blob, all = call('HGET', WATCHED, about.session), {}
  for _, each in ipairs(blob and unpacked(blob).history or {}) do
    local seen = unpacked(each)
    if seen[1] > about.now - HISTORY_KEPT then table.insert(all, seen) end
  end
  return all
end

-- Here the script begins.

local about = cjson.decode(ARGV[2])
local reply = questions[ARGV[1]](about)
write_counters()
return reply
