--- Put users on a list of a brand; the first ones make the list.
--- COST  O(n) in the users of the slice, which the caller bounds.
--- KEYS  listing user_lists sets...
--- ARGV  brand name most_lists most_users digests...
--- WITH  grant_quotas quotas copies
--- OK    added(added_count)  So many of the users were not on the list.
--- OK    full                Nothing is changed: the list or the brand has the most that it may have.
--- ERR
-- `sets` has the key of the set for each digest.
local known = redis.call('HGET', user_lists, name)
if not known and redis.call('HLEN', user_lists) >= tonumber(most_lists) then return {'full'} end
local fresh, seen = {}, {}
for n = 1, #digests do
  if not seen[digests[n]] and redis.call('SISMEMBER', sets[n], digests[n]) == 0 then fresh[#fresh + 1] = n end
  seen[digests[n]] = true
end
if tonumber(known or 0) + #fresh > tonumber(most_users) then return {'full'} end
read_usage(brand)
local bytes = #fresh * bytes_of.listed_user
local stopped = #fresh > 0 and over_quota('stored_bytes', bytes)
if stopped then return stopped end

redis.call('HSET', user_lists, name, string.format('%.0f', tonumber(known or 0) + #fresh))
redis.call('SADD', listing, brand)
local changed = {}
for i, n in ipairs(fresh) do
  redis.call('SADD', sets[n], digests[n])
  changed[i] = sets[n]
end
if #fresh > 0 then count_use_of(bytes, 0) end
copy_later(user_lists, listing .. '\n' .. brand, unpack(changed))
return {'added', tostring(#fresh)}
