--- Take a redemption out of Redis: its retention has ended, or the ledger has it. All counts stay.
--- COST  O(log n) in the redemptions and holds of the discount.
--- KEYS  first second third redemptions more_redemptions user_redemptions holds uses grants users let_go
--- ARGV  id number listed_at record trace goes
--- WITH  held records put_records unlist
--- OK    dropped  The redemption is gone.
--- OK    moved    The order was redeemed again since, and is off this place of the discount's list.
--- OK    kept     The hold has not ended, or the record is no longer `record`.
--- ERR
local short = short_id(id)
local r, at = find_record({first, second, third}, short), now()
local hold_ends_at, score, latest = redis.call('ZSCORE', holds, id), redis.call('ZSCORE', redemptions, short), redis.call('GET', let_go)
local moved = not r or r.number ~= number or r.at ~= listed_at
local held = not moved and r.state == 'held' and hold_ends_at and tonumber(hold_ends_at) > tonumber(at)
if not moved and (held or record_text(r) ~= record) then return {'kept'} end
local user = moved and '' or r.user
local unlisted = not moved and trace ~= '' and redis.call('HEXISTS', uses, user) == 1 and redis.call('HEXISTS', grants, user) == 0
local numbers = unlisted and redis.call('HGET', users, user .. '\n~')
-- The user's uses stay counted. Without a grant nothing else leads to them once the user is forgotten.
local held_by_user = held_functions()
if unlisted then redis.call('HSET', users, user .. '\n~', held_by_user.with_number(held_by_user.without_number(numbers, number), number)) end
if not moved and goes ~= '' and (latest or '') < listed_at then redis.call('SET', let_go, listed_at) end
-- Two redemptions may have the same time: only one of them is in the stream.
if score and tonumber(score) == tonumber(listed_at) then
  redis.call('ZREM', redemptions, short)
else
  redis.call('XDEL', more_redemptions, listed_at .. '-0')
end
if moved then return {'moved'} end
unlist_for_user(users, user, user_redemptions, {short})
remove_record(r)
redis.call('ZREM', holds, id)
return {'dropped'}
