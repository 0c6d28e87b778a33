--- Return codes of a pool by position, counted from the first code ever: a grant in between moves no other code.
--- COST  O(n) in the codes of the pool before and within the slice.
--- KEYS  discount codes
--- ARGV  position count
--- OK    waiting(first codes...)  Codes in the order of the pool; `first` is the position of the first one.
--- ERR   not-found
local d = redis.call('HMGET', discount, 'granted')
if not d[1] then return {'not-found'} end
local first = math.max(0, tonumber(position) - tonumber(d[1]))
local slice = redis.call('LRANGE', codes, first, first + tonumber(count) - 1)
return {'waiting', tostring(tonumber(d[1]) + first), unpack(slice)}
