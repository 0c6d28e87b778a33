--- Make what a user has of one discount nobody's: the grant, the uses, the redemptions. Counts stay.
--- KEYS  grants grants_of_nobody buckets uses uses_of_nobody users user_redemptions records...
--- ARGV  user nobody bucket number in_all named
--- OK    forgotten changed
--- ERR
-- Another redemption since the caller looked would be left with the user's name.
if redis.call('ZCARD', user_redemptions) ~= tonumber(in_all) then return {'changed'} end
local held, used = redis.call('HGET', grants, user), redis.call('HGET', uses, user)
local left = {}
for each in string.gmatch(redis.call('HGET', users, user) or '', '%S+') do
  if each ~= number then left[#left + 1] = each end
end

if held then
  local at, given = string.match(held, '^(%d+) (.*)$')
  local code = named ~= '' and nobody or given
  redis.call('HSET', grants_of_nobody, nobody, at .. ' ' .. code)
  redis.call('SETBIT', buckets, bucket, 1)
  redis.call('HDEL', grants, user)
end
if used then
  redis.call('HSET', uses_of_nobody, nobody, used)
  redis.call('HDEL', uses, user)
end
for n = 1, #records do
  redis.call('HSET', records[n], 'user', nobody)
  if named ~= '' then redis.call('HSET', records[n], 'code', nobody) end
  redis.call('HDEL', records[n], 'reason')
  redis.call('ZREM', user_redemptions, string.match(records[n], ':([^:]+)$'))
end
if #left > 0 then redis.call('HSET', users, user, table.concat(left, ' ')) else redis.call('HDEL', users, user) end
return {'forgotten', held and '1' or '0'}
