--- Write an event that only one webhook is told of.
--- COST  O(1).
--- KEYS  webhook events
--- ARGV  id
--- OK    told
--- ERR   not-found
local brand = redis.call('HGET', webhook, 'brand')
if not brand then return {'not-found'} end
local at = now()
return {'told', redis.call('XADD', events, '*', 'type', 'webhook.test', 'at', at, 'brand', brand, 'webhook', id), at}
