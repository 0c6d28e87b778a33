--- Replace the value of a field, unless it changed meanwhile; an empty value is none.
--- COST  O(1).
--- KEYS  hash
--- ARGV  field before after
--- OK    swapped  The field has the new value.
--- OK    other    Nothing is changed: the field has another value by now.
--- ERR
if (redis.call('HGET', hash, field) or '') ~= before then return {'other'} end
if after ~= '' then
  redis.call('HSET', hash, field, after)
else
  redis.call('HDEL', hash, field)
end
return {'swapped'}
