--- Store whether a user wants e-mails from a brand.
--- COST  O(1).
--- KEYS  brand_contact user_brands
--- ARGV  brand wanted
--- WITH  copies
--- OK    noted  The choice is stored.
--- ERR
redis.call('SADD', user_brands, brand)
if wanted == '' then redis.call('HSET', brand_contact, 'unsubscribed', now()) else redis.call('HDEL', brand_contact, 'unsubscribed') end
copy_later(brand_contact)
return {'noted'}
