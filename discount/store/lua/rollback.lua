--- Undo a use, or end a hold, once. A use stays counted against the limits if the discount keeps uses.
--- COST  O(log n) in the holds of the discount, at most 25 holds of the user, and 1,000 holds that ended.
--- KEYS  first second third discount uses holds events
--- ARGV  id number user calendar reason
--- WITH  uses limits bounds bounded_uses records put_records
--- OK    rolled-back  The use is undone, or the hold has ended.
--- OK    again        Nothing is changed: there is no use or hold to undo any more.
--- OK    moved        The order belongs to another user or discount now; look it up again.
--- ERR   not-found
local r = find_record({first, second, third}, short_id(id))
if not r then return {'not-found'} end
-- Since the caller looked it up, the hold ended, and another user or discount redeemed the order.
if r.number ~= number or r.user ~= user then return {'moved'} end
local day, week = r.day, r.week
if day == '' then
  local own = find_day(calendar, r.at)
  -- The order was redeemed again since the caller looked it up.
  if not own then return {'moved'} end
  day, week = own.day, own.week
end
local at = now()
-- A hold that ended, or was released for a newer one, does not count any more.
if r.state == 'rolled-back' or r.state == 'released' or (r.state == 'held' and r.hold_until <= at) then return {'again'} end
local d = redis.call('HMGET', discount, 'brand', 'number', 'keeps_use')
local user_uses = read_uses(redis.call('HGET', uses, r.user))
-- The event of a hold is `released`, so that redeemed events less rolled-back events add up to the sums.
local event_type = r.state == 'held' and 'redemption.released' or 'redemption.rolled-back'
redis.call('XADD', events, '*', 'type', event_type, 'at', at, 'brand', d[1], 'number', d[2], 'user', r.user, 'code', r.code, 'redemption', id, 'amount', r.amount, 'currency', r.currency, 'discount_amount', r.discount_amount, 'order', r.order, 'reason', reason, 'undone', '1')
local was_held = r.state == 'held'
r.state, r.rolled_back_at, r.reason = 'rolled-back', at, reason
put_record(r)
redis.call('HINCRBY', discount, 'rolled_back', 1)
local writer
if r.bounded then
  local bounds = bounds_functions()
  bounds.open(r.currency, at)
  writer = bounded_uses(bounds)
end
if was_held then
  if writer then writer.take_hold(id, r.discount_amount, r.currency, day, week) end
  take_hold(user_uses, id)
  redis.call('ZREM', holds, id)
else
  redis.call('HINCRBY', discount, 'redeemed', -1)
  redis.call('HINCRBY', discount, 'orders:' .. r.currency, 0 - tonumber(r.amount))
  redis.call('HINCRBY', discount, 'discounts:' .. r.currency, 0 - tonumber(r.discount_amount))
  if not d[3] then
    if writer then writer.take_use(user_uses, day, week, r.at) end
    uncount_use(user_uses, day, week)
    redis.call('HINCRBY', discount, 'used', -1)
  end
end
if writer then writer.save() end
redis.call('HSET', uses, r.user, write_uses(user_uses, at))
return {'rolled-back'}
