--- Make all holds of an order with several codes final, or none.
--- COST  O(log n) in the holds of each discount, and at most 100 holds of the user of each; the caller sends few.
--- KEYS  blocks...
--- ARGV  key_count record_at arguments...
--- RUNS  confirm
--- OK    confirmed  The uses are final.
--- OK    moved      The order belongs to another user or discount now; look it up again.
--- ERR   hold-ended
-- Each redemption has its own keys and arguments, in the sequence that `confirm` has: its id, its discount and its user.
local live, at = {}, now()
for n = 1, #blocks / key_count do
  local place = (n - 1) * key_count
  local record = place + record_at
  local r = redis.call('HMGET', blocks[record], 'state', 'hold_until', 'discount', 'user')
  -- A code that was rolled back by itself is not part of the order any more.
  if r[1] ~= 'rolled-back' then
    if r[1] ~= 'redeemed' and not (r[1] == 'held' and r[2] > at) then return {'hold-ended'} end
    if r[3] ~= arguments[3 * n - 1] or r[4] ~= arguments[3 * n] then return {'moved'} end
    live[#live + 1] = {keys = {unpack(blocks, place + 1, place + key_count)}, arguments = {unpack(arguments, 3 * n - 2, 3 * n)}}
  end
end
if #live == 0 then return {'hold-ended'} end
for _, each in ipairs(live) do confirm(each.keys, each.arguments) end
return {'confirmed'}
