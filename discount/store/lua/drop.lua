--- Delete a redemption whose retention has ended. All counts stay.
--- COST  O(log n) in the redemptions and holds of the discount.
--- KEYS  redemption redemptions user_redemptions holds uses grants users
--- ARGV  id discount_id user before number
--- WITH  held
--- OK    dropped  The redemption is deleted.
--- OK    moved    The order belongs to another discount now, and is off the list of this one.
--- OK    kept     The hold has not ended, or the redemption belongs to another user or is new again.
--- ERR
local r = redis.call('HMGET', redemption, 'discount', 'user', 'at', 'state')
local hold_ends_at, at = redis.call('ZSCORE', holds, id), now()
local unlisted = number ~= '' and redis.call('HEXISTS', uses, user) == 1 and redis.call('HEXISTS', grants, user) == 0
local numbers = unlisted and redis.call('HGET', users, user .. '\n~')
local moved = r[1] ~= discount_id
local held = r[4] == 'held' and hold_ends_at and tonumber(hold_ends_at) > tonumber(at)
if not moved and (held or r[2] ~= user or r[3] >= before) then return {'kept'} end
-- The user's uses stay counted. Without a grant nothing else leads to them once the user is forgotten.
local held_by_user = held_functions()
if not moved and unlisted then redis.call('HSET', users, user .. '\n~', held_by_user.with_number(held_by_user.without_number(numbers, number), number)) end
redis.call('ZREM', redemptions, id)
-- The order was redeemed with another discount since.
if moved then return {'moved'} end
redis.call('DEL', redemption)
redis.call('ZREM', user_redemptions, id)
redis.call('ZREM', holds, id)
return {'dropped'}
