--- Delete a list of a brand whose users are deleted.
--- COST  O(1).
--- KEYS  user_lists
--- ARGV  brand name
--- WITH  grant_quotas quotas copies
--- OK    dropped  There is no such list any more.
--- ERR
local known = redis.call('HGET', user_lists, name)
if not known then return {'dropped'} end
read_usage(brand)
count_use_of(0 - known * bytes_of.listed_user, 0)
copy_later(user_lists)
redis.call('HDEL', user_lists, name)
return {'dropped'}
