--- Claim a code among all brands, or tell who has it.
--- COST  O(1).
--- KEYS  claim
--- ARGV  owner
--- OK    held(owner)  The code is claimed by this brand now: by the caller, or by one that was first.
--- ERR
local there = redis.call('GET', claim)
if there then return {'held', there} end
redis.call('SET', claim, owner)
return {'held', owner}
