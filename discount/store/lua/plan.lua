--- Turn an event into the deliveries that it owes, once.
--- KEYS  events lanes leases brand_deliveries places...
--- ARGV  group entry forgotten_before owed
--- OK    planned
--- ERR
-- Of each delivery: its id, its lane, when it is due ('' for never), and its fields. Its places are its record and its queue.
local list, fresh, leased = cjson.decode(owed), {}, {}
for n, each in ipairs(list) do
  fresh[n] = redis.call('EXISTS', places[2 * n - 1]) == 0
  leased[n] = redis.call('ZSCORE', leases, each[2])
end
local at = now()
for n, each in ipairs(list) do
  if fresh[n] then
    redis.call('HSET', places[2 * n - 1], 'created_at', at, 'since', at, unpack(each[4]))
    redis.call('ZADD', brand_deliveries, at, each[1])
    if each[3] ~= '' then
      redis.call('ZADD', places[2 * n], each[3], each[1])
      -- Who has the lane now puts it back by what is in its queue.
      if not leased[n] then redis.call('ZADD', lanes, 'LT', each[3], each[2]) end
    end
  end
end
redis.call('ZREMRANGEBYSCORE', brand_deliveries, '-inf', forgotten_before)
if entry ~= '' then redis.call('XACK', events, group, entry) end
return {'planned'}
