-- What requests ask. Each question returns its reply; what it did to counters is written after it.

local questions = {}

-- The decision.

local function most_of(limit, counter)
  return counter.override or given(limit.limit)
end

local function standings(claims)
  local all = {}
  for _, claim in ipairs(claims) do
    local counter = counters[claim.limit.key]
    if counter then
      table.insert(all, {
        claim.limit.key, most_of(claim.limit, counter) or false, counter.settled, counter.reserved,
        resets_at(counter) or false,
      })
    end
  end
  return all
end

local function denied(why, retry_at, message, told)
  return { 'denied', why, retry_at or false, message or '', told or '' }
end

local function refused(claims, limit, counter, asked, fits, now)
  for _, claim in ipairs(claims) do
    -- Those after the one that refuses are told of in their present window, too.
    counter_of(claim.limit.key, claim.limit.unit, claim.limit.window, now)
  end
  return {
    'denied', 'limit', fits_at(counter, fits, now) or false, '', '', limit.at, counter.settled,
    counter.reserved, asked, counter.settled <= fits and 1 or 0, standings(claims),
  }
end

-- The answer that refuses; or nil, the tokens of output that fit, and how many would without the
-- reservations of others.
local function fit(claims, now, want, need, least)
  local free, left
  for _, claim in ipairs(claims) do
    local limit = claim.limit
    local counter = counter_of(limit.key, limit.unit, limit.window, now)
    local most = most_of(limit, counter)
    if most and limit.refuse then
      local used, asked = counter.settled, claim.base + claim.per_token * need
      if limit.crossing then
        if used + counter.reserved >= most then
          return refused(claims, limit, counter, asked, most - 1, now)
        end
      elseif used + counter.reserved + asked > most then
        return refused(claims, limit, counter, asked, most - asked, now)
      elseif claim.per_token ~= 0 then
        local room = most - used - claim.base
        local here = floor((room - counter.reserved) / claim.per_token)
        local there = floor(room / claim.per_token)
        free = free and min(free, here) or here
        left = left and min(left, there) or there
      end
    end
  end
  local tokens = want
  if free then
    tokens = min(want, free)
    if least ~= 0 then tokens = max(min(want, max(floor(free / 2), least), free), need) end
  end
  return nil, tokens, left
end

-- The keys; and each limit learns its place, by which a refusal names it.
local function keys_of(claims)
  local keys = {}
  for at, claim in ipairs(claims) do
    claim.limit.at = at - 1
    keys[at] = claim.limit.key
  end
  return keys
end

-- Watched sessions.

local function sliding(kept, window)
  local counter = new_counter('', window)
  counter.buckets = kept
  for i = 3, #kept, 3 do counter.settled = counter.settled + kept[i] end
  return counter
end

local function in_dollars(nano)
  -- Four decimals, rounded up, so that it is above the threshold.
  local units = floor((nano + 99999) / 100000)
  return string.format('$%.0f.%04d', floor(units / 10000), units % 10000)
end

-- Forgets what could freeze a session; its history stays.
local function calm(session, seen)
  seen.fingerprint, seen.repeats, seen.requests, seen.spend = '', 0, {}, {}
  call('HSET', WATCHED, session, pack(seen))
end

