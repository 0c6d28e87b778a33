--- Lease a lane for `lease` microseconds, and return the deliveries that are due in it.
--- COST  O(log n) in the deliveries of the lane, for each delivery returned.
--- KEYS  lanes leases lane_deliveries
--- ARGV  lane lease count
--- WITH  lanes
--- OK    leased(ids...)  The caller has the lane; these deliveries are due.
--- OK    not-due         Nothing is due in the lane, or another worker has it.
--- ERR
local at = now()
local due_at = redis.call('ZSCORE', lanes, lane)
if not due_at or tonumber(due_at) > tonumber(at) then return {'not-due'} end
local ids = redis.call('ZRANGEBYSCORE', lane_deliveries, '-inf', at, 'LIMIT', 0, count)
redis.call('ZADD', leases, string.format('%.0f', tonumber(at) + tonumber(lease)), lane)
redis.call('ZREM', lanes, lane)
place_brand(lanes)
return {'leased', unpack(ids)}
