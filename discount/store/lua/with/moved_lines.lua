-- Lines that are moved in, one after another; a later one may be of the same user. `moving` has the fields of the discount
-- and what the lines add up to.
local function over_moved(many, own)
  local bytes = bytes_of.grant + (own and bytes_of.imported or 0)
  return own and over_quota('codes', many) or over_quota('stored_bytes', many * bytes)
end
local function count_moved(moving)
  if most.grants_a_day or most.stored_bytes then
    -- They are stored, but were not granted on this day.
    redis.call('HINCRBY', usage, 'grants ' .. moving.d[1], moving.moved)
    used.grants_before = used.grants_before + moving.moved
  end
  if moving.gone > 0 then redis.call('HINCRBY', usage, 'waits ' .. moving.d[1], -moving.gone) end
  count_use_of(moving.own and moving.moved * bytes_of.imported or 0, moving.own and moving.moved or 0)
end
local function list_discount(users, user, code, d)
  local held_by_user = held_functions()
  local of_user = held_by_user.read(redis.call('HGET', users, user))
  if not held_by_user.is_full(of_user) then
    of_user.few = held_by_user.with_number(of_user.few, d[2])
    redis.call('HSET', users, user, held_by_user.write(of_user))
    return
  end
  local page, in_codes = held_by_user.page_field(user, of_user.made), held_by_user.code_field(user, d[1], code)
  local numbers = redis.call('HMGET', users, page, in_codes)
  of_user.made = of_user.made + 1
  redis.call('HSET', users, user, held_by_user.write(of_user), page, held_by_user.with_number(numbers[1], d[2]), in_codes, held_by_user.with_number(numbers[2], d[2]))
end
-- Returns the uses that are not counted yet, each with its lists, and whether an order was redeemed in another way.
local function find_fresh(uses, user, number, of_lines, first)
  local fresh, differs = {}, false
  for k, use in ipairs(uses) do
    local n = first + 3 * (k - 1)
    local lists = {of_lines[n], of_lines[n + 1], of_lines[n + 2]}
    local r = find_record(lists, short_id(use[1]))
    if not r then
      fresh[#fresh + 1] = {use = use, lists = lists}
    elseif r.number ~= number or r.user ~= user or r.amount ~= use[3] or r.currency ~= use[4] then
      differs = true
    end
  end
  return fresh, differs
end
-- Grants the code of a line and counts its uses, from `place` on with its keys. Returns what became of it.
local function move_line(moving, row, buckets, waits, redemptions, more_redemptions, events, of_lines, place)
  local d, at = moving.d, moving.at
  local user, code, digest, granted_at = row[1], moving.own and row[3] or d[8], row[4], row[5]
  local grants, users, uses, taken, user_redemptions = of_lines[place], of_lines[place + 1], of_lines[place + 2], of_lines[place + 3], of_lines[place + 4]
  local value = redis.call('HGET', grants, user)
  local held_code = value and string.match(value, '^%d+ ([^\n]*)')
  if value == '-' then return 'revoked' end
  if held_code and held_code ~= code then return 'other' end
  if not value and moving.own and redis.call('SISMEMBER', taken, digest) == 1 then return 'taken' end
  if not value and not moving.own and d[6] and d[5] + moving.moved >= tonumber(d[6]) then return 'full' end
  local fresh, differs = find_fresh(row[6], user, d[2], of_lines, place + 5)
  if differs then return 'order' end

  if not value then
    moving.moved = moving.moved + 1
    if moving.own then
      redis.call('XADD', events, '*', 'type', 'code.granted', 'at', at, 'brand', d[1], 'number', d[2], 'user', user, 'code', code, 'imported', moving.mark, 'granted_at', granted_at, 'first', string.format('%.0f', d[7] + moving.moved), 'count', '1')
      redis.call('SADD', taken, digest)
    else
      redis.call('XADD', events, '*', 'type', 'code.granted', 'at', at, 'brand', d[1], 'number', d[2], 'user', user, 'code', code, 'imported', moving.mark, 'granted_at', granted_at)
    end
    redis.call('HSET', grants, user, granted_at .. ' ' .. code)
    redis.call('SETBIT', buckets, row[2], 1)
    list_discount(users, user, code, d)
    if d[11] and redis.call('ZREM', waits, user) == 1 then moving.gone = moving.gone + 1 end
  end
  local user_uses = #fresh > 0 and read_uses(redis.call('HGET', uses, user))
  for _, each in ipairs(fresh) do
    local id, used_at, amount, currency, off, order, day, week = unpack(each.use)
    local short = short_id(id)
    redis.call('XADD', events, '*', 'type', 'code.redeemed', 'at', at, 'brand', d[1], 'number', d[2], 'user', user, 'code', code, 'redemption', id, 'amount', amount, 'currency', currency, 'discount_amount', off, 'order', order, 'left', '', 'imported', moving.mark, 'redeemed_at', used_at)
    add_record(each.lists, short, {state = 'redeemed', at = used_at, hold_until = '', number = d[2], amount = amount, currency = currency, discount_amount = off, day = '', week = '', left = '', user = user, code = code, reason = '', order = order, bounded = moving.writer and '1'})
    count_use(user_uses, day, week)
    if moving.writer then moving.writer.add_use(user_uses, day, week, used_at) end
    list_for_discount(discount, redemptions, more_redemptions, short, used_at)
    list_for_user(users, user, user_redemptions, short, used_at)
    moving.sums['orders:' .. currency] = (moving.sums['orders:' .. currency] or 0) + amount
    moving.sums['discounts:' .. currency] = (moving.sums['discounts:' .. currency] or 0) + off
    moving.counted = moving.counted + 1
  end
  if user_uses then redis.call('HSET', uses, user, write_uses(user_uses, at)) end
  return (value and 'held ' or 'granted ') .. #fresh
end
