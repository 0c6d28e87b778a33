--- KEYS  waits waits_due
--- ARGV  next_waits
-- Grants codes to the users who wait longest for one, in their order, as far as there are codes. `next_waits` is a JSON
-- list of these users: each has its name, its bucket, and for a personal code candidates with their digests. `of_waits` has
-- from `first` on for each user the keys of its grant and of its numbers, and of the set of each candidate.
-- Notes when to look at the list again. Returns how many users got a code, and why the others did not.
local function hand_out(discount, codes, buckets, events, of_waits, first, is_quiet)
  local d = redis.call('HMGET', discount, 'brand', 'number', 'kind', 'granted', 'total', 'closed', 'paused', 'expires_at', 'starts_at', 'release', 'waits', 'made', 'code', 'told')
  if not d[11] then return 0, 'nobody' end
  local at, id, kind = now(), string.match(discount, ':([^:]+)$'), d[3]
  local granted, total, served, gone, place = tonumber(d[4]), tonumber(d[5]), 0, 0, first
  local outcome, look_at = 'more', at
  local told = d[14]
  if d[6] or d[7] or (d[8] and at >= d[8]) then
    outcome, look_at = 'closed', '+inf'
  elseif d[9] and at < d[9] then
    outcome, look_at = 'early', d[9]
  end
  local list = outcome == 'more' and next_waits ~= '' and cjson.decode(next_waits) or {}
  local held_by_user = held_functions()
  for _, each in ipairs(list) do
    local user, in_grants, in_users = each[1], place, place + 1
    place = place + 1 + #each / 2
    local head = redis.call('ZRANGE', waits, 0, 0, 'WITHSCORES')
    local is_gone = head[1] ~= user and not redis.call('ZSCORE', waits, user)
    if head[1] ~= user and not is_gone then
      outcome = 'changed'
      break
    end
    if not is_gone and redis.call('HEXISTS', of_waits[in_grants], user) == 0 then
      if total and granted >= total then
        outcome, look_at = 'sold-out', '+inf'
        break
      end
      local next_at = d[10] and released_at(d[10], granted)
      if next_at and at < next_at then
        outcome, look_at = 'early', next_at
        break
      end
      local stopped = over_grants(d[1], at)
      if stopped then
        outcome, look_at = 'quota', stopped[4] ~= '' and stopped[4] or string.format('%.0f', at + 60000000)
        break
      end
      local code, n_free = nil, nil
      local digest = ''
      if kind == 'shared' then
        code = d[13]
      elseif kind == 'personal' then
        for n = 3, #each, 2 do
          digest = each[n + 1]
          local n_set = in_users + (n - 1) / 2
          if not code and (digest == '' or redis.call('SISMEMBER', of_waits[n_set], digest) == 0) then
            code, n_free = each[n], n_set
            break
          end
        end
        if code then code = string.gsub(code, '{seq}', string.format('%.0f', granted + 1 + d[12])) end
      else
        code = redis.call('LINDEX', codes, 0)
      end
      if not code then
        outcome = kind == 'personal' and 'clash' or 'refill'
        break
      end
      local text = redis.call('HGET', of_waits[in_users], user)
      local of_user = held_by_user.read(text)
      granted, served = granted + 1, served + 1
      redis.call('XADD', events, '*', 'type', 'code.granted', 'at', at, 'brand', d[1], 'number', d[2], 'user', user, 'code', code, 'waited', string.format('%.0f', head[2]))
      local levels = not is_quiet and total and total > granted and next_levels(granted - 1, d[5], told) or {}
      for _, level in ipairs(levels) do
        redis.call('XADD', events, '*', 'type', 'discount.running-low', 'at', at, 'brand', d[1], 'number', d[2], 'percent', tostring(level), 'granted', string.format('%.0f', granted), 'total', d[5])
      end
      if levels[1] then
        told = levels[#levels] .. ' ' .. d[5]
        redis.call('HSET', discount, 'told', told)
      end
      if total == granted and not is_quiet then redis.call('XADD', events, '*', 'type', 'discount.sold-out', 'at', at, 'brand', d[1], 'number', d[2]) end
      redis.call('HSET', of_waits[in_grants], user, at .. ' ' .. code)
      redis.call('SETBIT', buckets, each[2], 1)
      if held_by_user.is_full(of_user) then
        local page, in_codes = held_by_user.page_field(user, of_user.made), held_by_user.code_field(user, d[1], code)
        local numbers = redis.call('HMGET', of_waits[in_users], page, in_codes)
        of_user.made = of_user.made + 1
        redis.call('HSET', of_waits[in_users], user, held_by_user.write(of_user), page, held_by_user.with_number(numbers[1], d[2]), in_codes, held_by_user.with_number(numbers[2], d[2]))
      else
        redis.call('HSET', of_waits[in_users], user, held_by_user.with_number(text, d[2]))
      end
      redis.call('HINCRBY', discount, 'granted', 1)
      count_grant(d[1])
      if digest ~= '' then redis.call('SADD', of_waits[n_free], digest) end
      if kind == 'unique' or kind == 'imported' then redis.call('LPOP', codes) end
    end
    if not is_gone then
      redis.call('ZREM', waits, user)
      gone = gone + 1
    end
  end
  if gone > 0 then redis.call('HINCRBY', usage, 'waits ' .. d[1], -gone) end
  if d[11] - gone > 0 then
    if gone > 0 then redis.call('HINCRBY', discount, 'waits', -gone) end
    redis.call('ZADD', waits_due, look_at, id)
  else
    redis.call('HDEL', discount, 'waits')
    redis.call('ZREM', waits_due, id)
    outcome = 'nobody'
  end
  return served, outcome
end
