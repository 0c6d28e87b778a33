--- Make a hold a final use.
--- COST  O(log n) in the holds of the discount, at most 100 holds of the user, and 1,000 holds that ended.
--- KEYS  redemption discount uses holds events
--- ARGV  id discount_id user
--- WITH  uses bounds bounded_uses
--- OK    confirmed  The use is final.
--- OK    again      Nothing is changed: the use was final before.
--- OK    moved      The order belongs to another user or discount now; look it up again.
--- ERR   not-found hold-ended
local r = redis.call('HMGET', redemption, 'state', 'hold_until', 'user', 'code', 'amount', 'currency', 'discount_amount', 'day', 'week', 'discount', 'order', 'at', 'bounded')
if not r[1] then return {'not-found'} end
-- Since the caller looked it up, the hold ended, and another user or discount redeemed the order.
if r[10] ~= discount_id or r[3] ~= user then return {'moved'} end
if r[1] == 'redeemed' then return {'again'} end
local at = now()
if r[1] ~= 'held' or r[2] <= at then return {'hold-ended'} end
local d = redis.call('HMGET', discount, 'brand', 'number', 'used', 'limit_total', 'bounded')
local user_uses = read_uses(redis.call('HGET', uses, r[3]))
redis.call('XADD', events, '*', 'type', 'redemption.confirmed', 'at', at, 'brand', d[1], 'number', d[2], 'user', r[3], 'code', r[4], 'redemption', id, 'amount', r[5], 'currency', r[6], 'discount_amount', r[7], 'order', r[11])
redis.call('XADD', events, '*', 'type', 'code.redeemed', 'at', at, 'brand', d[1], 'number', d[2], 'user', r[3], 'code', r[4], 'redemption', id, 'amount', r[5], 'currency', r[6], 'discount_amount', r[7], 'order', r[11])
if d[4] and tonumber(d[3] or 0) + 1 == tonumber(d[4]) then
  redis.call('XADD', events, '*', 'type', 'discount.limit-reached', 'at', at, 'brand', d[1], 'number', d[2], 'limit', 'total')
end
redis.call('HSET', redemption, 'state', 'redeemed', 'confirmed_at', at)
take_hold(user_uses, id)
if r[13] then
  local bounds = bounds_functions()
  local writer = bounded_uses(bounds)
  bounds.open(r[6], at)
  writer.take_hold(id, r[7], r[6], r[8], r[9])
  writer.add_use(user_uses, r[8], r[9], r[12])
  writer.save()
end
count_use(user_uses, r[8], r[9])
redis.call('HSET', uses, r[3], write_uses(user_uses, at))
redis.call('HINCRBY', discount, 'used', 1)
redis.call('HINCRBY', discount, 'redeemed', 1)
redis.call('HINCRBY', discount, 'orders:' .. r[6], r[5])
redis.call('HINCRBY', discount, 'discounts:' .. r[6], r[7])
redis.call('ZREM', holds, id)
return {'confirmed'}
