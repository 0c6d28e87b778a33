--- Change fields of a brand; an empty value deletes the field.
--- COST  O(1).
--- KEYS  brand
--- ARGV  fields
--- OK    changed  The fields are changed.
--- ERR   not-found brand-closed
local stored = redis.call('HMGET', brand, 'name', 'closed_at')
if not stored[1] then return {'not-found'} end
if stored[2] then return {'brand-closed'} end
local values = cjson.decode(fields)
for i = 1, #values, 2 do
  if values[i + 1] ~= '' then redis.call('HSET', brand, values[i], values[i + 1]) end
end
for i = 1, #values, 2 do
  if values[i + 1] == '' then redis.call('HDEL', brand, values[i]) end
end
return {'changed'}
