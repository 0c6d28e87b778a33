--- Append the next block of codes to a discount's pool, unless another replica was first.
--- COST  O(n) in the codes of the block, which the caller bounds.
--- KEYS  discount codes
--- ARGV  from block
--- OK    filled(made)  The pool has all codes up to this counter.
--- ERR   not-found
local d = redis.call('HMGET', discount, 'made', 'closed', 'total')
if not d[1] then return {'not-found'} end
local made = tonumber(d[1])
-- The counter names the next code: a block that begins at another counter is not appended.
if d[1] ~= from or d[2] then return {'filled', d[1]} end
local list = cjson.decode(block)
local count = math.min(#list, tonumber(d[3]) - made)
if count <= 0 then return {'filled', d[1]} end
redis.call('HSET', discount, 'made', tostring(made + count))
for i = 1, count, 1000 do
  redis.call('RPUSH', codes, unpack(list, i, math.min(i + 999, count)))
end
return {'filled', tostring(made + count)}
