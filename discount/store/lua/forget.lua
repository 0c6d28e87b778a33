--- Make what a user has of one discount nobody's: the grant, the uses, the redemptions. Counts stay.
--- KEYS  grants grants_of_nobody buckets uses uses_of_nobody users user_redemptions redemptions...
--- ARGV  user nobody bucket number in_all named
--- OK    forgotten changed
--- ERR
-- Another redemption since the caller looked would be left with the user's name.
if redis.call('ZCARD', user_redemptions) ~= tonumber(in_all) then return {'changed'} end
local code
local held = redis.call('HGET', grants, user)
if held then
  local at, given = string.match(held, '^(%d+) (.*)$')
  code = named ~= '' and nobody or given
  redis.call('HSET', grants_of_nobody, nobody, at .. ' ' .. code)
  redis.call('SETBIT', buckets, bucket, 1)
  redis.call('HDEL', grants, user)
end
local used = redis.call('HGET', uses, user)
if used then
  redis.call('HSET', uses_of_nobody, nobody, used)
  redis.call('HDEL', uses, user)
end
for _, redemption in ipairs(redemptions) do
  redis.call('HSET', redemption, 'user', nobody)
  if named ~= '' then redis.call('HSET', redemption, 'code', nobody) end
  redis.call('HSET', redemption, 'fingerprint', '')
  redis.call('HDEL', redemption, 'reason')
  redis.call('ZREM', user_redemptions, string.match(redemption, ':([^:]+)$'))
end
local left = {}
for each in string.gmatch(redis.call('HGET', users, user) or '', '%S+') do
  if each ~= number then left[#left + 1] = each end
end
if #left > 0 then redis.call('HSET', users, user, table.concat(left, ' ')) else redis.call('HDEL', users, user) end
return {'forgotten', held and '1' or '0'}
