--- Note whether a user wants e-mails of a brand.
--- KEYS  contact
--- ARGV  wanted
--- OK    noted
--- ERR
if wanted == '' then redis.call('HSET', contact, 'unsubscribed', now()) else redis.call('HDEL', contact, 'unsubscribed') end
return {'noted'}
