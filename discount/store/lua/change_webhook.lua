--- Change where a webhook goes and what it tells, or switch it on again.
--- KEYS  webhook
--- ARGV  fields on
--- OK    changed
--- ERR   not-found
if redis.call('EXISTS', webhook) == 0 then return {'not-found'} end
local values = cjson.decode(fields)
for i = 1, #values, 2 do redis.call('HSET', webhook, values[i], values[i + 1]) end
if on ~= '' then redis.call('HDEL', webhook, 'off_at', 'off_reason', 'failing_since', 'failures') end
return {'changed'}
