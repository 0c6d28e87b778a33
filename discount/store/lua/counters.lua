--- Return what a discount counts, and the last entry of the outbox at the same moment.
--- COST  O(n) in the fields of the discount, of which there are some dozens.
--- KEYS  discount codes events
--- ARGV
--- OK    counted(entry_id waiting fields...)  `waiting` is the length of the pool; the fields are names and values in turn.
--- ERR   not-found
local fields = redis.call('HGETALL', discount)
if not fields[1] then return {'not-found'} end
local last = redis.call('XREVRANGE', events, '+', '-', 'COUNT', 1)[1]
return {'counted', last and last[1] or '', tostring(redis.call('LLEN', codes)), unpack(fields)}
