--- Create a webhook of a brand, or of one of its discounts; the same request again changes nothing.
--- COST  O(log n) in the webhooks of the brand, at most 20.
--- KEYS  brand_record webhook brand_webhooks targets of_discount...
--- ARGV  id brand discount_id url types request most
--- WITH  copies
--- OK    created  The webhook is new.
--- OK    made     The same request made the webhook before.
--- ERR   brand-closed webhook-taken too-many-webhooks idempotency-mismatch
local stored = redis.call('HMGET', webhook, 'url', 'request')
if stored[1] then
  if stored[2] == request then return {'made'} end
  if of_discount[1] then return {'webhook-taken'} end
  return {'idempotency-mismatch'}
end
if redis.call('HEXISTS', brand_record, 'closed_at') == 1 then return {'brand-closed'} end
if not of_discount[1] and redis.call('ZCARD', brand_webhooks) >= tonumber(most) then return {'too-many-webhooks'} end
-- Versions begin with the time, so a webhook that was deleted and created again never reuses a secret.
local at = now()
redis.call('HSET', webhook, 'brand', brand, 'discount', discount_id, 'url', url, 'types', types, 'version', at, 'request', request, 'created_at', at)
if of_discount[1] then
  redis.call('HSET', of_discount[1], 'webhook', id)
else
  redis.call('ZADD', brand_webhooks, at, id)
end
redis.call('INCR', targets)
copy_later(webhook, brand_webhooks)
return {'created'}
