--- Claim a code for one brand among all, or return the brand that has it.
--- COST  O(1).
--- KEYS  claim
--- ARGV  owner
--- WITH  copies
--- OK    held(owner)  The code is claimed by this brand now: by the caller, or by one that was first.
--- ERR
local holder = redis.call('GET', claim)
if holder then return {'held', holder} end
redis.call('SET', claim, owner)
copy_later(claim)
return {'held', owner}
