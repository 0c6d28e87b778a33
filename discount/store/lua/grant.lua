--- Hand one code of a discount to a user, once; the code held already, if there is one.
--- COST  O(1).
--- KEYS  discount codes grants buckets users events taken...
--- ARGV  user bucket expected_users email candidates...
--- WITH  quotas held guard
--- OK    granted(grant low expires_at valid_for timezone closed)  The user got a new code; `low` is not empty if the next block of codes is due.
--- OK    held(grant low expires_at valid_for timezone closed)  The user held this code before.
--- OK    refill                    The pool is empty; append codes and call again.
--- OK    changed                   The codes that the user holds are not `expected_users` any more.
--- OK    template                  The discount makes codes for each user; call again with candidates.
--- OK    clash                     Every candidate is given already; call again with others.
--- ERR   not-found closed paused expired(expires_at) not-started(starts_at) sold-out
local held = redis.call('HGET', grants, user)
local d = redis.call('HMGET', discount, 'brand', 'granted', 'total', 'closed', 'paused', 'expires_at', 'starts_at', 'number', 'kind', 'made', 'valid_for', 'timezone')
-- With a code goes what its end depends on.
if held then return {'held', held, '', d[6] or '', d[11] or '', d[12] or '', d[4] or ''} end
if not d[1] then return {'not-found'} end
if d[4] then return {'closed'} end
if d[5] then return {'paused'} end
local at = now()
-- Sixteen digits each: text compares as numbers do, and no digit is lost to a float.
if d[6] and at >= d[6] then return {'expired', d[6]} end
if d[7] and at < d[7] then return {'not-started', d[7]} end
local granted = tonumber(d[2])
local left = d[3] and tonumber(d[3]) - granted
if left and left <= 0 then return {'sold-out'} end
local mine = redis.call('HGET', users, user)
-- A caller that looked at what the user holds first wants that to be true still.
if expected_users ~= '*' and expected_users ~= (mine or '') then return {'changed'} end
read_usage(d[1])
local stopped = over_quota('grants_a_day', 1) or over_quota('stored_bytes', bytes_of.granted)
if stopped then return stopped end

local kind, code, place, digest, low = d[9], nil, nil, '', false
if kind == 'shared' then
  code = redis.call('HGET', discount, 'code')
elseif kind == 'personal' then
  if not candidates[1] then return {'template'} end
  -- Pairs of a code and what is remembered of it, each with its set; nothing is remembered of one that cannot repeat.
  for n = 1, #taken do
    digest = candidates[2 * n]
    if digest == '' or redis.call('SISMEMBER', taken[n], digest) == 0 then
      place = n
      break
    end
  end
  if not place then return {'clash'} end
  code = string.gsub(candidates[2 * place - 1], '{seq}', tostring(granted + 1))
else
  code = redis.call('LINDEX', codes, 0)
  if not code then return {'refill'} end
  -- Now and then a grant looks whether the next block is due, so that later ones need not wait for it.
  low = granted % 256 == 255 and tonumber(d[10]) < tonumber(d[3]) and redis.call('LLEN', codes) < 512
end

local hand = read_held(mine)
local page, in_index, numbers
if is_full(hand) then
  page, in_index = page_field(user, hand.made), code_field(user, d[1], code)
  numbers = redis.call('HMGET', users, page, in_index)
end

-- The discount by its short number: its id would be a third of the entry.
if email == '' then
  redis.call('XADD', events, '*', 'type', 'code.granted', 'at', at, 'brand', d[1], 'number', d[8], 'user', user, 'code', code)
else
  redis.call('XADD', events, '*', 'type', 'code.granted', 'at', at, 'brand', d[1], 'number', d[8], 'user', user, 'code', code, 'email', email)
end
if left == 1 then
  redis.call('XADD', events, '*', 'type', 'discount.sold-out', 'at', at, 'brand', d[1], 'number', d[8])
end
redis.call('HSET', grants, user, at .. ' ' .. code)
redis.call('SETBIT', buckets, bucket, 1)
if numbers then
  hand.made = hand.made + 1
  redis.call('HSET', users, user, write_held(hand), page, with_number(numbers[1], d[8]), in_index, with_number(numbers[2], d[8]))
else
  redis.call('HSET', users, user, with_number(mine, d[8]))
end
redis.call('HINCRBY', discount, 'granted', 1)
if most.grants_a_day or most.stored_bytes then count_use_of(1, bytes_of.granted, 0) end
if digest ~= '' then redis.call('SADD', taken[place], digest) end
if kind == 'unique' or kind == 'imported' then redis.call('LPOP', codes) end
return {'granted', at .. ' ' .. code, low and 'low' or '', d[6] or '', d[11] or '', d[12] or '', ''}
