--- Take something that is due for a while, so that nobody else does it meanwhile.
--- COST  O(log n) in what is going to end in the partition.
--- KEYS  expiring
--- ARGV  member lease
--- OK    taken busy
--- ERR
local at = now()
local due_at = redis.call('ZSCORE', expiring, member)
if not due_at or tonumber(due_at) > tonumber(at) then return {'busy'} end
local till = string.format('%.0f', tonumber(at) + tonumber(lease))
redis.call('ZADD', expiring, till, member)
return {'taken', till}
