--- KEYS  reserved
-- Limits of a whole discount by day, week and month, of a user by month and by rolling windows, and budgets of money.
-- Only discounts with the field `bounded` have any; the functions are made when they are needed.
-- The field `periods` is a day, its uses and its holds, then the same for a week and a month. The key `reserved` has a
-- member for each hold: redemption, amount, currency, day, week. Fields `reserved:EUR` are the sums of their amounts.
local function bounds_functions()
  local bounds, names, most, user_uses, all_own = {periods = {}, freed = {}}, {'day', 'week', 'month'}, nil, nil, nil
  -- The names of periods sort by time. What belongs to an earlier one counts no more.
  function bounds.count(day, week, more_used, more_held)
    local of = {day = day, week = week, month = string.sub(day, 1, 6)}
    for name, period in pairs(bounds.periods) do
      if of[name] > period.name then period.name, period.used, period.held = of[name], 0, 0 end
      if of[name] == period.name then period.used, period.held = math.max(0, period.used + more_used), math.max(0, period.held + more_held) end
    end
  end
  function bounds.free(amount, of_currency, day, week)
    bounds.count(day, week, 0, -1)
    if of_currency == bounds.currency then
      bounds.kept = math.max(0, bounds.kept - amount)
    else
      bounds.freed[of_currency] = (bounds.freed[of_currency] or 0) + amount
    end
  end
  -- Reads the limits and the counts, without up to 1,000 holds that ended.
  function bounds.open(order_currency, moment)
    local b = redis.call('HMGET', discount, 'limit_per_user_per_month', 'limit_per_day', 'limit_per_week', 'limit_per_month', 'windows', 'budget', 'budget_caps', 'periods', 'discounts:' .. order_currency, 'reserved:' .. order_currency)
    most, bounds.windows, bounds.budget, bounds.caps = b, b[5] or '', b[6] or '', b[7]
    bounds.currency, bounds.at, bounds.spent, bounds.kept, bounds.had_kept = order_currency, moment, tonumber(b[9] or 0), tonumber(b[10] or 0), b[10]
    local values = {}
    for each in string.gmatch(b[8] or '', '%d+') do values[#values + 1] = each end
    for n, name in ipairs(names) do
      bounds.periods[name] = {name = values[3 * n - 2] or '', used = tonumber(values[3 * n - 1] or 0), held = tonumber(values[3 * n] or 0)}
    end
    bounds.ended = redis.call('ZRANGEBYSCORE', reserved, '-inf', moment, 'LIMIT', 0, 1000)
    for _, each in ipairs(bounds.ended) do
      local amount, of_currency, day, week = string.match(each, ' (%d+) (%u+) (%d+) (%d+)$')
      bounds.free(tonumber(amount), of_currency, day, week)
    end
  end
  -- After the clock went back, the latest day of the discount goes on.
  function bounds.stay(today, uses, live)
    user_uses, all_own = uses, live
    if bounds.periods.day.name > today.day then today.day = bounds.periods.day.name end
    if bounds.periods.week.name > today.week then today.week = bounds.periods.week.name end
  end
  local function sum(list, takes)
    local found = 0
    for _, hold in ipairs(list) do found = found + takes(hold) end
    return found
  end
  local function add_of_periods(limits, own, today, add)
    local of = {day = today.day, week = today.week, month = string.sub(today.day, 1, 6)}
    local ends = {day = today.ends_at, week = today.week_ends_at}
    if most[1] then
      local function takes(hold) return string.sub(hold.day, 1, 6) == of.month and 1 or 0 end
      add({name = 'per_user_per_month', most = tonumber(most[1]), used = user_uses.month == of.month and user_uses.of_month or 0, held = sum(own, takes), month = of.month}, takes)
    end
    for n, name in ipairs(names) do
      if most[n + 1] then
        local period = bounds.periods[name]
        local same = period.name == of[name]
        local function takes(hold)
          return (hold.at or '') ~= '' and (name == 'month' and string.sub(hold.day, 1, 6) or hold[name]) == of[name] and 1 or 0
        end
        local held = same and period.held - sum(all_own, takes) + sum(own, takes) or 0
        add({name = 'per_' .. name, most = tonumber(most[n + 1]), used = same and period.used or 0, held = held, opens_at = ends[name], month = name == 'month' and of.month or nil}, takes)
      end
    end
  end
  local function add_of_windows(limits, own, add)
    for period, length, allowed in string.gmatch(bounds.windows, '(%S+) (%d+) (%d+);?') do
      local after, times = string.format('%016.0f', math.max(0, tonumber(bounds.at) - length)), {}
      for each in string.gmatch(user_uses.times or '', '%d+') do
        if each > after then times[#times + 1] = each end
      end
      table.sort(times)
      local function takes(hold) return (hold.at or '') > after and 1 or 0 end
      local first = times[#times - allowed + 1]
      add({name = 'window:' .. period, most = tonumber(allowed), used = #times, held = sum(own, takes), period = period, opens_at = first and string.format('%016.0f', tonumber(first) + length)}, takes)
    end
  end
  -- Appends the limits of this discount. `own` are those holds of the user that are not released.
  function bounds.add(limits, own, today, amount)
    local function add(limit, takes)
      limit.takes = takes
      limits[#limits + 1] = limit
    end
    add_of_periods(limits, own, today, add)
    add_of_windows(limits, own, add)
    for of_currency, allowed in string.gmatch(bounds.budget, '(%u+) (%d+);?') do
      if of_currency == bounds.currency then
        local function takes(hold) return hold.currency == of_currency and tonumber(hold.amount) or 0 end
        local need = tonumber(amount) > 0 and (bounds.caps and 1 or tonumber(amount)) or 0
        local held = math.max(0, bounds.kept - sum(all_own, takes)) + sum(own, takes)
        add({name = 'amount:' .. of_currency, most = tonumber(allowed), used = bounds.spent, held = held, need = need, is_budget = true}, takes)
      end
    end
  end
  function bounds.reason(limit)
    local left = math.max(0, limit.most - limit.used - limit.held)
    if limit.is_budget then return {slug = 'limit-reached', limit = 'amount', most = limit.most, left = left, currency = bounds.currency} end
    local found = {slug = 'limit-reached', limit = limit.period and 'window' or limit.name, most = limit.most, period = limit.period}
    if limit.most > 0 then found.opens_at, found.month = limit.opens_at, limit.month end
    return found
  end
  -- Returns what comes off: at most what is left of the budget, if it caps.
  function bounds.cap(limits, amount)
    for _, limit in ipairs(limits) do
      if limit.is_budget then
        local left = limit.most - limit.used - limit.held
        if bounds.caps and left > 0 and left < tonumber(amount) then amount = string.format('%.0f', left) end
        limit.need = tonumber(amount)
      end
    end
    return amount
  end
  return bounds
end
