--- ARGV  most_discounts most_codes
--- ERR   quota-reached(quota quota_limit opens_at)
-- For a script that has grant_quotas, too: that has the other arguments.
-- The estimated bytes in Redis of a discount, a code in a pool, an imported code with its digest, a grant, a user
-- who waits, and a user on a list.
local bytes_of = {discount = 2000, code = 20, imported = 80, grant = 300, wait = 250, listed_user = 12}
-- What a brand uses, and the most that it may use. A quota of its own replaces the setting; `-` is none, `off` no limit.
local most = {discounts = tonumber(most_discounts), codes = tonumber(most_codes), grants_a_day = tonumber(most_grants_a_day), stored_bytes = tonumber(most_stored_bytes)}
local used = {}
-- Grants have a counter of their own, to which a grant only adds one. `used` has the day, the count of grants at its
-- start, the bytes of all but the grants, and the codes.
local function read_usage(brand)
  local stored = redis.call('HMGET', usage, 'used ' .. brand, 'quotas ' .. brand, 'grants ' .. brand, 'waits ' .. brand)
  local day, grants_before, bytes, codes = string.match(stored[1] or '0 0 0 0', '^(%d+) (%d+) (%d+) (%d+)$')
  used.brand, used.bytes, used.codes = brand, tonumber(bytes), tonumber(codes)
  used.day, used.grants_before = tonumber(day), tonumber(grants_before)
  used.stored_bytes = used.bytes + bytes_of.grant * (stored[3] or 0) + bytes_of.wait * (stored[4] or 0)
  if stored[2] then
    local names, n = {'discounts', 'codes', 'grants_a_day', 'stored_bytes'}, 0
    for own in string.gmatch(stored[2], '%S+') do
      n = n + 1
      if names[n] and own ~= '-' then most[names[n]] = tonumber(own) end
    end
  end
end
-- Returns the refusal of so many more of something; nil if the quota allows them.
local function over_quota(name, more)
  if not most[name] or used[name] + more <= most[name] then return nil end
  return {'quota-reached', name, string.format('%.0f', most[name]), ''}
end
local function over_import(many)
  return over_quota('codes', many) or over_quota('stored_bytes', many * bytes_of.imported)
end
local function count_wait(brand)
  redis.call('HINCRBY', usage, 'waits ' .. brand, 1)
end
local function count_use_of(bytes, codes)
  redis.call('HSET', usage, 'used ' .. used.brand, string.format('%.0f %.0f %.0f %.0f', used.day, used.grants_before, used.bytes + bytes, math.max(0, used.codes + codes)))
end
