--- Anonymise the grant, the uses and some redemptions of a user of one discount. All counts stay.
--- COST  O(log n) in the redemptions of the user for each of at most 500 redemptions.
--- KEYS  usage discount waits waits_due grants grants_of_nobody buckets uses uses_of_nobody users user_redemptions events records...
--- ARGV  discount_id user nobody bucket brand number page named by request_id ids...
--- WITH  held records put_records unlist
--- OK    forgotten(grants entry_id)  The records are anonymous; `grants` is how many there were, 0 or 1, `entry_id` is that of the event.
--- ERR
local granted, used = redis.call('HGET', grants, user), redis.call('HGET', uses, user)
local held_text = redis.call('HGET', users, user)
local held = held_functions()
local code = granted and string.match(granted, '^%d+ ([^\n]*)') or ''
local in_page, in_codes, traces = user .. '\n' .. page, held.code_field(user, brand, code), user .. '\n~'
local numbers = redis.call('HMGET', users, in_page, in_codes, traces)
local notes = redis.call('HGET', grants, user .. '\n')
local is_waiting, all_waits = redis.call('ZSCORE', waits, user), redis.call('HGET', discount, 'waits')
-- The user was not to be granted another code.
local blocked = granted == '-'

local found, shorts = {}, {}
for n, id in ipairs(ids) do
  shorts[n] = short_id(id)
  local r = find_record({records[3 * n - 2], records[3 * n - 1], records[3 * n]}, shorts[n])
  if r and r.user == user then found[#found + 1] = r end
end
-- Readers of the stream rename the user likewise.
local entry_id = redis.call('XADD', events, '*', 'type', 'user.forgotten', 'at', now(), 'brand', brand, 'number', number, 'user', user, 'nobody', nobody, 'named', named, 'by', by, 'request', request_id)
if notes then
  if named ~= '' then notes = string.gsub(notes, '(%d+ %l+) %S* (%d+) [^\n]*', '%1 ' .. nobody .. ' %2 ' .. nobody) end
  redis.call('HSET', grants_of_nobody, nobody .. '\n', notes)
  redis.call('SETBIT', buckets, bucket, 1)
  redis.call('HDEL', grants, user .. '\n')
end
if blocked then
  redis.call('HDEL', grants, user)
elseif granted then
  redis.call('HSET', grants_of_nobody, nobody, string.match(granted, '^%d+ ') .. (named ~= '' and nobody or code))
  redis.call('SETBIT', buckets, bucket, 1)
  redis.call('HDEL', grants, user)
end
if used then
  -- A rollback between two slices may have written the user's uses again; the first ones are right.
  redis.call('HSETNX', uses_of_nobody, nobody, used)
  redis.call('HDEL', uses, user)
end
for _, r in ipairs(found) do
  r.user, r.reason = nobody, ''
  if named ~= '' then r.code = nobody end
  -- Metadata may name the user.
  r.order = string.match(r.order, '^[^\n]*')
  put_record(r)
end
if #shorts > 0 then unlist_for_user(users, user, user_redemptions, shorts) end
if is_waiting then
  redis.call('HINCRBY', usage, 'waits ' .. brand, -1)
  if all_waits == '1' then
    redis.call('HDEL', discount, 'waits')
    redis.call('ZREM', waits_due, discount_id)
  else
    redis.call('HINCRBY', discount, 'waits', -1)
  end
  redis.call('ZREM', waits, user)
end
local codes = held.read(held_text)
codes.few = held.without_number(codes.few, number)
for n, field in ipairs({in_page, in_codes, traces}) do
  local kept = held.without_number(numbers[n], number)
  if numbers[n] and kept ~= numbers[n] then
    if n == 1 then codes.gone = codes.gone + 1 end
    if kept ~= '' then redis.call('HSET', users, field, kept) else redis.call('HDEL', users, field) end
  end
end
local text = held.write(codes)
if text ~= '' then redis.call('HSET', users, user, text) else redis.call('HDEL', users, user) end
return {'forgotten', granted and not blocked and '1' or '0', entry_id}
