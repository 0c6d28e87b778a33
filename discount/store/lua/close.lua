--- Close a discount for good: no more grants. Codes that were made are given up; a brand's own stay in the pool.
--- COST  O(1): Redis frees the pool later, in a thread of its own.
--- KEYS  discount codes events
--- ARGV  granted_codes
--- OK    closed-now     The discount is closed, or its granted codes are void as well.
--- OK    closed-before  Nothing is changed: it was closed like this before.
--- ERR   not-found
local d = redis.call('HMGET', discount, 'brand', 'closed', 'number', 'kind')
if not d[1] then return {'not-found'} end
-- Closing once more can still void the granted codes; it cannot bring them back.
if d[2] and (d[2] == granted_codes or d[2] == 'void') then return {'closed-before'} end
redis.call('XADD', events, '*', 'type', 'discount.closed', 'at', now(), 'brand', d[1], 'number', d[3])
redis.call('HSET', discount, 'closed', granted_codes)
-- Nobody could end a pause any more, and the codes that are kept would never be good again.
redis.call('HDEL', discount, 'paused')
if d[4] ~= 'imported' then redis.call('UNLINK', codes) end
return {'closed-now'}
