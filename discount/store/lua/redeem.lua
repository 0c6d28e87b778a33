--- Redeem or hold a code at a checkout, or return every reason against it.
--- COST  O(log n) in the redemptions and holds of the discount, at most 25 holds of the user, and 100 holds that ended; with bounds, 1,000 of them.
--- KEYS  discount grants uses first second third holds redemptions more_redemptions users user_redemptions idempotency events records...
--- ARGV  mode user typed as_held id short fingerprint order amount currency discount_amount hold_seconds most_holds valid_for term keep_seconds calendar giving_way conditions
--- WITH  uses limits holds bounds bounded_uses records put_records lists guesses identities guard
--- OK    redeemed(at code hold_until left taken)  A new use, or a hold until `hold_until`; `left` is the text that its record has of the limits.
--- OK    again(record)             The order was redeemed before: its record.
--- OK    checked(reasons left taken)  Nothing is counted: a JSON list of all reasons against, and what is left of the limits.
--- OK    refused(reasons)          Nothing is redeemed: a JSON list of reasons, each an object with its slug and facts.
--- OK    ready                   Nothing is in the way of mode `try`, which counts nothing.
--- OK    caps(taken)               A budget leaves this much; call again with it as `discount_amount`, shared among the lines.
--- OK    compare(code)             Only the caller can compare this code; call again with `as_held`.
--- OK    term(granted_at)          Only the caller can add months to this; call again with `term`.
--- OK    clock(now)                No day of `calendar` holds the time on the Redis server; call again with days around it.
--- OK    gives-way(ids...)         These holds of the user must be released first; call again with them, and with the three lists of each.
--- OK    settled                 Up to 1,000 holds that ended are off the counts; call again for the others.
--- ERR   not-found
-- `taken` is what comes off: `discount_amount`, or what is left of a budget. `conditions` is a JSON object, or empty: the
-- openings of the discount, and the identity to claim, whose keys are at the end of `records`.
local d = redis.call('HMGET', discount, 'brand', 'number', 'closed', 'paused', 'starts_at', 'expires_at', 'kind', 'code', 'used', 'limit_total', 'limit_per_user', 'limit_per_user_per_day', 'limit_per_user_per_week', 'last_hold', 'redeemed', 'orders:' .. currency, 'discounts:' .. currency, 'bounded', 'listed')
if not d[1] then return {'not-found'} end
local at = now()
local value = redis.call('HGET', grants, user)
local granted_at, code = string.match(value or '', '^(%d+) ([^\n]*)')
if d[7] == 'shared' then code = d[8] end
local right = false
if code then
  if as_held ~= '' then
    right = code == as_held
  elseif string.find(code, '[\128-\255]') then
    -- Only the caller, which knows Unicode, can compare codes beyond ASCII.
    return {'compare', code}
  else
    right = string.lower((string.gsub(code, '[ -]', ''))) == typed
  end
end

-- A code that was taken back is no wrong code: an order that was redeemed before gets its first answer.
local revoked = false
if not right or value == '-' then
  for canonical, taken_back in string.gmatch(redis.call('HGET', grants, user .. '\n') or '', ' (%S*) %d+ ([^\n]*)') do
    if canonical == typed then revoked, right, code = true, true, taken_back end
  end
end

-- Only the caller can add calendar months: it needs the time of the grant.
local counted_from, term_ends = string.match(term, '^(%d+) (%d+)$')
if right and valid_for == 'by-calendar' and granted_at and counted_from ~= granted_at then return {'term', granted_at} end

