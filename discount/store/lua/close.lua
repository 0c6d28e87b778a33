--- Close a discount for good: no more grants. Generated codes of the pool are deleted; imported ones stay.
--- COST  O(1): Redis frees the memory of the pool later, in another thread.
--- KEYS  discount codes events
--- ARGV  granted_codes
--- OK    closed-now     The discount is closed, or its granted codes are void as well.
--- OK    closed-before  Nothing is changed: it was closed like this before.
--- ERR   not-found
local d = redis.call('HMGET', discount, 'brand', 'closed', 'number', 'kind')
if not d[1] then return {'not-found'} end
-- A second close can still void the granted codes; it cannot make them valid again.
if d[2] and (d[2] == granted_codes or d[2] == 'void') then return {'closed-before'} end
redis.call('XADD', events, '*', 'type', 'discount.closed', 'at', now(), 'brand', d[1], 'number', d[3])
redis.call('HSET', discount, 'closed', granted_codes)
-- A closed discount cannot be resumed, so a pause would make the kept codes invalid for good.
redis.call('HDEL', discount, 'paused')
if d[4] ~= 'imported' then redis.call('UNLINK', codes) end
return {'closed-now'}
