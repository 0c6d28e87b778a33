--- KEYS  caller_key caller_rate address_rate
--- ARGV  key_digest caller_most caller_seconds address_most address_seconds
--- ERR   unauthenticated too-many-requests(retry_after)
local function count_request(rate, most, seconds)
  local asked = redis.call('INCR', rate)
  if asked == 1 then redis.call('EXPIRE', rate, seconds) end
  return tonumber(most) - asked, redis.call('TTL', rate)
end
-- Does what the script does, if its caller's key still stands and neither caller nor address asks too often.
-- What is left of the caller's window is told behind the answer.
local function guarded(act)
  if key_digest ~= '' then
    local key = redis.call('HMGET', caller_key, 'digest', 'expires_at', 'used_at')
    local at = now()
    if key[1] ~= key_digest or (key[2] and at >= key[2]) then return {'unauthenticated'} end
    if not key[3] or tonumber(at) - tonumber(key[3]) > 60000000 then redis.call('HSET', caller_key, 'used_at', at) end
  end
  local left, reset
  if address_most ~= '' then
    left, reset = count_request(address_rate, address_most, address_seconds)
    if left < 0 then return {'too-many-requests', tostring(reset)} end
  end
  if caller_most ~= '' then
    left, reset = count_request(caller_rate, caller_most, caller_seconds)
    if left < 0 then return {'too-many-requests', tostring(reset)} end
  end
  local answer = act()
  if caller_most ~= '' then
    answer[#answer + 1] = tostring(left)
    answer[#answer + 1] = tostring(reset)
  end
  return answer
end
