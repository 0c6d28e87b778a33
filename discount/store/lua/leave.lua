--- Take a user off the waiting list of a discount.
--- COST  O(log n) in the users who wait.
--- KEYS  usage discount waits waits_due events
--- ARGV  discount_id user by request_id
--- OK    left(since)  The user waits no more.
--- ERR   not-found not-waiting
local d = redis.call('HMGET', discount, 'brand', 'number', 'waits')
if not d[1] then return {'not-found'} end
local since = redis.call('ZSCORE', waits, user)
if not since then return {'not-waiting'} end
redis.call('XADD', events, '*', 'type', 'wait.ended', 'at', now(), 'brand', d[1], 'number', d[2], 'user', user, 'by', by, 'request', request_id)
redis.call('HINCRBY', usage, 'waits ' .. d[1], -1)
if d[3] == '1' then
  redis.call('HDEL', discount, 'waits')
  redis.call('ZREM', waits_due, discount_id)
else
  redis.call('HINCRBY', discount, 'waits', -1)
end
redis.call('ZREM', waits, user)
return {'left', string.format('%.0f', since)}
