--- Note whether a user wants e-mails of a brand.
--- KEYS  brand_contact
--- ARGV  wanted
--- OK    noted
--- ERR
if wanted == '' then redis.call('HSET', brand_contact, 'unsubscribed', now()) else redis.call('HDEL', brand_contact, 'unsubscribed') end
return {'noted'}
