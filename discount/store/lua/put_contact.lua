--- Store the contact of a user; without an e-mail, delete it.
--- COST  O(log n) in the contacts of the brand.
--- KEYS  contact lists...
--- ARGV  user brand email name locale
--- WITH  copies
--- OK    put  The contact is stored.
--- ERR   address-taken
-- `lists` has three keys for a brand's contact: the brand's contacts by time, its addresses, and the user's brands.
local before = redis.call('HMGET', contact, 'email', 'enrolled')
local new_address, old_address = string.lower(email), string.lower(before[1] or '')
if before[2] and new_address ~= '' and new_address ~= old_address and redis.call('HEXISTS', lists[2], new_address) == 1 then
  return {'address-taken'}
end
if lists[2] and redis.call('ZSCORE', lists[1], user) == false then redis.call('ZADD', lists[1], now(), user) end
if email ~= '' then
  redis.call('HSET', contact, 'email', email, 'name', name, 'locale', locale)
else
  redis.call('HDEL', contact, 'email', 'name', 'locale')
end
if lists[3] then redis.call('SADD', lists[3], brand) end
if before[2] and new_address ~= old_address then
  redis.call('HDEL', lists[2], old_address)
  if new_address ~= '' then redis.call('HSET', lists[2], new_address, user) end
end
copy_later(contact)
if lists[3] then copy_later(lists[1] .. '\n' .. user) end
return {'put'}
