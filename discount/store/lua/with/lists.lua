-- The first redemptions of a discount are in a sorted set, which Redis keeps packed; all others are in a stream whose ids
-- are their times. A time before the last of the stream goes to the sorted set.
local function list_for_discount(redemptions, more_redemptions, short, at)
  local last = redis.call('XREVRANGE', more_redemptions, '+', '-', 'COUNT', 1)[1]
  if (last and at <= string.match(last[1], '^%d+')) or (not last and redis.call('ZCARD', redemptions) < 128) then
    redis.call('ZADD', redemptions, at, short)
  else
    redis.call('XADD', more_redemptions, at .. '-0', 'r', short)
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
