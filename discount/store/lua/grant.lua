--- Grant one code of a discount to a user, or return the code that the user holds already.
--- COST  O(1).
--- KEYS  discount codes grants buckets users events taken...
--- ARGV  user bucket expected_users extra candidates...
--- WITH  grant_quotas held levels releases identities guard
--- OK    granted(grant low expires_at valid_for timezone closed claim_within)  The user got a new code; `low` is not empty if the next block of codes is due.
--- OK    held(grant low expires_at valid_for timezone closed claim_within)  The user held this code before.
--- OK    refill                    The pool is empty; append codes and call again.
--- OK    changed                   The codes that the user holds are not `expected_users` any more.
--- OK    template                  The discount makes codes for each user; call again with candidates.
--- OK    clash                     Every candidate is given already; call again with others.
--- OK    asks                      The discount has an audience, or asks for an identity; judge the user and call again with a third line of `extra`.
--- ERR   not-found closed paused expired(expires_at) not-started(starts_at) sold-out not-released(opens_at) others-wait already-granted-elsewhere(part most) identity-missing
-- A third line that names an identity has keys for it at the end of `taken`.
local held = redis.call('HGET', grants, user)
-- The answer has all fields on which the end of the code depends.
if held then
  local ends = redis.call('HMGET', discount, 'expires_at', 'valid_for', 'timezone', 'closed', 'claim_within')
  return {'held', held, '', ends[1] or '', ends[2] or '', ends[3] or '', ends[4] or '', ends[5] or ''}
end
local d = redis.call('HMGET', discount, 'brand', 'granted', 'total', 'closed', 'paused', 'expires_at', 'starts_at', 'number', 'kind', 'valid_for', 'timezone', 'told', 'asks', 'claim_within', 'release', 'waits')
if not d[1] then return {'not-found'} end
if d[4] then return {'closed'} end
if d[5] then return {'paused'} end
local at = now()
-- Times have sixteen digits: they compare as text, and no digit is lost in a float.
if d[6] and at >= d[6] then return {'expired', d[6]} end
if d[7] and at < d[7] then return {'not-started', d[7]} end
local granted = tonumber(d[2])
local left = d[3] and d[3] - granted
if left and left <= 0 then return {'sold-out'} end
-- The codes that are released next are for the users who wait.
if d[15] and at < released_at(d[15], granted) then return {'not-released', released_at(d[15], granted + (d[16] or 0))} end
if d[16] then return {'others-wait'} end
local judged = d[13] and string.match(extra, '\n.*\n(.*)$')
if d[13] and not judged then return {'asks'} end
local held_text = redis.call('HGET', users, user)
-- The caller chose this discount by the codes that the user held; they must not have changed.
if expected_users ~= '*' and expected_users ~= (held_text or '') then return {'changed'} end
local stopped = over_grants(d[1], at)
if stopped then return stopped end

local kind, code, n_free, digest, low = d[9], nil, nil, '', false
if kind == 'shared' then
  code = redis.call('HGET', discount, 'code')
elseif kind == 'personal' then
  if not candidates[1] then return {'template'} end
  -- `candidates` are pairs of a code and its digest, with a set for each in `taken`. A code that cannot repeat has no digest.
  for n = 1, #candidates / 2 do
    digest = candidates[2 * n]
    if digest == '' or redis.call('SISMEMBER', taken[n], digest) == 0 then
      n_free = n
      break
    end
  end
  if not n_free then return {'clash'} end
  code = candidates[2 * n_free - 1]
  -- Places that were taken back keep their numbers: `made` counts them.
  if string.find(code, '{seq}', 1, true) then code = string.gsub(code, '{seq}', string.format('%.0f', granted + 1 + redis.call('HGET', discount, 'made'))) end
else
  code = redis.call('LINDEX', codes, 0)
  if not code then return {'refill'} end
  -- Every 256th grant checks if the next block of codes is due, so that later grants need not wait for it. The first block
  -- is small: the first grants check more often.
  low = (granted % 256 == 255 or granted < 256 and granted % 16 == 3) and redis.call('LLEN', codes) < 512 and tonumber(redis.call('HGET', discount, 'made')) < tonumber(d[3])
end

local claims = judged and identity_claims(judged, taken)
if claims and claims.slug then
  claims.report(events, at, d[1], d[8])
  if claims.part then return {'already-granted-elsewhere', claims.part, claims.most} end
  return {'identity-missing'}
end

local in_users, page, in_codes, numbers = d[8], nil, nil, nil
-- Eight numbers have fifteen characters at least.
if held_text and held_text ~= '' and #held_text < 15 and not string.find(held_text, '+', 1, true) then
  in_users = held_text .. ' ' .. d[8]
elseif held_text then
  local held_by_user = held_functions()
  local held_codes = held_by_user.read(held_text)
  if held_by_user.is_full(held_codes) then
    page, in_codes = held_by_user.page_field(user, held_codes.made), held_by_user.code_field(user, d[1], code)
    numbers = redis.call('HMGET', users, page, in_codes)
    numbers = {held_by_user.with_number(numbers[1], d[8]), held_by_user.with_number(numbers[2], d[8])}
    held_codes.made = held_codes.made + 1
    in_users = held_by_user.write(held_codes)
  else
    in_users = held_by_user.with_number(held_text, d[8])
  end
end
local is_first_of_bucket = redis.call('HLEN', grants) == 0
local grant = at .. ' ' .. code
local address, metadata
if extra ~= '' then
  -- An e-mail address and, on the next line, metadata, which is kept behind the code. A third line says that the user was judged.
  address, metadata = string.match(extra, '^([^\n]*)\n?([^\n]*)')
  if metadata ~= '' then
    grant = grant .. '\n' .. metadata
    count_bytes(#metadata)
  end
end

-- Events name the discount by its short number: its id would be a third of the entry.
if extra == '' then
  redis.call('XADD', events, '*', 'type', 'code.granted', 'at', at, 'brand', d[1], 'number', d[8], 'user', user, 'code', code)
else
  redis.call('XADD', events, '*', 'type', 'code.granted', 'at', at, 'brand', d[1], 'number', d[8], 'user', user, 'code', code, 'email', address, 'metadata', metadata)
end
-- The last grant has an event of its own.
local levels = left and left > 1 and (granted + 1) * 5 >= d[3] * 4 and next_levels(granted, d[3], d[12]) or {}
for _, level in ipairs(levels) do
  redis.call('XADD', events, '*', 'type', 'discount.running-low', 'at', at, 'brand', d[1], 'number', d[8], 'percent', tostring(level), 'granted', string.format('%.0f', granted + 1), 'total', d[3])
end
if left == 1 then
  redis.call('XADD', events, '*', 'type', 'discount.sold-out', 'at', at, 'brand', d[1], 'number', d[8])
end
redis.call('HSET', grants, user, grant)
if is_first_of_bucket then redis.call('SETBIT', buckets, bucket, 1) end
if numbers then
  redis.call('HSET', users, user, in_users, page, numbers[1], in_codes, numbers[2])
else
  redis.call('HSET', users, user, in_users)
end
redis.call('HINCRBY', discount, 'granted', 1)
if levels[1] then redis.call('HSET', discount, 'told', levels[#levels] .. ' ' .. d[3]) end
count_grant(d[1])
if claims then claims.write() end
if digest ~= '' then redis.call('SADD', taken[n_free], digest) end
if kind == 'unique' or kind == 'imported' then redis.call('LPOP', codes) end
return {'granted', grant, low and 'low' or '', d[6] or '', d[10] or '', d[11] or '', '', d[14] or ''}