local function watch(about, now)
  local blob = call('HGET', WATCHED, about.session)
  local seen = blob and unpacked(blob)
    or {
      fingerprint = '', repeats = 0, last = 0, look = 0, window = 0, requests = {}, spend = {}, history = {},
    }
  local window = { kind = 'sliding', length = about.window, start = 0, ['end'] = 0 }
  if seen.window ~= about.window then
    seen.window, seen.requests, seen.spend = about.window, {}, {}
  end
  local requests, spend = sliding(seen.requests, window), sliding(seen.spend, window)
  roll(requests, window, now)
  roll(spend, window, now)
  add(requests, now, 1)
  add(spend, now, about.cost)
  local again = seen.fingerprint == about.fingerprint and seen.last > now - about.memory
  seen.repeats = again and seen.repeats + 1 or 0
  seen.fingerprint, seen.last = about.fingerprint, now
  -- Each is a string of its own: most of them are only carried along.
  local history = {}
  for _, each in ipairs(seen.history) do
    if #history > 0 or unpacked(each)[1] > now - HISTORY_KEPT then table.insert(history, each) end
  end
  table.insert(history, pack({ now, about.model, about.cost }))
  while #history > HISTORY do table.remove(history, 1) end
  seen.requests, seen.spend, seen.history = requests.buckets, spend.buckets, history
  local over = now + max(HISTORY_KEPT, about.window, about.memory) + HOUR
  if over > seen.look + HOUR then
    seen.look = over
    call('ZADD', STALE, over, 'w:' .. about.session)
  end
  call('HSET', WATCHED, about.session, pack(seen))

  local minute, in_minute = '/minute', ' in 1 minute'
  local reason, told
  if about.window ~= 60000 then
    in_minute = string.format(' in %g seconds', about.window / 1000)
    minute = in_minute
  end
  if about.max_requests ~= 0 and requests.settled > about.max_requests then
    reason = string.format('Exceeded rate limit: %d requests%s', requests.settled, minute)
    told = string.format('Rate limit exceeded: %d requests%s', requests.settled, in_minute)
  elseif about.max_repeats ~= 0 and seen.repeats >= about.max_repeats then
    reason = string.format('Loop detected: %d identical consecutive requests', seen.repeats + 1)
    told = string.format('Loop detected: %d identical requests', seen.repeats + 1)
  elseif about.max_spend ~= 0 and spend.settled > about.max_spend then
    reason = 'High spending velocity: ' .. in_dollars(spend.settled) .. minute
    told = reason
  else
    return nil
  end
  call('HSET', GATES, about.session, pack({ now + about.freeze, reason }))
  calm(about.session, seen)
  return denied('anomaly', now + about.freeze, reason, told)
end

-- The questions.

function questions.ask(question)
  local now = question.now
  sweep(now)
  read_counters(keys_of(question.claims))
  expire(now)
  local before = lease_of(question.id)
  if before and before.charged ~= 0 then return denied('lost') end
  if before then
    local left
    for _, claim in ipairs(question.claims) do
      local limit = claim.limit
      local counter = counter_of(limit.key, limit.unit, limit.window, now)
      local most = most_of(limit, counter)
      if most and limit.refuse and not limit.crossing and claim.per_token ~= 0 then
        local there = max(0, floor((most - counter.settled - claim.base) / claim.per_token))
        left = left and min(left, there) or there
      end
    end
    return { 'granted', before.tokens, left or false, standings(question.claims) }
  end
  if #question.gates > 0 then
    local gates = call('HMGET', GATES, unpack(question.gates))
    for i, key in ipairs(question.gates) do
      local gate = gates[i] and unpacked(gates[i])
      if gate and (gate[1] == 0 or gate[1] > now) then
        return denied('frozen', gate[1] ~= 0 and gate[1], gate[2], 'Session frozen: ' .. gate[2])
      end
      if gate then call('HDEL', GATES, key) end
    end
  end
  local found = given(question.watch) and watch(question.watch, now)
  if found then return found end
  local no, tokens, left = fit(question.claims, now, question.want, question.need, question.floor)
  if no then return no end
  local holds, held = {}, {}
  for _, claim in ipairs(question.claims) do
    local limit = claim.limit
    if not held[limit.key] then
      held[limit.key] = true
      local counter = counters[limit.key]
      local amount = claim.base + claim.per_token * tokens
      if limit.unit == 'requests' then
        add(counter, now, amount)
        amount = 0
      end
      counter.reserved = counter.reserved + amount
      table.insert(holds, { key = limit.key, unit = limit.unit, window = counter.window, amount = amount })
    end
  end
  keep_lease(
    question.id, { expires = question.expires, tokens = tokens, charged = 0, holds = holds }, question.expires
  )
  return { 'granted', tokens, left or false, standings(question.claims) }
end

