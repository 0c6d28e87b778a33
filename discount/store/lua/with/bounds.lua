-- Limits of a whole discount by day, week and month, of a user by month and by rolling windows, and budgets of money.
-- Only discounts with the field `bounded` have any; the functions are made when they are needed.
-- `periods` of a discount are a day, its uses and its holds, then the same for a week and a month. `reserved` has a
-- member for each hold: redemption, amount, currency, day, week.
local function bounds_functions(discount, reserved, writes)
  local bounds, names, periods, user_uses, all_own = {}, {'day', 'week', 'month'}, {}, nil, nil
  local most, windows, budget, caps, spent, kept, had_kept, currency, at
  local function read_periods(text)
    local values = {}
    for each in string.gmatch(text or '', '%d+') do values[#values + 1] = each end
    for n, name in ipairs(names) do
      periods[name] = {name = values[3 * n - 2] or '', used = tonumber(values[3 * n - 1] or 0), held = tonumber(values[3 * n] or 0)}
    end
  end
  local function write_periods()
    local parts = {}
    for _, name in ipairs(names) do parts[#parts + 1] = string.format('%s %.0f %.0f', periods[name].name, periods[name].used, periods[name].held) end
    return table.concat(parts, ' ')
  end
  -- The names of periods sort by time. What belongs to an earlier one counts no more.
  local function count(day, week, used, held)
    local of = {day = day, week = week, month = string.sub(day, 1, 6)}
    for name, period in pairs(periods) do
      if of[name] > period.name then period.name, period.used, period.held = of[name], 0, 0 end
      if of[name] == period.name then period.used, period.held = math.max(0, period.used + used), math.max(0, period.held + held) end
    end
  end
  local function member(id, amount, of_currency, day, week)
    return table.concat({id, string.format('%.0f', amount), of_currency, day, week}, ' ')
  end
  local function write(of_currency, held)
    if of_currency then
      redis.call('HSET', discount, 'periods', write_periods(), 'reserved:' .. of_currency, string.format('%.0f', math.max(0, held)))
    else
      redis.call('HSET', discount, 'periods', write_periods())
    end
  end
  -- Takes at most 1,000 holds that ended off the counts; returns true if there may be more of them.
  function bounds.open(order_currency, moment)
    currency, at = order_currency, moment
    local b = redis.call('HMGET', discount, 'limit_per_user_per_month', 'limit_per_day', 'limit_per_week', 'limit_per_month', 'windows', 'budget', 'budget_caps', 'periods', 'discounts:' .. currency, 'reserved:' .. currency)
    most, windows, budget, caps, spent, kept = b, b[5] or '', b[6] or '', b[7], tonumber(b[9] or 0), tonumber(b[10] or 0)
    had_kept = b[10]
    read_periods(b[8])
    local ended, freed = redis.call('ZRANGEBYSCORE', reserved, '-inf', at, 'LIMIT', 0, 1000), {}
    for _, each in ipairs(ended) do
      local amount, of_currency, day, week = string.match(each, ' (%d+) (%u+) (%d+) (%d+)$')
      count(day, week, 0, -1)
      freed[of_currency] = (freed[of_currency] or 0) + amount
    end
    kept = math.max(0, kept - (freed[currency] or 0))
    if not writes or #ended == 0 then return false end
    for of_currency, amount in pairs(freed) do
      write(of_currency, tonumber(redis.call('HGET', discount, 'reserved:' .. of_currency) or 0) - amount)
    end
    redis.call('ZREM', reserved, unpack(ended))
    return #ended == 1000
  end
  -- After the clock went back, the latest day of the discount goes on.
  function bounds.stay(today)
    if periods.day.name > today.day then today.day = periods.day.name end
    if periods.week.name > today.week then today.week = periods.week.name end
  end
  function bounds.of_user(uses, live)
    user_uses, all_own = uses, live
  end
  -- Appends the limits of this discount. `own` are those holds of the user that are not released.
  function bounds.add(limits, own, today, amount)
    local month = string.sub(today.day, 1, 6)
    local function sum(holds, takes)
      local found = 0
      for _, hold in ipairs(holds) do found = found + takes(hold) end
      return found
    end
    local function add(limit, takes)
      limit.takes = takes
      limits[#limits + 1] = limit
    end
    if most[1] then
      local function takes(hold) return string.sub(hold.day, 1, 6) == month and 1 or 0 end
      add({name = 'per_user_per_month', most = tonumber(most[1]), used = user_uses.month == month and user_uses.of_month or 0, held = sum(own, takes), month = month}, takes)
    end
    local of = {day = today.day, week = today.week, month = month}
    local ends = {day = today.ends_at, week = today.week_ends_at}
    for n, name in ipairs(names) do
      if most[n + 1] then
        local same = periods[name].name == of[name]
        local function takes(hold)
          return (hold.at or '') ~= '' and (name == 'month' and string.sub(hold.day, 1, 6) or hold[name]) == of[name] and 1 or 0
        end
        local held = same and periods[name].held - sum(all_own, takes) + sum(own, takes) or 0
        add({name = 'per_' .. name, most = tonumber(most[n + 1]), used = same and periods[name].used or 0, held = held, opens_at = ends[name], month = name == 'month' and month or nil}, takes)
      end
    end
    for period, length, allowed in string.gmatch(windows, '(%S+) (%d+) (%d+);?') do
      local after, times = string.format('%016.0f', math.max(0, tonumber(at) - length)), {}
      for each in string.gmatch(user_uses.times or '', '%d+') do
        if each > after then times[#times + 1] = each end
      end
      table.sort(times)
      local function takes(hold) return (hold.at or '') > after and 1 or 0 end
      local first = times[#times - allowed + 1]
      add({name = 'window:' .. period, most = tonumber(allowed), used = #times, held = sum(own, takes), period = period, opens_at = first and string.format('%016.0f', tonumber(first) + length)}, takes)
    end
    for of_currency, allowed in string.gmatch(budget, '(%u+) (%d+);?') do
      if of_currency == currency then
        local function takes(hold) return hold.currency == currency and tonumber(hold.amount) or 0 end
        local need = tonumber(amount) > 0 and (caps and 1 or tonumber(amount)) or 0
        add({name = 'amount:' .. currency, most = tonumber(allowed), used = spent, held = math.max(0, kept - sum(all_own, takes)) + sum(own, takes), need = need, is_budget = true}, takes)
      end
    end
  end
  function bounds.reason(limit)
    local left = math.max(0, limit.most - limit.used - limit.held)
    if limit.is_budget then return {slug = 'limit-reached', limit = 'amount', most = limit.most, left = left, currency = currency} end
    local found = {slug = 'limit-reached', limit = limit.period and 'window' or limit.name, most = limit.most, period = limit.period}
    if limit.most > 0 then found.opens_at, found.month = limit.opens_at, limit.month end
    return found
  end
  -- Returns what comes off, at most what is left of the budget.
  function bounds.cap(limits, amount)
    for _, limit in ipairs(limits) do
      local left = limit.most - limit.used - limit.held
      if limit.is_budget and caps and left > 0 and left < tonumber(amount) then amount = string.format('%.0f', left) end
      if limit.is_budget then limit.need = tonumber(amount) end
    end
    return amount
  end
  -- Takes a hold off the counts, if it was counted.
  function bounds.take_hold(id, amount, of_currency, day, week)
    if redis.call('ZREM', reserved, member(id, amount, of_currency, day, week)) == 0 then return end
    count(day, week, 0, -1)
    if of_currency == currency then
      kept = math.max(0, kept - amount)
    else
      redis.call('HINCRBY', discount, 'reserved:' .. of_currency, 0 - tonumber(amount))
    end
  end
  local function count_for_user(uses, day, used_at)
    local month, longest, times = string.sub(day, 1, 6), 0, {}
    if month > (uses.month or '') then uses.month, uses.of_month = month, 0 end
    if month == uses.month then uses.of_month = uses.of_month + 1 end
    for _, length in string.gmatch(windows, '(%S+) (%d+) %d+;?') do longest = math.max(longest, tonumber(length)) end
    local after = string.format('%016.0f', math.max(0, tonumber(at) - longest))
    for each in string.gmatch((uses.times or '') .. ':' .. used_at, '%d+') do
      if each > after then times[#times + 1] = each end
    end
    uses.times = table.concat(times, ':')
  end
  function bounds.use(uses, day, week, used_at)
    count(day, week, 1, 0)
    count_for_user(uses, day, used_at)
  end
  function bounds.hold(id, amount, day, week, ends_at)
    count(day, week, 0, 1)
    kept = kept + amount
    redis.call('ZADD', reserved, ends_at, member(id, amount, currency, day, week))
  end
  function bounds.undo(day, week)
    count(day, week, -1, 0)
  end
  function bounds.save()
    write((had_kept or kept > 0) and currency, kept)
  end
  return bounds
end
-- Undoes what a use counted for its user by month and by window.
local function uncount_bounded_use(uses, day, used_at)
  if uses.month == string.sub(day, 1, 6) then uses.of_month = math.max(0, uses.of_month - 1) end
  local times = {}
  for each in string.gmatch(uses.times or '', '%d+') do
    if each ~= used_at then times[#times + 1] = each end
  end
  uses.times = table.concat(times, ':')
end
