--- Create a brand; the same request again changes nothing.
--- COST  O(log n) in the brands of the partition.
--- KEYS  brand brands
--- ARGV  brand_id name email
--- WITH  copies
--- OK    created  The brand is new.
--- OK    made     The same request made the brand before.
--- ERR   brand-taken
local stored = redis.call('HMGET', brand, 'name', 'email', 'closed_at')
if stored[1] then
  if stored[3] or stored[1] ~= name or (stored[2] or '') ~= email then return {'brand-taken'} end
  return {'made'}
end
local at = now()
redis.call('HSET', brand, 'name', name, 'created_at', at)
if email ~= '' then redis.call('HSET', brand, 'email', email) end
redis.call('ZADD', brands, at, brand_id)
copy_later(brand, brands .. '\n' .. brand_id)
return {'created'}
