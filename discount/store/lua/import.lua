--- Add a brand's own codes to a discount's pool, but for those that it has or had.
--- KEYS  discount codes taken...
--- ARGV  codes_and_places...
--- OK    added
--- ERR   not-found closed wrong-kind
-- Triples: the number of the set that remembers the code, what it remembers, the code.
local d = redis.call('HMGET', discount, 'kind', 'closed')
if not d[1] then return {'not-found'} end
if d[2] then return {'closed'} end
if d[1] ~= 'imported' then return {'wrong-kind'} end
local fresh, repeated = {}, {}
for i = 1, #ARGV, 3 do
  if redis.call('SADD', KEYS[2 + tonumber(ARGV[i])], ARGV[i + 1]) == 1 then
    fresh[#fresh + 1] = ARGV[i + 2]
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
