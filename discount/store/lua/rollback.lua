--- Undo a use, or end a hold, once. A use stays counted against the limits if the discount keeps uses.
--- COST  O(log n) in the holds of the discount, at most 100 holds of the user, and 1,000 holds that ended.
--- KEYS  redemption discount uses holds events
--- ARGV  id discount_id user reason
--- WITH  uses bounds bounded_uses
--- OK    rolled-back  The use is undone, or the hold has ended.
--- OK    again        Nothing is changed: there is no use or hold to undo any more.
--- OK    moved        The order belongs to another user or discount now; look it up again.
--- ERR   not-found
local r = redis.call('HMGET', redemption, 'state', 'hold_until', 'user', 'code', 'amount', 'currency', 'discount_amount', 'day', 'week', 'discount', 'order', 'at', 'bounded')
if not r[1] then return {'not-found'} end
-- Since the caller looked it up, the hold ended, and another user or discount redeemed the order.
if r[10] ~= discount_id or r[3] ~= user then return {'moved'} end
local at = now()
-- A hold that ended, or was released for a newer one, does not count any more.
if r[1] == 'rolled-back' or r[1] == 'released' or (r[1] == 'held' and r[2] <= at) then return {'again'} end
local d = redis.call('HMGET', discount, 'brand', 'number', 'keeps_use')
local user_uses = read_uses(redis.call('HGET', uses, r[3]))
-- The event of a hold is `released`, so that redeemed events less rolled-back events add up to the sums.
local event_type = r[1] == 'held' and 'redemption.released' or 'redemption.rolled-back'
redis.call('XADD', events, '*', 'type', event_type, 'at', at, 'brand', d[1], 'number', d[2], 'user', r[3], 'code', r[4], 'redemption', id, 'amount', r[5], 'currency', r[6], 'discount_amount', r[7], 'order', r[11], 'reason', reason)
redis.call('HSET', redemption, 'state', 'rolled-back', 'rolled_back_at', at, 'reason', reason)
redis.call('HINCRBY', discount, 'rolled_back', 1)
local writer
if r[13] then
  local bounds = bounds_functions()
  bounds.open(r[6], at)
  writer = bounded_uses(bounds)
end
if r[1] == 'held' then
  if writer then writer.take_hold(id, r[7], r[6], r[8], r[9]) end
  take_hold(user_uses, id)
  redis.call('ZREM', holds, id)
else
  redis.call('HINCRBY', discount, 'redeemed', -1)
  redis.call('HINCRBY', discount, 'orders:' .. r[6], 0 - tonumber(r[5]))
  redis.call('HINCRBY', discount, 'discounts:' .. r[6], 0 - tonumber(r[7]))
  if not d[3] then
    if writer then writer.take_use(user_uses, r[8], r[9], r[12]) end
    uncount_use(user_uses, r[8], r[9])
    redis.call('HINCRBY', discount, 'used', -1)
  end
end
if writer then writer.save() end
redis.call('HSET', uses, r[3], write_uses(user_uses, at))
return {'rolled-back'}
