--- Make a delivery due now, once more.
--- COST  O(log n) in the deliveries of the lane.
--- KEYS  delivery lane_deliveries lanes leases
--- ARGV  id lane
--- WITH  lanes
--- OK    waiting  The delivery is due now.
--- ERR   not-found
if redis.call('EXISTS', delivery) == 0 then return {'not-found'} end
local leased = redis.call('ZSCORE', leases, lane)
local at = now()
redis.call('HSET', delivery, 'state', 'waiting', 'due_at', at, 'since', at, 'tries', '0')
redis.call('PERSIST', delivery)
redis.call('ZADD', lane_deliveries, at, id)
if not leased then
  redis.call('ZADD', lanes, 'LT', at, lane)
  place_brand(lanes)
end
return {'waiting'}
