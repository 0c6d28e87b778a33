--- KEYS  usage
--- ARGV  most_grants_a_day most_stored_bytes
--- ERR   quota-reached(quota quota_limit opens_at)
-- The part of the quotas that a grant needs, in the fields that quotas.lua describes; 300 is its estimate of a grant.
local most_grants, most_bytes, stored_usage, at_day_start, counter
-- Returns the refusal of one more grant of the brand; nil if its quotas allow it.
local function over_grants(brand, at)
  counter = 'grants ' .. brand
  local stored = redis.call('HMGET', usage, 'used ' .. brand, 'quotas ' .. brand, counter)
  most_grants, most_bytes = tonumber(most_grants_a_day), tonumber(most_stored_bytes)
  if stored[2] then
    local grants, bytes = string.match(stored[2], '^%S+ %S+ (%S+) (%S+)')
    if grants ~= '-' then most_grants = tonumber(grants) end
    if bytes ~= '-' then most_bytes = tonumber(bytes) end
  end
  if not most_grants and not most_bytes then return nil end
  local grants, now_day = tonumber(stored[3] or 0), math.floor(at / 86400000000)
  stored_usage = stored[1] or '0 0 0 0'
  local day, before, bytes, codes = string.match(stored_usage, '^(%d+) (%d+) (%d+) (%d+)$')
  if tonumber(day) ~= now_day then
    before = grants
    at_day_start = string.format('%.0f %.0f %s %s', now_day, grants, bytes, codes)
    stored_usage = at_day_start
  end
  if most_grants and grants - before >= most_grants then return {'quota-reached', 'grants_a_day', string.format('%.0f', most_grants), string.format('%.0f', (now_day + 1) * 86400000000)} end
  if most_bytes and bytes + 300 * (grants + 1) > most_bytes then return {'quota-reached', 'stored_bytes', string.format('%.0f', most_bytes), ''} end
end
-- Counts bytes that a grant has more than others; to be called before `count_grant`.
local function count_bytes(more)
  if not most_grants and not most_bytes then return end
  local day, before, bytes, codes = string.match(stored_usage, '^(%d+) (%d+) (%d+) (%d+)$')
  at_day_start = string.format('%s %s %.0f %s', day, before, bytes + more, codes)
end
local function count_grant(brand)
  if not most_grants and not most_bytes then return end
  if at_day_start then redis.call('HSET', usage, 'used ' .. brand, at_day_start) end
  redis.call('HINCRBY', usage, counter, 1)
end
