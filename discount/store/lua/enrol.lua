--- Make an id for a user: the next number of the brand.
--- COST  O(log n) in the contacts of the brand.
--- KEYS  brand_contact brand_contacts addresses user_brands
--- ARGV  last user brand email name call
--- WITH  copies
--- OK    enrolled     The user has this id.
--- OK    moved(last)  The number is taken; call again with the one after `last`.
--- ERR   address-taken
-- The same call again, after its answer was lost.
if redis.call('HGET', brand_contact, 'enrolled') == call then return {'enrolled'} end
local address = string.lower(email)
if redis.call('HEXISTS', addresses, address) == 1 then return {'address-taken'} end
local latest = redis.call('HGET', addresses, '#') or '0'
-- The caller made its keys from the next number; another call may have taken that number meanwhile.
if latest ~= last then return {'moved', latest} end
if redis.call('EXISTS', brand_contact) == 1 then
  redis.call('HSET', addresses, '#', user)
  copy_later(addresses .. '\n#')
  return {'moved', user}
end
redis.call('HSET', brand_contact, 'email', email, 'name', name, 'locale', '', 'enrolled', call)
redis.call('ZADD', brand_contacts, now(), user)
redis.call('HSET', addresses, address, user, '#', user)
redis.call('SADD', user_brands, brand)
copy_later(brand_contact, brand_contacts .. '\n' .. user, addresses .. '\n#')
return {'enrolled'}
