--- Take a user off a list of a brand.
--- COST  O(1).
--- KEYS  user_lists set
--- ARGV  brand name digest
--- WITH  grant_quotas quotas copies
--- OK    taken-off  The user is not on the list.
--- ERR
local known = redis.call('HGET', user_lists, name)
if not known or redis.call('SISMEMBER', set, digest) == 0 then return {'taken-off'} end
read_usage(brand)
redis.call('HSET', user_lists, name, string.format('%.0f', math.max(0, known - 1)))
redis.call('SREM', set, digest)
count_use_of(0 - bytes_of.listed_user, 0)
copy_later(user_lists, set)
return {'taken-off'}
