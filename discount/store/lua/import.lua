--- Add a brand's own codes to a discount's pool, but for those that it has or had.
--- COST  O(n) in the codes of the slice, which the caller bounds.
--- KEYS  discount codes taken...
--- ARGV  triples...
--- OK    added
--- ERR   not-found closed wrong-kind
-- Of each code: the number of the set that remembers it, what is remembered, and the code itself.
local d = redis.call('HMGET', discount, 'kind', 'closed')
if not d[1] then return {'not-found'} end
if d[2] then return {'closed'} end
if d[1] ~= 'imported' then return {'wrong-kind'} end
local fresh, repeated = {}, {}
for i = 1, #triples, 3 do
  local n = tonumber(triples[i])
  if redis.call('SADD', taken[n], triples[i + 1]) == 1 then
    fresh[#fresh + 1] = triples[i + 2]
  else
    repeated[#repeated + 1] = tostring((i - 1) / 3)
  end
end
if #fresh > 0 then
  redis.call('HINCRBY', discount, 'total', #fresh)
  redis.call('HINCRBY', discount, 'made', #fresh)
  redis.call('RPUSH', codes, unpack(fresh))
end
return {'added', tostring(#fresh), table.concat(repeated, ' ')}
