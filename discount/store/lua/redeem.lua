--- Count a use of a code at a checkout or hold it, or tell all that stands in its way.
--- KEYS  discount grants uses redemption holds redemptions user_redemptions idempotency events
--- ARGV  mode user typed as_held id fingerprint discount_id order amount currency off hold_seconds valid_for term keep_seconds calendar
--- WITH  uses guesses guard
--- OK    redeemed again checked refused compare term clock
--- ERR   not-found idempotency-mismatch
local d = redis.call('HMGET', discount, 'brand', 'number', 'closed', 'paused', 'starts_at', 'expires_at', 'kind', 'code', 'used', 'limit_total', 'limit_per_user', 'limit_per_user_per_day', 'limit_per_user_per_week', 'last_hold')
if not d[1] then return {'not-found'} end
local at = now()
local before = redis.call('HMGET', redemption, 'fingerprint', 'state', 'hold_until', 'discount')
-- Most discounts hold nothing, and then no hold is looked for.
local holding = d[14] and d[14] > at
local kept_hold = holding and redis.call('ZSCORE', holds, id)
local granted_at, code = string.match(redis.call('HGET', grants, user) or '', '^(%d+) (.*)$')
if d[7] == 'shared' then code = d[8] end
local right = false
if code then
  if as_held ~= '' then
    right = code == as_held
  elseif string.find(code, '[\128-\255]') then
    -- Beyond ASCII only the caller knows what is the same to a reader.
    return {'compare', code}
  else
    right = string.lower((string.gsub(code, '[ -]', ''))) == typed
  end
end

-- When a duration of months is over only the caller knows, who is told from when on to count.
local counted_from, term_ends = string.match(term, '^(%d+) (%d+)$')
if right and valid_for == 'by-calendar' and granted_at and counted_from ~= granted_at then return {'term', granted_at} end

-- A wrong code learns nothing of the order either.
if right and mode ~= 'check' then
  local known = keep_seconds ~= '' and redis.call('GET', idempotency)
  if known and known ~= fingerprint then return {'idempotency-mismatch'} end
  -- A hold that ended, or gave way to another of its holder, is as if it had never been. Of another discount's it cannot
  -- be told whether it gave way.
  if before[1] and (before[2] ~= 'held' or (before[3] > at and (kept_hold or before[4] ~= discount_id))) then
    if before[1] ~= fingerprint then return {'idempotency-mismatch'} end
    return {'again', unpack(redis.call('HGETALL', redemption))}
  end
end
-- An order is held anew where its hold was over: when that was is kept, since events were written then.
local earlier = before[1] and redis.call('HMGET', redemption, 'at', 'earlier_at')
local stopped = too_many_guesses()
if stopped then return stopped end

-- Three days, today in their middle: each its start, its end, its name, its week's name and end.
local today
for start, till, day, week, week_till in string.gmatch(calendar, '(%d+),(%d+),(%d+),(%d+),(%d+)') do
  if start <= at and at < till then today = {till = till, day = day, week = week, week_till = week_till} end
end
if not today then return {'clock', at} end

