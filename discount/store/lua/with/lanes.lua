--- KEYS  due
--- ARGV  brand
-- Puts the brand where the first of its lanes is due; a brand with no lane left is not due.
local function place_brand(lanes)
  local first = redis.call('ZRANGE', lanes, 0, 0, 'WITHSCORES')
  if first[2] then redis.call('ZADD', due, first[2], brand) else redis.call('ZREM', due, brand) end
end
