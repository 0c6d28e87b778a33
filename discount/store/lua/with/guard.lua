--- KEYS  caller_key caller_rate address_rate
--- ARGV  key_digest caller_most caller_seconds address_most address_seconds
--- ERR   unauthenticated too-many-requests(retry_after)
local function count_request(rate, most, seconds)
  local requests = redis.call('INCR', rate)
  if requests == 1 then redis.call('EXPIRE', rate, seconds) end
  return tonumber(most) - requests, redis.call('TTL', rate)
end
-- Runs the script if its caller's key exists and both caller and address are within their limits.
-- Appends the requests left in the caller's window, and the seconds to its end, to the answer.
local function guarded(run)
  if key_digest ~= '' then
    local key = redis.call('HMGET', caller_key, 'digest', 'expires_at', 'used_at')
    local at = now()
    if key[1] ~= key_digest or (key[2] and at >= key[2]) then return {'unauthenticated'} end
    if not key[3] or tonumber(at) - tonumber(key[3]) > 60000000 then redis.call('HSET', caller_key, 'used_at', at) end
  end
  local left, seconds_left
  if address_most ~= '' then
    left, seconds_left = count_request(address_rate, address_most, address_seconds)
    if left < 0 then return {'too-many-requests', tostring(seconds_left)} end
  end
  if caller_most ~= '' then
    left, seconds_left = count_request(caller_rate, caller_most, caller_seconds)
    if left < 0 then return {'too-many-requests', tostring(seconds_left)} end
  end
  local answer = run()
  if caller_most ~= '' then
    answer[#answer + 1] = tostring(left)
    answer[#answer + 1] = tostring(seconds_left)
  end
  return answer
end
