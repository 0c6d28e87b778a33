--- Change fields of a brand; an empty value deletes the field.
--- COST  O(log n) in the digests of the partition.
--- KEYS  brand digests
--- ARGV  fields brand_id digest_at
--- WITH  copies
--- OK    changed  The fields are changed.
--- ERR   not-found brand-closed
-- `digest_at` is when the brand's next digest is due: `none` for never, empty if that does not change.
local stored = redis.call('HMGET', brand, 'name', 'closed_at')
if not stored[1] then return {'not-found'} end
if stored[2] then return {'brand-closed'} end
local values = cjson.decode(fields)
for i = 1, #values, 2 do
  if values[i + 1] ~= '' then redis.call('HSET', brand, values[i], values[i + 1]) end
end
if digest_at ~= '' and digest_at ~= 'none' then redis.call('ZADD', digests, digest_at, brand_id) end
if digest_at == 'none' then redis.call('ZREM', digests, brand_id) end
for i = 1, #values, 2 do
  if values[i + 1] == '' then redis.call('HDEL', brand, values[i]) end
end
copy_later(brand, digests .. '\n' .. brand_id)
return {'changed'}
