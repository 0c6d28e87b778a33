--- Take a code back from a user: void it, return it to the pool, or pass it on to the next user.
--- COST  O(1), and at most 20 codes that were taken back from the user before, and serve for at most 50 users.
--- KEYS  discount codes grants buckets users next_grants next_users uses events taken...
--- ARGV  user granted canonical page reason back next_user next_bucket reissue unclaimed by request_id candidates...
--- WITH  grant_quotas held notes uses releases levels waits
--- OK    taken-back(at)  The user's code is taken back; or only `reissue` was new.
--- OK    again(at)       Nothing is changed: this grant was taken back before.
--- OK    claimed(until)  Nothing is changed: the user has used the code, or holds a use of it until then.
--- OK    changed         The user's grant is not `granted` any more; look it up again.
--- OK    template        The discount makes codes for each user; call again with candidates for the next user.
--- OK    clash           Every candidate is given already; call again with others.
--- ERR   not-found not-granted revoked already-granted closed paused expired(expires_at) not-started(starts_at)
local d = redis.call('HMGET', discount, 'brand', 'number', 'kind', 'granted', 'made', 'closed', 'paused', 'expires_at', 'starts_at', 'code')
if not d[1] then return {'not-found'} end
local at = now()
local held, notes = redis.call('HGET', grants, user), redis.call('HGET', grants, user .. '\n')
local last_at, last_back, last_granted = last_note(notes)
local first_line = string.match(granted, '^[^\n]*')
-- The same call again, after its answer was lost.
local only_reissue = held == '-' and reissue == '1'
local is_done = held == '-' or (held ~= granted and last_granted == first_line) or (not held and granted == '-')
if not only_reissue and is_done then return {'again', last_at} end
if not held then return {'not-granted'} end
if held ~= granted then return {'changed'} end
if unclaimed == '1' then
  local user_uses, hold_until = read_uses(redis.call('HGET', uses, user)), ''
  for _, hold in ipairs(user_uses.holds) do
    if hold.ends_at > at and hold.ends_at > hold_until then hold_until = hold.ends_at end
  end
  if user_uses.used > 0 then return {'claimed', ''} end
  if hold_until ~= '' then return {'claimed', hold_until} end
end
local code = string.match(only_reissue and last_granted or first_line, '^%d+ (.*)$')
local next_code, n_free, digest = code, nil, ''
if not only_reissue and back ~= 'void' and d[6] then return {'closed'} end
if not only_reissue and back == 'next' then
  if d[7] then return {'paused'} end
  if d[8] and at >= d[8] then return {'expired', d[8]} end
  if d[9] and at < d[9] then return {'not-started', d[9]} end
  local of_next = redis.call('HGET', next_grants, next_user)
  if of_next == '-' then return {'revoked'} end
  if of_next then return {'already-granted'} end
  local stopped = over_grants(d[1], at)
  if stopped then return stopped end
  if d[3] == 'personal' then
    -- The code has the name of its user: the next one gets another.
    if not candidates[1] then return {'template'} end
    for n = 1, #taken do
      digest = candidates[2 * n]
      if digest == '' or redis.call('SISMEMBER', taken[n], digest) == 0 then
        n_free = n
        break
      end
    end
    if not n_free then return {'clash'} end
    next_code = string.gsub(candidates[2 * n_free - 1], '{seq}', string.format('%.0f', d[4] + d[5] + 1))
  end
end
local held_by_user = held_functions()
local in_page, in_codes = user .. '\n' .. page, held_by_user.code_field(user, d[1], code)
local text = redis.call('HGET', users, user)
local listed = redis.call('HMGET', users, in_page, in_codes, user .. '\n~')

local next_page, next_codes, next_numbers = '', '', nil
local next_text = back == 'next' and redis.call('HGET', next_users, next_user)
local of_next = held_by_user.read(next_text)
if held_by_user.is_full(of_next) then
  next_page, next_codes = held_by_user.page_field(next_user, of_next.made), held_by_user.code_field(next_user, d[1], next_code)
  next_numbers = redis.call('HMGET', next_users, next_page, next_codes)
end

if only_reissue then
  -- The code is back already; now the user may be granted another one.
  redis.call('XADD', events, '*', 'type', 'code.revoked', 'at', at, 'brand', d[1], 'number', d[2], 'user', user, 'code', code, 'reason', reason, 'back', last_back, 'next', '', 'reissue', '1', 'by', by, 'request', request_id)
  redis.call('HDEL', grants, user)
  return {'taken-back', last_at}
end
redis.call('XADD', events, '*', 'type', 'code.revoked', 'at', at, 'brand', d[1], 'number', d[2], 'user', user, 'code', code, 'reason', reason, 'back', back, 'next', next_user, 'reissue', reissue, 'by', by, 'request', request_id)
if back == 'next' then
  redis.call('XADD', events, '*', 'type', 'code.granted', 'at', at, 'brand', d[1], 'number', d[2], 'user', next_user, 'code', next_code)
end
-- The latest codes stay with the user's name, so that the checkout can say what happened to them.
local line = at .. ' ' .. back .. ' ' .. canonical .. ' ' .. first_line
redis.call('HSET', grants, user .. '\n', last_lines(notes, 19) .. line)
if reissue == '1' then redis.call('HDEL', grants, user) else redis.call('HSET', grants, user, '-') end
local held_codes = held_by_user.read(text)
held_codes.few = held_by_user.without_number(held_codes.few, d[2])
for n, field in ipairs({in_page, in_codes}) do
  local kept = held_by_user.without_number(listed[n], d[2])
  if listed[n] and kept ~= listed[n] then
    if n == 1 then held_codes.gone = held_codes.gone + 1 end
    if kept ~= '' then redis.call('HSET', users, field, kept) else redis.call('HDEL', users, field) end
  end
end
text = held_by_user.write(held_codes)
if text ~= '' then redis.call('HSET', users, user, text) else redis.call('HDEL', users, user) end
redis.call('HSET', users, user .. '\n~', held_by_user.with_number(held_by_user.without_number(listed[3], d[2]), d[2]))
if back == 'void' then
  redis.call('HINCRBY', discount, 'revoked', 1)
elseif back == 'pool' then
  redis.call('HINCRBY', discount, 'granted', -1)
  redis.call('HSET', discount, 'returned', '1')
  if d[3] == 'unique' or d[3] == 'imported' then redis.call('LPUSH', codes, code) end
else
  redis.call('HSET', next_grants, next_user, at .. ' ' .. next_code)
  redis.call('SETBIT', buckets, next_bucket, 1)
  if next_numbers then
    of_next.made = of_next.made + 1
    redis.call('HSET', next_users, next_user, held_by_user.write(of_next), next_page, held_by_user.with_number(next_numbers[1], d[2]), next_codes, held_by_user.with_number(next_numbers[2], d[2]))
  else
    redis.call('HSET', next_users, next_user, held_by_user.with_number(next_text, d[2]))
  end
  if digest ~= '' then redis.call('SADD', taken[n_free], digest) end
  count_grant(d[1])
end
-- The number in a personal code counts on: no number comes twice.
if d[3] == 'personal' and back ~= 'void' then redis.call('HINCRBY', discount, 'made', 1) end
-- A code in the pool goes to the next user who waits. The brand has had the events of a total that is granted.
if back == 'pool' then hand_out(discount, codes, buckets, events, taken, 1, true) end
return {'taken-back', at}
