-- The first redemptions of a discount are in a sorted set, which Redis keeps packed; all others are in a stream whose ids
-- are their times. The discount has the last of them as `listed`. A time before it goes to the sorted set.
local function goes_to_stream(redemptions, at, listed)
  if listed then return at > listed end
  return redis.call('ZCARD', redemptions) >= 128
end
local function list_for_discount(discount, redemptions, more_redemptions, short, at)
  if goes_to_stream(redemptions, at, redis.call('HGET', discount, 'listed')) then
    redis.call('XADD', more_redemptions, at .. '-0', 'r', short)
    redis.call('HSET', discount, 'listed', at)
  else
    redis.call('ZADD', redemptions, at, short)
  end
end
-- A user's first four redemptions are short ids of 16 letters in a field of the users' bucket, more are in a sorted set.
local function list_for_user(users, user, user_redemptions, short, at)
  local field = user .. '\n$'
  local few = redis.call('HGET', users, field) or ''
  for n = 1, #few, 16 do
    if string.sub(few, n, n + 15) == short then return end
  end
  if #few < 64 then redis.call('HSET', users, field, few .. short) else redis.call('ZADD', user_redemptions, at, short) end
end
