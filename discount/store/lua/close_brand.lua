--- Close a brand for good: no new discounts and no new keys.
--- COST  O(1).
--- KEYS  brand
--- ARGV
--- WITH  copies
--- OK    closed-now     The brand is closed.
--- OK    closed-before  Nothing is changed: it was closed before.
--- ERR   not-found
local stored = redis.call('HMGET', brand, 'name', 'closed_at')
if not stored[1] then return {'not-found'} end
if stored[2] then return {'closed-before'} end
redis.call('HSET', brand, 'closed_at', now())
copy_later(brand)
return {'closed-now'}