local none, reasons = {}, {}
local before
-- With a wrong code a caller learns nothing about the order either.
if right then
  before = find_record({first, second, third}, short)
  -- A hold that ended, or was released for a newer one, counts as no redemption.
  local is_live = before and before.state ~= 'released' and (before.state ~= 'held' or before.hold_until > at)
  local differs = none
  if is_live then
    differs = {}
    local held_for = before.hold_until ~= '' and string.format('%.0f', (before.hold_until - before.at) / 1000000) or ''
    if before.number ~= d[2] then differs[#differs + 1] = 'code' end
    if before.user ~= user then differs[#differs + 1] = 'user_id' end
    if before.amount ~= amount then differs[#differs + 1] = 'amount' end
    if before.currency ~= currency then differs[#differs + 1] = 'currency' end
    -- Digests on the second line of its text, behind the metadata: of the order's lines, and of its codes if they are several.
    local of_lines, of_codes = string.match(before.order, '^[^\t]*\t(%x*)[^\t]*\t?(%x*)')
    local given_lines, given_codes = string.match(order, '^[^\t]*\t(%x*)[^\t]*\t?(%x*)')
    if (of_lines or '') ~= (given_lines or '') then differs[#differs + 1] = 'set of lines' end
    if (of_codes or '') ~= (given_codes or '') then differs[#differs + 1] = 'set of codes' end
    if mode ~= 'check' and held_for ~= hold_seconds then differs[#differs + 1] = 'hold_seconds' end
  end
  if mode == 'check' then
    if #differs > 0 then reasons[1] = {slug = 'idempotency-mismatch', differs = differs} end
  else
    local known = keep_seconds ~= '' and redis.call('GET', idempotency)
    if known and known ~= fingerprint then return {'refused', '[{"slug":"idempotency-mismatch"}]'} end
    if #differs > 0 then return {'refused', cjson.encode({{slug = 'idempotency-mismatch', differs = differs}})} end
    if is_live then return {'again', record_text(before)} end
  end
end
local stopped = too_many_guesses()
if stopped then return stopped end

local today = find_day(calendar, at)
if not today then return {'clock', at} end
local user_uses = read_uses(redis.call('HGET', uses, user))
local own_day, own_week = today.day, today.week
stay_in_latest_day(today, user_uses)
local is_later = today.day ~= own_day or today.week ~= own_week
-- Most discounts have no holds; then none are counted.
local holding = d[14] and d[14] > at
local all_held = holding and redis.call('ZCOUNT', holds, '(' .. at, '+inf') or 0
local user_holds = find_live(user_uses, at)
local used = tonumber(d[9] or 0)
local bounds
if d[18] then
  bounds = bounds_functions()
  bounds.open(currency, at)
  if #bounds.ended == 1000 then
    bounded_uses(bounds).save()
    return {'settled'}
  end
  bounds.stay(today, user_uses, user_holds)
end

local most = {d[10], d[11], d[12], d[13]}
local limits, released_holds, kept_holds = count_limits(most, used, all_held, user_uses, user_holds, today), none, user_holds
if bounds then bounds.add(limits, user_holds, today, discount_amount) end
if is_hit(limits) then
  -- The user's own holds are released first, as at a checkout that starts again; `without_own` counts none of them.
  local without_own = count_limits(most, used, all_held - #user_holds, user_uses, {}, today)
  if bounds then bounds.add(without_own, {}, today, discount_amount) end
  if is_hit(without_own) then
    limits = without_own
  else
    released_holds, kept_holds = holds_functions().choose(limits, user_holds, today)
    limits = count_limits(most, used, all_held - #released_holds, user_uses, kept_holds, today)
    if bounds then bounds.add(limits, kept_holds, today, discount_amount) end
  end
end
if bounds then
  local taken = bounds.cap(limits, discount_amount)
  -- Only the caller can share what a budget leaves among the lines of the order, whose text has a tab.
  if right and taken ~= discount_amount and string.find(order, '\t', 1, true) then return {'caps', taken} end
  discount_amount = taken
end
local left = left_of(limits)

if revoked then reasons[#reasons + 1] = {slug = 'revoked'} end
-- After a close that keeps codes, granted ones stay valid. Only a shared code can be right without a grant.
if d[3] == 'void' or (d[3] and not granted_at and not revoked) then reasons[#reasons + 1] = {slug = 'closed'} end
if d[4] then reasons[#reasons + 1] = {slug = 'paused'} end
if d[5] and at < d[5] then reasons[#reasons + 1] = {slug = 'not-started', starts_at = d[5]} end
local expires_at = d[6] or ''
if right and valid_for ~= '' and granted_at then
  local ends = valid_for == 'by-calendar' and term_ends or string.format('%016.0f', tonumber(granted_at) + tonumber(valid_for))
  if expires_at == '' or ends < expires_at then expires_at = ends end
end
if expires_at ~= '' and at >= expires_at then reasons[#reasons + 1] = {slug = 'expired', expires_at = expires_at} end
local claims
if conditions ~= '' then
  local asked, opens_at = cjson.decode(conditions), nil
  local open = not asked.openings
  for _, opening in ipairs(asked.openings or none) do
    if opening[1] <= at and at < opening[2] then open = true end
    if opening[1] > at and not opens_at then opens_at = opening[1] end
  end
  if not open then reasons[#reasons + 1] = {slug = 'outside-hours', opens_at = opens_at} end
  claims = right and asked.identity and identity_claims(asked.identity, records)
end
for _, limit in ipairs(limits) do
  if limit.takes and is_reached(limit) then
    reasons[#reasons + 1] = bounds.reason(limit)
  elseif is_reached(limit) then
    local opens_at = ({per_user_per_day = today.ends_at, per_user_per_week = today.week_ends_at})[limit.name]
    if limit.name == 'total' and limit.used < limit.most then opens_at = holds_functions().find_opening(holds, limit, user_holds, at) end
    if limit.most == 0 then opens_at = nil end
    local spent = limit.name == 'per_user' and limit.used > 0 and limit.most == 1
    reasons[#reasons + 1] = {slug = spent and 'already-redeemed' or 'limit-reached', limit = limit.name, opens_at = opens_at}
  end
end

if claims and claims.slug then reasons[#reasons + 1] = {slug = claims.slug, part = claims.part, most = claims.part and claims.most} end

if not right then
  count_guess()
  return {'refused', '[{"slug":"not-granted"}]'}
end
if mode == 'check' or mode == 'refuse' then return {'checked', #reasons > 0 and cjson.encode(reasons) or '[]', cjson.encode(left), discount_amount} end
if hold_seconds ~= '' and #kept_holds >= tonumber(most_holds) then
  local opens_at = kept_holds[1].ends_at
  for _, hold in ipairs(kept_holds) do
    if hold.ends_at < opens_at then opens_at = hold.ends_at end
  end
  reasons[#reasons + 1] = {slug = 'too-many-holds', opens_at = opens_at}
end
if #reasons > 0 then
  if #reasons == 1 and claims then claims.report(events, at, d[1], d[2]) end
  return {'refused', cjson.encode(reasons)}
end

local released = none
if #released_holds > 0 then
  -- The record of each released hold is marked; the caller has to name its lists.
  local numbers, count, missing = {}, 0, {}
  for each in string.gmatch(giving_way, '%S+') do
    count = count + 1
    numbers[each] = count
  end
  released = {}
  for _, hold in ipairs(released_holds) do
    local n = numbers[hold.id]
    if n then
      local r = find_record({records[3 * n - 2], records[3 * n - 1], records[3 * n]}, short_id(hold.id))
      -- After the clock went back, the order of this hold may have been redeemed again already.
      if r and r.hold_until == hold.ends_at and r.number == d[2] then
        r.id = hold.id
        released[#released + 1] = r
      end
    else
      missing[#missing + 1] = hold.id
    end
  end
  if #missing > 0 then return {'gives-way', unpack(missing)} end
end

if mode == 'try' then return {'ready'} end
local hold_until, ended = '', none
if hold_seconds ~= '' then
  hold_until = string.format('%016.0f', tonumber(at) + tonumber(hold_seconds) * 1000000)
  ended = redis.call('ZRANGEBYSCORE', holds, '-inf', at, 'LIMIT', 0, 100)
end
for _, limit in ipairs(limits) do left[limit.name] = left[limit.name] - (limit.need or 1) end
local left_after, of_earlier = left_text(left), before and {'earlier_at', before.at} or none
local in_stream = goes_to_stream(redemptions, at, d[19])
local of_stream = in_stream and {'listed', at} or none
for _, each in ipairs(released) do
  redis.call('XADD', events, '*', 'type', 'redemption.released', 'at', at, 'brand', d[1], 'number', d[2], 'user', user, 'code', each.code, 'redemption', each.id, 'amount', each.amount, 'currency', each.currency, 'discount_amount', each.discount_amount, 'order', each.order, 'reason', '')
end
if hold_until ~= '' then
  redis.call('XADD', events, '*', 'type', 'redemption.held', 'at', at, 'brand', d[1], 'number', d[2], 'user', user, 'code', code, 'redemption', id, 'amount', amount, 'currency', currency, 'discount_amount', discount_amount, 'order', order, 'left', left_after, 'hold_until', hold_until, unpack(of_earlier))
else
  redis.call('XADD', events, '*', 'type', 'code.redeemed', 'at', at, 'brand', d[1], 'number', d[2], 'user', user, 'code', code, 'redemption', id, 'amount', amount, 'currency', currency, 'discount_amount', discount_amount, 'order', order, 'left', left_after, unpack(of_earlier))
  if d[10] and used + 1 == tonumber(d[10]) then
    redis.call('XADD', events, '*', 'type', 'discount.limit-reached', 'at', at, 'brand', d[1], 'number', d[2], 'limit', 'total')
  end
end
local made = {state = hold_until == '' and 'redeemed' or 'held', at = at, hold_until = hold_until, number = d[2], amount = amount, currency = currency, discount_amount = discount_amount, day = is_later and today.day or '', week = is_later and today.week or '', left = left_after, user = user, code = code, reason = '', order = order, bounded = bounds and '1'}
if before then
  -- An order may be redeemed again after its hold ended. Earlier times are kept, since there are events of then.
  made.earlier_at = string.sub((before.earlier_at and before.earlier_at .. ',' or '') .. before.at, -1699)
  made.list, made.place = before.list, before.place
  put_record(made)
else
  add_record({first, second, third}, short, made)
end
for _, each in ipairs(released) do
  each.state = 'released'
  put_record(each)
end
if #released_holds > 0 and ended == none then ended = {} end
for _, hold in ipairs(released_holds) do ended[#ended + 1] = hold.id end
if #ended > 0 then redis.call('ZREM', holds, unpack(ended)) end
user_uses.holds = kept_holds
if bounds then
  local writer = bounded_uses(bounds)
  for _, hold in ipairs(released_holds) do
    if hold.at ~= '' then writer.take_hold(hold.id, hold.amount, hold.currency, hold.day, hold.week) end
  end
  if hold_until == '' then
    writer.add_use(user_uses, today.day, today.week, at)
  else
    writer.add_hold(id, discount_amount, today.day, today.week, hold_until)
  end
  writer.save()
end
if hold_until == '' then
  count_use(user_uses, today.day, today.week)
  local orders, discounts = (d[16] or 0) + amount, (d[17] or 0) + discount_amount
  if orders < 9e15 and discounts < 9e15 then
    redis.call('HSET', discount, 'used', used + 1, 'redeemed', (d[15] or 0) + 1, 'orders:' .. currency, string.format('%.0f', orders), 'discounts:' .. currency, string.format('%.0f', discounts), unpack(of_stream))
  else
    -- Lua's numbers are exact up to 2^53 only.
    redis.call('HSET', discount, 'used', used + 1, 'redeemed', (d[15] or 0) + 1, unpack(of_stream))
    redis.call('HINCRBY', discount, 'orders:' .. currency, amount)
    redis.call('HINCRBY', discount, 'discounts:' .. currency, discount_amount)
  end
else
  if user_uses.day == '' then user_uses.day, user_uses.week = today.day, today.week end
  user_uses.holds[#user_uses.holds + 1] = {id = id, ends_at = hold_until, day = today.day, week = today.week, at = bounds and at, amount = discount_amount, currency = currency}
  redis.call('ZADD', holds, hold_until, id)
  -- Until this time, readers of the discount count its holds.
  if hold_until > (d[14] or '') then redis.call('HSET', discount, 'last_hold', hold_until) end
  if in_stream then redis.call('HSET', discount, 'listed', at) end
end
redis.call('HSET', uses, user, write_uses(user_uses, at))
if claims then claims.write() end
if in_stream then
  redis.call('XADD', more_redemptions, at .. '-0', 'r', short)
else
  redis.call('ZADD', redemptions, at, short)
end
list_for_user(users, user, user_redemptions, short, at)
if keep_seconds ~= '' then redis.call('SET', idempotency, fingerprint, 'EX', keep_seconds) end
return {'redeemed', at, code, hold_until, left_after, discount_amount}
