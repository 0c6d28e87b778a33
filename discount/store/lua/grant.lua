--- Grant one code of a discount to a user, or return the code that the user holds already.
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
-- The answer has all fields on which the end of the code depends.
if held then return {'held', held, '', d[6] or '', d[11] or '', d[12] or '', d[4] or ''} end
if not d[1] then return {'not-found'} end
if d[4] then return {'closed'} end
if d[5] then return {'paused'} end
local at = now()
-- Times have sixteen digits: they compare as text, and no digit is lost in a float.
if d[6] and at >= d[6] then return {'expired', d[6]} end
if d[7] and at < d[7] then return {'not-started', d[7]} end
local granted = tonumber(d[2])
local left = d[3] and tonumber(d[3]) - granted
if left and left <= 0 then return {'sold-out'} end
local held_text = redis.call('HGET', users, user)
-- The caller chose this discount by the codes that the user held; they must not have changed.
if expected_users ~= '*' and expected_users ~= (held_text or '') then return {'changed'} end
read_usage(d[1])
local stopped = over_quota('grants_a_day', 1) or over_quota('stored_bytes', bytes_of.granted + #email)
if stopped then return stopped end

local kind, code, n_free, digest, low = d[9], nil, nil, '', false
if kind == 'shared' then
  code = redis.call('HGET', discount, 'code')
elseif kind == 'personal' then
  if not candidates[1] then return {'template'} end
  -- `candidates` are pairs of a code and its digest, with a set for each in `taken`. A code that cannot repeat has no digest.
  for n = 1, #taken do
    digest = candidates[2 * n]
    if digest == '' or redis.call('SISMEMBER', taken[n], digest) == 0 then
      n_free = n
      break
    end
  end
  if not n_free then return {'clash'} end
  code = string.gsub(candidates[2 * n_free - 1], '{seq}', string.format('%.0f', granted + 1 + d[10]))
else
  code = redis.call('LINDEX', codes, 0)
  if not code then return {'refill'} end
  -- Every 256th grant checks if the next block of codes is due, so that later grants need not wait for it.
  low = granted % 256 == 255 and tonumber(d[10]) < tonumber(d[3]) and redis.call('LLEN', codes) < 512
end

local held_codes = read_held(held_text)
local page, in_codes, numbers
if is_full(held_codes) then
  page, in_codes = page_field(user, held_codes.made), code_field(user, d[1], code)
  numbers = redis.call('HMGET', users, page, in_codes)
end

local value = at .. ' ' .. code
-- Events name the discount by its short number: its id would be a third of the entry.
if email == '' then
  redis.call('XADD', events, '*', 'type', 'code.granted', 'at', at, 'brand', d[1], 'number', d[8], 'user', user, 'code', code)
else
  -- After the address, in a line of its own, comes metadata. It is kept behind the code.
  local address, metadata = string.match(email, '^([^\n]*)\n?(.*)$')
  redis.call('XADD', events, '*', 'type', 'code.granted', 'at', at, 'brand', d[1], 'number', d[8], 'user', user, 'code', code, 'email', address, 'metadata', metadata)
  if metadata ~= '' then value = value .. '\n' .. metadata end
end
if left == 1 then
  redis.call('XADD', events, '*', 'type', 'discount.sold-out', 'at', at, 'brand', d[1], 'number', d[8])
end
redis.call('HSET', grants, user, value)
redis.call('SETBIT', buckets, bucket, 1)
if numbers then
  held_codes.made = held_codes.made + 1
  redis.call('HSET', users, user, write_held(held_codes), page, with_number(numbers[1], d[8]), in_codes, with_number(numbers[2], d[8]))
else
  redis.call('HSET', users, user, with_number(held_text, d[8]))
end
redis.call('HINCRBY', discount, 'granted', 1)
if most.grants_a_day or most.stored_bytes then count_use_of(1, bytes_of.granted + #email, 0) end
if digest ~= '' then redis.call('SADD', taken[n_free], digest) end
if kind == 'unique' or kind == 'imported' then redis.call('LPOP', codes) end
return {'granted', value, low and 'low' or '', d[6] or '', d[11] or '', d[12] or '', ''}