local mine = read_uses(redis.call('HGET', uses, user))
-- Where the clock went back, as after a failover, the latest day that the user was seen in goes on.
if mine.day > today.day then today.day = mine.day end
if mine.week > today.week then today.week = mine.week end
local all_held = holding and redis.call('ZCOUNT', holds, '(' .. at, '+inf') or 0
local own = {}
for _, hold in ipairs(mine.holds) do
  if hold.till > at then own[#own + 1] = hold end
end
local left, hit

local function judge(giving_way)
  local of_user, of_day, of_week = 0, 0, 0
  if #giving_way == 0 then
    for _, hold in ipairs(own) do
      of_user = of_user + 1
      if hold.day == today.day then of_day = of_day + 1 end
      if hold.week == today.week then of_week = of_week + 1 end
    end
  end
  left, hit = {}, {}
  local function limit(name, most, used, held, opens_at)
    if not most then return end
    most = tonumber(most)
    left[name] = math.max(0, most - used - held)
    if left[name] > 0 then return end
    -- The own holds give way: what then still stands in the way of one's own limits is used for good.
    if name == 'total' and used < most then
      -- When so many holds have ended that one use is left. Those that give way stand among them and do not count.
      local ends = redis.call('ZRANGEBYSCORE', holds, '(' .. at, '+inf', 'WITHSCORES', 'LIMIT', string.format('%.0f', used + held - most), #giving_way + 1)
      for n = 1, #ends / 2 do
        local till, before = string.format('%.0f', tonumber(ends[2 * n])), 0
        for _, hold in ipairs(giving_way) do
          if hold.till <= till then before = before + 1 end
        end
        if opens_at == '' and n > before then opens_at = till end
      end
    end
    if most == 0 then opens_at = '' end
    hit[#hit + 1] = {name == 'per_user' and used > 0 and most == 1 and 'already-redeemed' or 'limit-reached', name, opens_at}
  end
  limit('total', d[10], tonumber(d[9] or 0), all_held - #giving_way, '')
  limit('per_user', d[11], mine.used, of_user, '')
  limit('per_user_per_day', d[12], mine.day == today.day and mine.of_day or 0, of_day, today.till)
  limit('per_user_per_week', d[13], mine.week == today.week and mine.of_week or 0, of_week, today.week_till)
end
judge({})
local gives_way = {}
-- A holder who starts again must not stand in the own way.
if #hit > 0 and #own > 0 then
  gives_way = own
  judge(own)
end

local reasons = {}
-- After a close that keeps, codes are good for those who hold a grant. Only a shared code can be right without one.
if d[3] == 'void' or (d[3] and not granted_at) then reasons[#reasons + 1] = {'closed'} end
if d[4] then reasons[#reasons + 1] = {'paused'} end
if d[5] and at < d[5] then reasons[#reasons + 1] = {'not-started', d[5]} end
local expires_at = d[6] or ''
if right and valid_for ~= '' and granted_at then
  local ends = valid_for == 'by-calendar' and term_ends or string.format('%016.0f', tonumber(granted_at) + tonumber(valid_for))
  if expires_at == '' or ends < expires_at then expires_at = ends end
end
if expires_at ~= '' and at >= expires_at then reasons[#reasons + 1] = {'expired', expires_at} end
for _, each in ipairs(hit) do reasons[#reasons + 1] = each end

if not right then
  count_guess()
  return {'refused', '[["not-granted"]]'}
end
if mode ~= 'redeem' then return {'checked', #reasons > 0 and cjson.encode(reasons) or '[]', cjson.encode(left)} end
if #reasons > 0 then return {'refused', cjson.encode(reasons)} end

local hold_until = ''
if hold_seconds ~= '' then hold_until = string.format('%016.0f', tonumber(at) + tonumber(hold_seconds) * 1000000) end
for name in pairs(left) do left[name] = left[name] - 1 end
local used = tonumber(d[9] or 0) + 1
if hold_until == '' then
  redis.call('XADD', events, '*', 'type', 'code.redeemed', 'at', at, 'brand', d[1], 'number', d[2], 'user', user, 'code', code, 'redemption', id, 'amount', amount, 'currency', currency, 'discount_amount', off)
  if d[10] and used == tonumber(d[10]) then
    redis.call('XADD', events, '*', 'type', 'discount.limit-reached', 'at', at, 'brand', d[1], 'number', d[2], 'limit', 'total')
  end
end
redis.call('HSET', redemption, 'state', hold_until == '' and 'redeemed' or 'held', 'at', at, 'hold_until', hold_until, 'user', user, 'code', code, 'amount', amount, 'currency', currency, 'discount_amount', off, 'day', today.day, 'week', today.week, 'fingerprint', fingerprint, 'left', cjson.encode(left), 'discount', discount_id, 'brand', d[1], 'order', order)
if earlier then redis.call('HSET', redemption, 'earlier_at', string.sub((earlier[2] or '') .. ' ' .. earlier[1], -1700)) end
for _, hold in ipairs(gives_way) do
  take_hold(mine, hold.id)
  redis.call('ZREM', holds, hold.id)
end
if hold_until == '' then
  count_use(mine, today.day, today.week)
  redis.call('HINCRBY', discount, 'used', 1)
  redis.call('HINCRBY', discount, 'redeemed', 1)
  redis.call('HINCRBY', discount, 'orders:' .. currency, amount)
  redis.call('HINCRBY', discount, 'discounts:' .. currency, off)
else
  if mine.day == '' then mine.day, mine.week = today.day, today.week end
  mine.holds[#mine.holds + 1] = {id = id, till = hold_until, day = today.day, week = today.week}
  redis.call('ZREMRANGEBYSCORE', holds, '-inf', at)
  redis.call('ZADD', holds, hold_until, id)
  -- While this lies ahead, a look at the discount counts its holds.
  if hold_until > (d[14] or '') then redis.call('HSET', discount, 'last_hold', hold_until) end
end
redis.call('HSET', uses, user, write_uses(mine, at))
redis.call('ZADD', redemptions, at, id)
redis.call('ZADD', user_redemptions, at, id)
if keep_seconds ~= '' then redis.call('SET', idempotency, fingerprint, 'EX', keep_seconds) end
return {'redeemed', at, code, hold_until, cjson.encode(left)}
