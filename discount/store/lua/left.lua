--- Return what is left of a discount's limits for a user now.
--- COST  O(log n) in the holds of the discount, at most 25 holds of the user, and 1,000 holds that ended.
--- KEYS  discount uses holds
--- ARGV  user calendar currency
--- WITH  uses limits bounds
--- OK    left(limits)  A JSON object: what is left, by name of the limit.
--- OK    clock(now)    No day of `calendar` holds the time on the Redis server; call again with days around it.
--- ERR
local at = now()
local today = find_day(calendar, at)
if not today then return {'clock', at} end
local d = redis.call('HMGET', discount, 'used', 'limit_total', 'limit_per_user', 'limit_per_user_per_day', 'limit_per_user_per_week', 'bounded')
local user_uses = read_uses(redis.call('HGET', uses, user))
stay_in_latest_day(today, user_uses)
local user_holds, bounds = find_live(user_uses, at), nil
if d[6] then
  bounds = bounds_functions()
  bounds.open(currency, at)
  bounds.stay(today, user_uses, user_holds)
end
local all_held = redis.call('ZCOUNT', holds, '(' .. at, '+inf')
local limits = count_limits({d[2], d[3], d[4], d[5]}, tonumber(d[1] or 0), all_held, user_uses, user_holds, today)
if bounds then bounds.add(limits, user_holds, today, '0') end
return {'left', cjson.encode(left_of(limits))}
