--- Store the result of an attempt: the delivery is delivered, due again, or failed.
--- COST  O(log n) in the deliveries of the lane.
--- KEYS  delivery lane_deliveries leases events webhooks...
--- ARGV  id lane lease state due_at keep_seconds status answer milliseconds off_after off_reason webhook_id
--- WITH  copies
--- OK    settled  The result is stored.
--- OK    again    Nothing is changed: the delivery was not waiting.
--- ERR
local d = redis.call('HMGET', delivery, 'state', 'brand')
if d[1] ~= 'waiting' then return {'again'} end
local at = now()
local w = webhooks[1] and redis.call('HMGET', webhooks[1], 'url', 'failing_since', 'failures', 'off_at') or {}
local disable_reason = false
-- An attempt without a call says nothing about the receiver.
local failed = w[1] and milliseconds ~= '' and state ~= 'delivered'
if failed and not w[4] then
  disable_reason = off_reason
  if disable_reason == '' and tonumber(w[3] or 0) >= 9 and tonumber(at) - tonumber(w[2] or at) >= tonumber(off_after) then
    disable_reason = 'failing'
  end
end
if disable_reason and disable_reason ~= '' then
  redis.call('XADD', events, '*', 'type', 'webhook.disabled', 'at', at, 'brand', d[2], 'webhook', webhook_id, 'reason', disable_reason)
  redis.call('HSET', webhooks[1], 'off_at', at, 'off_reason', disable_reason)
end
redis.call('HSET', delivery, 'state', state, 'status', status, 'answer', answer, 'due_at', due_at)
if milliseconds ~= '' then
  redis.call('HSET', delivery, 'last_at', at, 'milliseconds', milliseconds)
  redis.call('HINCRBY', delivery, 'attempts', 1)
end
redis.call('HINCRBY', delivery, 'tries', 1)
if failed then
  redis.call('HSETNX', webhooks[1], 'failing_since', at)
  redis.call('HINCRBY', webhooks[1], 'failures', 1)
elseif w[1] and w[2] and state == 'delivered' then
  redis.call('HDEL', webhooks[1], 'failing_since', 'failures')
end
if state == 'waiting' then
  redis.call('ZADD', lane_deliveries, due_at, id)
else
  redis.call('ZREM', lane_deliveries, id)
  redis.call('EXPIRE', delivery, keep_seconds)
end
if failed or (w[1] and w[2]) then copy_later(webhooks[1]) end
redis.call('ZADD', leases, 'XX', string.format('%.0f', tonumber(at) + tonumber(lease)), lane)
return {'settled'}
