--- Make a hold a final use.
--- COST  O(log n) in the holds of the discount, at most 25 holds of the user, and 1,000 holds that ended.
--- KEYS  first second third discount uses holds events
--- ARGV  id number user calendar
--- WITH  uses limits bounds bounded_uses records put_records
--- OK    confirmed  The use is final.
--- OK    again      Nothing is changed: the use was final before.
--- OK    moved      The order belongs to another user or discount now; look it up again.
--- ERR   not-found hold-ended
local r = find_record({first, second, third}, short_id(id))
if not r then return {'not-found'} end
-- Since the caller looked it up, the hold ended, and another user or discount redeemed the order.
if r.number ~= number or r.user ~= user then return {'moved'} end
if r.state == 'redeemed' then return {'again'} end
local day, week = r.day, r.week
if day == '' then
  local own = find_day(calendar, r.at)
  -- The order was redeemed again since the caller looked it up.
  if not own then return {'moved'} end
  day, week = own.day, own.week
end
local at = now()
if r.state ~= 'held' or r.hold_until <= at then return {'hold-ended'} end
local d = redis.call('HMGET', discount, 'brand', 'number', 'used', 'limit_total')
local user_uses = read_uses(redis.call('HGET', uses, r.user))
redis.call('XADD', events, '*', 'type', 'redemption.confirmed', 'at', at, 'brand', d[1], 'number', d[2], 'user', r.user, 'code', r.code, 'redemption', id, 'amount', r.amount, 'currency', r.currency, 'discount_amount', r.discount_amount, 'order', r.order)
redis.call('XADD', events, '*', 'type', 'code.redeemed', 'at', at, 'brand', d[1], 'number', d[2], 'user', r.user, 'code', r.code, 'redemption', id, 'amount', r.amount, 'currency', r.currency, 'discount_amount', r.discount_amount, 'order', r.order, 'held_at', r.at)
if d[4] and tonumber(d[3] or 0) + 1 == tonumber(d[4]) then
  redis.call('XADD', events, '*', 'type', 'discount.limit-reached', 'at', at, 'brand', d[1], 'number', d[2], 'limit', 'total')
end
r.state, r.confirmed_at = 'redeemed', at
put_record(r)
take_hold(user_uses, id)
if r.bounded then
  local bounds = bounds_functions()
  local writer = bounded_uses(bounds)
  bounds.open(r.currency, at)
  writer.take_hold(id, r.discount_amount, r.currency, day, week)
  writer.add_use(user_uses, day, week, r.at)
  writer.save()
end
count_use(user_uses, day, week)
redis.call('HSET', uses, r.user, write_uses(user_uses, at))
redis.call('HINCRBY', discount, 'used', 1)
redis.call('HINCRBY', discount, 'redeemed', 1)
redis.call('HINCRBY', discount, 'orders:' .. r.currency, r.amount)
redis.call('HINCRBY', discount, 'discounts:' .. r.currency, r.discount_amount)
redis.call('ZREM', holds, id)
return {'confirmed'}
