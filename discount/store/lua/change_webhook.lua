--- Change the URL or the event types of a webhook, or switch it on or off.
--- COST  O(1).
--- KEYS  webhook targets
--- ARGV  fields switch
--- WITH  copies
--- OK    changed  The webhook is changed.
--- ERR   not-found
if redis.call('EXISTS', webhook) == 0 then return {'not-found'} end
local values, at = cjson.decode(fields), now()
for i = 1, #values, 2 do redis.call('HSET', webhook, values[i], values[i + 1]) end
if switch == 'off' then redis.call('HSET', webhook, 'off_at', at, 'off_reason', 'asked') end
if switch == 'on' then redis.call('HDEL', webhook, 'off_at', 'off_reason', 'failing_since', 'failures') end
redis.call('INCR', targets)
copy_later(webhook)
return {'changed'}
