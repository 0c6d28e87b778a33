--- Store when an API key was used, if it exists.
--- COST  O(1).
--- KEYS  key
--- ARGV  at
--- WITH  copies
--- OK    touched  The time is stored.
--- OK    gone     There is no such key.
--- ERR
if redis.call('EXISTS', key) == 0 then return {'gone'} end
redis.call('HSET', key, 'used_at', at)
copy_later(key)
return {'touched'}
