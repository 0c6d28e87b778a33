--- Make all holds of an order with several codes final, or none.
--- COST  O(log n) in the holds of each discount, and at most 100 holds of the user of each; the caller sends few.
--- KEYS  blocks...
--- ARGV  key_count argument_count record_at arguments...
--- RUNS  confirm
--- WITH  records
--- OK    confirmed  The uses are final.
--- OK    moved      The order belongs to another user or discount now; look it up again.
--- ERR   hold-ended
-- Each redemption has its own keys and arguments, in the sequence that `confirm` has. `record_at` is where the three lists
-- of its record begin.
local live, at = {}, now()
for n = 1, #blocks / key_count do
  local place, own = (n - 1) * key_count, {unpack(arguments, (n - 1) * argument_count + 1, n * argument_count)}
  local id, number, user = unpack(own, 1, 3)
  local r = find_record({unpack(blocks, place + record_at, place + record_at + 2)}, short_id(id))
  -- A code that was rolled back by itself is not part of the order any more.
  if r and r.state ~= 'rolled-back' then
    if r.state ~= 'redeemed' and not (r.state == 'held' and r.hold_until > at) then return {'hold-ended'} end
    if r.number ~= number or r.user ~= user then return {'moved'} end
    live[#live + 1] = {keys = {unpack(blocks, place + 1, place + key_count)}, arguments = own}
  end
end
if #live == 0 then return {'hold-ended'} end
for _, each in ipairs(live) do confirm(each.keys, each.arguments) end
return {'confirmed'}
