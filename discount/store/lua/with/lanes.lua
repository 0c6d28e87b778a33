--- KEYS  due
--- ARGV  brand
-- Moves the brand to the time at which its first lane is due; removes it if it has no lane.
local function place_brand(lanes)
  local first = redis.call('ZRANGE', lanes, 0, 0, 'WITHSCORES')
  if first[2] then redis.call('ZADD', due, first[2], brand) else redis.call('ZREM', due, brand) end
end
