--- Close a brand for good: it makes no more discounts and no more keys.
--- COST  O(1).
--- KEYS  brand
--- ARGV
--- OK    closed-now     The brand is closed.
--- OK    closed-before  Nothing is changed: it was closed before.
--- ERR   not-found
local there = redis.call('HMGET', brand, 'name', 'closed_at')
if not there[1] then return {'not-found'} end
if there[2] then return {'closed-before'} end
redis.call('HSET', brand, 'closed_at', now())
return {'closed-now'}
