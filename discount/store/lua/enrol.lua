--- Give a user an id: the next number of the brand.
--- KEYS  brand_contact brand_contacts addresses
--- ARGV  last user email name
--- OK    enrolled moved
--- ERR   address-taken
local at = string.lower(email)
if redis.call('HEXISTS', addresses, at) == 1 then return {'address-taken'} end
local there = redis.call('HGET', addresses, '#') or '0'
-- The caller names the keys by the number that comes next; another call may have taken it.
if there ~= last then return {'moved', there} end
if redis.call('EXISTS', brand_contact) == 1 then
  redis.call('HSET', addresses, '#', user)
  return {'moved', user}
end
redis.call('HSET', brand_contact, 'email', email, 'name', name, 'locale', '', 'enrolled', '1')
redis.call('ZADD', brand_contacts, now(), user)
redis.call('HSET', addresses, at, user, '#', user)
return {'enrolled'}
