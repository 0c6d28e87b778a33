--- Make a webhook of a brand, or of one of its discounts.
--- KEYS  webhook brand_webhooks discounts...
--- ARGV  id brand url types most
--- OK    created
--- ERR   webhook-taken too-many-webhooks
if redis.call('EXISTS', webhook) == 1 then return {'webhook-taken'} end
if not discounts[1] and redis.call('ZCARD', brand_webhooks) >= tonumber(most) then return {'too-many-webhooks'} end
local at = now()
redis.call('HSET', webhook, 'brand', brand, 'url', url, 'types', types, 'version', '1', 'created_at', at)
if discounts[1] then
  redis.call('HSET', discounts[1], 'webhook', id)
else
  redis.call('ZADD', brand_webhooks, at, id)
end
return {'created'}
