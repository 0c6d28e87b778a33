--- Close a discount for good: no more grants, its pool is given up.
--- KEYS  discount codes events
--- ARGV  discount_id granted_codes
--- OK    closed-now closed-before
--- ERR   not-found
local d = redis.call('HMGET', discount, 'brand', 'closed')
if not d[1] then return {'not-found'} end
-- Closing once more can still void the granted codes; it cannot bring them back.
if d[2] and (d[2] == granted_codes or d[2] == 'void') then return {'closed-before'} end
redis.call('XADD', events, '*', 'type', 'discount.closed', 'at', now(), 'brand', d[1], 'discount', discount_id)
redis.call('HSET', discount, 'closed', granted_codes)
redis.call('UNLINK', codes)
return {'closed-now'}
