--- Codes that wait in a pool, by their place since the first one ever: what is taken meanwhile moves no other.
--- COST  O(n) in the waiting codes before and within the slice that is asked for.
--- KEYS  discount codes
--- ARGV  place count
--- OK    waiting(first codes...)  Codes in the order of the pool; `first` is the position of the first one.
--- ERR   not-found
local d = redis.call('HMGET', discount, 'granted')
if not d[1] then return {'not-found'} end
local first = math.max(0, tonumber(place) - tonumber(d[1]))
local found = redis.call('LRANGE', codes, first, first + tonumber(count) - 1)
return {'waiting', tostring(tonumber(d[1]) + first), unpack(found)}
