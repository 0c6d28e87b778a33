--- Delete a redemption whose retention has ended. All counts stay.
--- COST  O(log n) in the redemptions and holds of the discount.
--- KEYS  redemption redemptions user_redemptions holds
--- ARGV  id discount_id user before
--- OK    dropped  The redemption is deleted.
--- OK    moved    The order belongs to another discount now, and is off the list of this one.
--- OK    kept     The hold has not ended, or the redemption belongs to another user or is new again.
--- ERR
local r = redis.call('HMGET', redemption, 'discount', 'user', 'at', 'state')
local hold_ends_at, at = redis.call('ZSCORE', holds, id), now()
if r[1] ~= discount_id then
  -- The order was redeemed with another discount since.
  redis.call('ZREM', redemptions, id)
  return {'moved'}
end
local held = r[4] == 'held' and hold_ends_at and tonumber(hold_ends_at) > tonumber(at)
if held or r[2] ~= user or r[3] >= before then return {'kept'} end
redis.call('DEL', redemption)
redis.call('ZREM', user_redemptions, id)
redis.call('ZREM', holds, id)
redis.call('ZREM', redemptions, id)
return {'dropped'}
