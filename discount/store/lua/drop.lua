--- Drop a use of a discount that is older than it is kept. What was counted stays counted.
--- COST  O(log n) in the redemptions and holds of the discount.
--- KEYS  redemption redemptions user_redemptions holds
--- ARGV  id discount_id user before
--- OK    dropped  The redemption is deleted.
--- OK    moved    The order belongs to another discount now, and is off the list of this one.
--- OK    kept     The hold has not ended, or the redemption belongs to another user or is new again.
--- ERR
local r = redis.call('HMGET', redemption, 'discount', 'user', 'at', 'state')
local till, at = redis.call('ZSCORE', holds, id), now()
if r[1] ~= discount_id then
  -- The order has become another discount's since.
  redis.call('ZREM', redemptions, id)
  return {'moved'}
end
local held = r[4] == 'held' and till and tonumber(till) > tonumber(at)
if held or r[2] ~= user or r[3] >= before then return {'kept'} end
redis.call('DEL', redemption)
redis.call('ZREM', user_redemptions, id)
redis.call('ZREM', holds, id)
redis.call('ZREM', redemptions, id)
return {'dropped'}
