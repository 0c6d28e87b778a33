--- Grant codes to users who wait for one, in their order, as far as there are codes.
--- COST  O(log n) in the users who wait, for each of at most 50 of them.
--- KEYS  discount codes buckets events of_waits...
--- ARGV
--- WITH  grant_quotas held releases levels waits
--- OK    served(served outcome)  So many users got a code; `outcome` is why the next one did not.
--- ERR   not-found
if redis.call('HEXISTS', discount, 'brand') == 0 then return {'not-found'} end
local served, outcome = hand_out(discount, codes, buckets, events, of_waits, 1)
return {'served', string.format('%.0f', served), outcome}
