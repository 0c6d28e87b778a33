--- Write an event for one webhook alone.
--- COST  O(1).
--- KEYS  webhook events
--- ARGV  id
--- OK    written(entry_id at)  The event is in the outbox.
--- ERR   not-found
local brand = redis.call('HGET', webhook, 'brand')
if not brand then return {'not-found'} end
local at = now()
return {'written', redis.call('XADD', events, '*', 'type', 'webhook.test', 'at', at, 'brand', brand, 'webhook', id), at}
