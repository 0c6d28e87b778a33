--- Put a user on the waiting list of a discount, or return the place that the user has.
--- COST  O(log n) in the users who wait.
--- KEYS  discount grants users waits waits_due events places...
--- ARGV  discount_id user email judged
--- WITH  grant_quotas quotas releases identities
--- OK    waits(place since)   The user is on the list now; the first place is 1.
--- OK    asks                 The discount has an audience, or asks for an identity; judge the user and call again with `judged`.
--- OK    waited(place since)  Nothing is changed: the user was on the list before.
--- ERR   not-found closed expired(expires_at) revoked already-granted codes-left already-granted-elsewhere(part most) identity-missing
-- `judged` and `places` claim an identity as in grant.
local d = redis.call('HMGET', discount, 'brand', 'number', 'closed', 'expires_at', 'granted', 'total', 'release', 'waits', 'paused', 'starts_at', 'asks')
if not d[1] then return {'not-found'} end
local since = redis.call('ZSCORE', waits, user)
if since then return {'waited', string.format('%.0f', redis.call('ZRANK', waits, user) + 1), string.format('%.0f', since)} end
if d[3] then return {'closed'} end
local at = now()
if d[4] and at >= d[4] then return {'expired', d[4]} end
local held = redis.call('HGET', grants, user)
if held == '-' then return {'revoked'} end
if held then return {'already-granted'} end
local is_open = not d[9] and not (d[10] and at < d[10])
local is_left = not (d[6] and d[6] - d[5] <= 0) and not (d[7] and at < released_at(d[7], tonumber(d[5])))
if is_open and is_left and not d[8] then return {'codes-left'} end
if d[11] and judged == '' then return {'asks'} end
read_usage(d[1])
local stopped = over_quota('stored_bytes', bytes_of.wait)
if stopped then return stopped end
local claims = judged ~= '' and identity_claims(judged, places)
if claims and claims.slug then
  claims.report(events, at, d[1], d[2])
  if claims.part then return {'already-granted-elsewhere', claims.part, claims.most} end
  return {'identity-missing'}
end
local numbers = redis.call('HGET', users, user .. '\n~') or ''
-- After the clock went back, a user who comes later still waits behind the others.
local last = redis.call('ZRANGE', waits, -1, -1, 'WITHSCORES')
local place = string.format('%.0f', redis.call('ZCARD', waits) + 1)
since = at
if last[2] and tonumber(last[2]) >= tonumber(at) then since = string.format('%.0f', last[2] + 1) end

if email == '' then
  redis.call('XADD', events, '*', 'type', 'wait.started', 'at', at, 'brand', d[1], 'number', d[2], 'user', user, 'place', place)
else
  redis.call('XADD', events, '*', 'type', 'wait.started', 'at', at, 'brand', d[1], 'number', d[2], 'user', user, 'place', place, 'email', email)
end
redis.call('ZADD', waits, since, user)
redis.call('HINCRBY', discount, 'waits', 1)
-- From this time on, events name users of whom nothing else may keep the moment.
redis.call('HSETNX', discount, 'loose_from', at)
count_wait(d[1])
if not string.find(' ' .. numbers .. ' ', ' ' .. d[2] .. ' ', 1, true) then
  redis.call('HSET', users, user .. '\n~', numbers == '' and d[2] or numbers .. ' ' .. d[2])
end
redis.call('ZADD', waits_due, 'NX', at, discount_id)
if claims then claims.write() end
return {'waits', place, since}
