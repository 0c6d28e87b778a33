--- Claim a code among all brands, or tell who has it.
--- COST  O(1).
--- KEYS  claim
--- ARGV  brand
--- OK    held
--- ERR
local there = redis.call('GET', claim)
if there then return {'held', there} end
redis.call('SET', claim, brand)
return {'held', brand}
