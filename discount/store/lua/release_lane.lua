--- Release a lane, which is due again with its first delivery.
--- COST  O(log n) in the lanes of the partition.
--- KEYS  lanes leases lane_deliveries
--- ARGV  lane not_before ended_only
--- WITH  lanes
--- OK    released  The lane can be leased again when its first delivery is due.
--- OK    kept      Nobody has the lane, or its lease has not ended.
--- ERR
local lease_ends_at = redis.call('ZSCORE', leases, lane)
if not lease_ends_at or (ended_only ~= '' and tonumber(lease_ends_at) > tonumber(now())) then return {'kept'} end
local first = redis.call('ZRANGE', lane_deliveries, 0, 0, 'WITHSCORES')
if first[2] then
  redis.call('ZADD', lanes, string.format('%.0f', math.max(tonumber(first[2]), tonumber(not_before))), lane)
end
place_brand(lanes)
redis.call('ZREM', leases, lane)
return {'released'}
