--- Anonymise the grant, the uses and some redemptions of a user of one discount. All counts stay.
--- COST  O(log n) in the redemptions of the user for each of at most 500 redemptions.
--- KEYS  grants grants_of_nobody buckets uses uses_of_nobody users user_redemptions records...
--- ARGV  user nobody bucket brand number page named
--- WITH  held
--- OK    forgotten(grants)  The records are anonymous; `grants` is how many there were: 0 or 1.
--- ERR
local granted, used = redis.call('HGET', grants, user), redis.call('HGET', uses, user)
local held_text = redis.call('HGET', users, user)
local code = granted and string.match(granted, '^%d+ (.*)$') or ''
local held = held_functions()
local in_page, in_codes = user .. '\n' .. page, held.code_field(user, brand, code)
local numbers = redis.call('HMGET', users, in_page, in_codes)

if granted then
  redis.call('HSET', grants_of_nobody, nobody, string.match(granted, '^%d+ ') .. (named ~= '' and nobody or code))
  redis.call('SETBIT', buckets, bucket, 1)
  redis.call('HDEL', grants, user)
end
if used then
  -- A rollback between two slices may have written the user's uses again; the first ones are right.
  redis.call('HSETNX', uses_of_nobody, nobody, used)
  redis.call('HDEL', uses, user)
end
for n = 1, #records do
  redis.call('HSET', records[n], 'user', nobody)
  if named ~= '' then redis.call('HSET', records[n], 'code', nobody) end
  redis.call('HDEL', records[n], 'reason')
  redis.call('ZREM', user_redemptions, string.match(records[n], ':([^:]+)$'))
end
local codes = held.read(held_text)
codes.few = held.without_number(codes.few, number)
for n, field in ipairs({in_page, in_codes}) do
  local kept = held.without_number(numbers[n], number)
  if numbers[n] and kept ~= numbers[n] then
    if n == 1 then codes.gone = codes.gone + 1 end
    if kept ~= '' then redis.call('HSET', users, field, kept) else redis.call('HDEL', users, field) end
  end
end
local text = held.write(codes)
if text ~= '' then redis.call('HSET', users, user, text) else redis.call('HDEL', users, user) end
return {'forgotten', granted and '1' or '0'}
