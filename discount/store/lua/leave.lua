--- Take a user off the waiting list of a discount.
--- COST  O(log n) in the users who wait; with `per_identity` also at most fifty claims of the user.
--- KEYS  usage discount waits waits_due events places...
--- ARGV  discount_id user by request_id claimant claimed
--- WITH  copies free_identities
--- OK    left(since)  The user waits no more.
--- OK    changed      The user has not claimed `claimed`; look it up again.
--- ERR   not-found not-waiting
-- With `per_identity`, `places` has the keys of the user's grant, uses and claims, and that of each digest in `claimed`.
local d = redis.call('HMGET', discount, 'brand', 'number', 'waits')
if not d[1] then return {'not-found'} end
local since = redis.call('ZSCORE', waits, user)
if not since then return {'not-waiting'} end
local digests = {}
if claimed ~= '' then
  if redis.call('HGET', places[3], claimant) ~= claimed then return {'changed'} end
  -- What was claimed for a code or a use before stays.
  local has_code = redis.call('HEXISTS', places[1], user) == 1 or redis.call('HEXISTS', places[1], user .. '\n') == 1
  if not has_code and redis.call('HEXISTS', places[2], user) == 0 then
    for each in string.gmatch(claimed, '%S+') do digests[#digests + 1] = each end
  end
end
redis.call('XADD', events, '*', 'type', 'wait.ended', 'at', now(), 'brand', d[1], 'number', d[2], 'user', user, 'by', by, 'request', request_id)
redis.call('HINCRBY', usage, 'waits ' .. d[1], -1)
if d[3] == '1' then
  redis.call('HDEL', discount, 'waits')
  redis.call('ZREM', waits_due, discount_id)
else
  redis.call('HINCRBY', discount, 'waits', -1)
end
redis.call('ZREM', waits, user)
if digests[1] then free_identities(places[3], places, 4, claimant, digests) end
return {'left', string.format('%.0f', since)}
