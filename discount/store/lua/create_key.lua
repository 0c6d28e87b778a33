--- Create an API key of a brand.
--- COST  O(log n) in the keys of the brand.
--- KEYS  brand brand_keys key
--- ARGV  key_id brand_id digest name scopes expires_at
--- WITH  copies
--- OK    created(created_at)  The key is new.
--- ERR   not-found brand-closed expired(expires_at)
local stored = redis.call('HMGET', brand, 'name', 'closed_at')
if not stored[1] then return {'not-found'} end
if stored[2] then return {'brand-closed'} end
local at = now()
if expires_at ~= '' and at >= expires_at then return {'expired', expires_at} end
redis.call('HSET', key, 'brand', brand_id, 'digest', digest, 'name', name, 'scopes', scopes, 'created_at', at)
if expires_at ~= '' then redis.call('HSET', key, 'expires_at', expires_at) end
redis.call('ZADD', brand_keys, at, key_id)
copy_later(key, brand_keys .. '\n' .. key_id)
return {'created', at}
