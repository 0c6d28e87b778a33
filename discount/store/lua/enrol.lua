--- Give a user an id: the next number of the brand.
--- COST  O(log n) in the users that the brand knows.
--- KEYS  brand_contact brand_contacts addresses user_brands
--- ARGV  last user brand email name call
--- OK    enrolled     The user has this id.
--- OK    moved(last)  The number is taken; call again with the one after `last`.
--- ERR   address-taken
-- The same call again, because its answer was lost on the way.
if redis.call('HGET', brand_contact, 'enrolled') == call then return {'enrolled'} end
local at = string.lower(email)
if redis.call('HEXISTS', addresses, at) == 1 then return {'address-taken'} end
local there = redis.call('HGET', addresses, '#') or '0'
-- The caller names the keys by the number that comes next; another call may have taken it.
if there ~= last then return {'moved', there} end
if redis.call('EXISTS', brand_contact) == 1 then
  redis.call('HSET', addresses, '#', user)
  return {'moved', user}
end
redis.call('HSET', brand_contact, 'email', email, 'name', name, 'locale', '', 'enrolled', call)
redis.call('ZADD', brand_contacts, now(), user)
redis.call('HSET', addresses, at, user, '#', user)
redis.call('SADD', user_brands, brand)
return {'enrolled'}
