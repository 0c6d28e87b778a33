--- Write down where a user is reached; with no e-mail, forget it.
--- COST  O(log n) in the users that the brand knows.
--- KEYS  contact lists...
--- ARGV  user brand email name locale
--- OK    put  The contact is stored.
--- ERR   address-taken
-- With three lists if it is a brand that knows the user: the brand's by time and by address, the user's of brands.
local before = redis.call('HMGET', contact, 'email', 'enrolled')
local now_at, was_at = string.lower(email), string.lower(before[1] or '')
if before[2] and now_at ~= '' and now_at ~= was_at and redis.call('HEXISTS', lists[2], now_at) == 1 then
  return {'address-taken'}
end
if lists[2] and redis.call('ZSCORE', lists[1], user) == false then redis.call('ZADD', lists[1], now(), user) end
if email ~= '' then
  redis.call('HSET', contact, 'email', email, 'name', name, 'locale', locale)
else
  redis.call('HDEL', contact, 'email', 'name', 'locale')
end
if lists[3] then redis.call('SADD', lists[3], brand) end
if before[2] and now_at ~= was_at then
  redis.call('HDEL', lists[2], was_at)
  if now_at ~= '' then redis.call('HSET', lists[2], now_at, user) end
end
return {'put'}
