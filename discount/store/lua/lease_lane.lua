--- Take a lane for a while, and what is due in it.
--- COST  O(log n) in the deliveries that wait in the lane, for each of those that are asked for.
--- KEYS  lanes leases lane_deliveries
--- ARGV  lane lease count
--- WITH  lanes
--- OK    leased(ids...)  The caller has the lane; these deliveries are due.
--- OK    not-due         Nothing is due in the lane, or another worker has it.
--- ERR
local at = now()
local due_at = redis.call('ZSCORE', lanes, lane)
if not due_at or tonumber(due_at) > tonumber(at) then return {'not-due'} end
local found = redis.call('ZRANGEBYSCORE', lane_deliveries, '-inf', at, 'LIMIT', 0, count)
redis.call('ZADD', leases, string.format('%.0f', tonumber(at) + tonumber(lease)), lane)
redis.call('ZREM', lanes, lane)
place_brand(lanes)
return {'leased', unpack(found)}