-- The reply, and all that the lease holds now.
function questions.extend(extension)
  local now = extension.now
  local lease = lease_of(extension.id)
  if not lease or lease.charged ~= 0 then return { denied('lost') } end
  local claims = {}
  keys_of(extension.claims)
  for _, claim in ipairs(extension.claims) do
    if claim.per_token ~= 0 then
      table.insert(claims, { limit = claim.limit, base = 0, per_token = claim.per_token })
    end
  end
  local keys = {}
  for i, claim in ipairs(claims) do keys[i] = claim.limit.key end
  read_counters(keys)
  expire(now, extension.id)
  lease.expires = max(lease.expires, extension.expires)
  local holds = {}
  for _, hold in ipairs(lease.holds) do holds[hold.key] = hold end
  for _, used in ipairs(extension.progress) do
    if holds[used[1]] then holds[used[1]].progress = used[2] end
  end
  local no, tokens, left = fit(claims, now, extension.want, extension.need, 0)
  if no then
    keep_lease(extension.id, lease, lease.expires)
    return { no, lease.tokens, reserved_by(lease) }
  end
  local seen = {}
  for _, claim in ipairs(claims) do
    local limit = claim.limit
    if not seen[limit.key] then
      seen[limit.key] = true
      local counter = counters[limit.key]
      local amount = claim.per_token * tokens
      counter.reserved = counter.reserved + amount
      local hold = holds[limit.key]
      if hold then
        hold.amount = hold.amount + amount
      else
        hold = { key = limit.key, unit = limit.unit, window = counter.window, amount = amount }
        table.insert(lease.holds, hold)
      end
    end
  end
  lease.tokens = lease.tokens + tokens
  keep_lease(extension.id, lease, lease.expires)
  local granted = { 'granted', tokens, left or false, standings(claims) }
  return { granted, lease.tokens, reserved_by(lease) }
end

function questions.settle(settlement)
  local now = settlement.now
  local lease = lease_of(settlement.id)
  if not lease or lease.withdrawn then return false end
  drop_lease(settlement.id)
  local keys = {}
  for i, pair in ipairs(settlement.amounts) do keys[i] = pair[1].key end
  for _, hold in ipairs(lease.holds) do table.insert(keys, hold.key) end
  read_counters(keys)
  local before = {}
  for _, hold in ipairs(lease.holds) do
    local counter = counter_of(hold.key, hold.unit, hold.window, now)
    if lease.charged ~= 0 then
      before[hold.key] = counter.settled
      take_back(counter, lease.charged, charge(hold))
    else
      counter.reserved = max(0, counter.reserved - hold.amount)
    end
  end
  local settled, seen = {}, {}
  for _, pair in ipairs(settlement.amounts) do
    local limit, amount = pair[1], pair[2]
    if limit.unit ~= 'requests' and limit.unit ~= 'parallel' and not seen[limit.key] then
      seen[limit.key] = true
      local counter = counter_of(limit.key, limit.unit, limit.window, now)
      local old = before[limit.key] or counter.settled
      add(counter, now, amount)
      table.insert(settled, { limit.key, old, counter.settled })
    end
  end
  return settled
end

function questions.renew(about)
  for _, id in ipairs(about.ids) do
    local lease = lease_of(id)
    if lease and lease.charged == 0 and about.expires > lease.expires then
      lease.expires = about.expires
      keep_lease(id, lease, lease.expires)
    end
  end
  return true
end

-- For questions whose answer nobody got: what they reserved is given back; one that arrives late is refused.
function questions.withdraw(about)
  for _, id in ipairs(about.ids) do
    local lease = lease_of(id)
    if not lease or lease.charged == 0 then
      for _, hold in ipairs(lease and lease.holds or {}) do
        local counter = counter_of(hold.key, hold.unit, hold.window, about.now)
        counter.reserved = max(0, counter.reserved - hold.amount)
      end
      lease = { expires = about.now, tokens = 0, charged = about.now, holds = {}, withdrawn = true }
      keep_lease(id, lease, about.now + WITHDRAWN_KEPT)
    end
  end
  return true
end
