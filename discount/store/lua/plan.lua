--- Store the planned deliveries of an event, once.
--- COST  O(log n) in the deliveries of the brand for each planned delivery, and for each old one that leaves the list.
--- KEYS  events leases brand_deliveries delivery_keys...
--- ARGV  group entry forgotten_before brand planned
--- OK    planned  The deliveries that were not there before are stored.
--- ERR
-- `planned` has for each delivery: its id, its lane, when it is due ('' for never), and its fields. `delivery_keys` has
-- four runs of one key per delivery: its record, its lane, the brand's lanes of its kind, and the due brands of its kind.
local list, fresh, leased = cjson.decode(planned), {}, {}
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
      -- A leased lane is listed again when its worker releases it.
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
