--- Turn an event into the deliveries that it owes, once.
--- COST  O(log n) in the deliveries of the brand for each delivery owed, and for each that is forgotten.
--- KEYS  events leases brand_deliveries delivery_keys...
--- ARGV  group entry forgotten_before brand owed
--- OK    planned  The deliveries that were not there before are stored.
--- ERR
-- Of each delivery: its id, its lane, when it is due ('' for never), and its fields. Their records come first in delivery_keys,
-- then their lanes, then the brand's lanes of each one's kind, then the brands of that kind that are due.
local list, fresh, leased = cjson.decode(owed), {}, {}
for n, each in ipairs(list) do
  fresh[n] = redis.call('EXISTS', delivery_keys[n]) == 0
  leased[n] = redis.call('ZSCORE', leases, each[2])
end
local at = now()
for n, each in ipairs(list) do
  if fresh[n] then
    local lane_deliveries, lanes, due = #list + n, 2 * #list + n, 3 * #list + n
    redis.call('HSET', delivery_keys[n], 'created_at', at, 'since', at, unpack(each[4]))
    redis.call('ZADD', brand_deliveries, at, each[1])
    if each[3] ~= '' then
      redis.call('ZADD', delivery_keys[lane_deliveries], each[3], each[1])
      -- Who has the lane now puts it back by what is due in it.
      if not leased[n] then
        redis.call('ZADD', delivery_keys[lanes], 'LT', each[3], each[2])
        redis.call('ZADD', delivery_keys[due], 'LT', each[3], brand)
      end
    end
  end
end
redis.call('ZREMRANGEBYSCORE', brand_deliveries, '-inf', forgotten_before)
if entry ~= '' then redis.call('XACK', events, group, entry) end
return {'planned'}
