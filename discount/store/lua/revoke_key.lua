--- Take an API key away from a brand, at once.
--- KEYS  brand_keys key
--- ARGV  key_id brand_id
--- OK    revoked
--- ERR   not-found
if redis.call('HGET', key, 'brand') ~= brand_id then return {'not-found'} end
redis.call('DEL', key)
redis.call('ZREM', brand_keys, key_id)
return {'revoked'}
