-- What uses and holds change in the counts of bounds.lua.
local function bounded_uses(bounds)
  local writer = {}
  local function member(id, amount, of_currency, day, week)
    return table.concat({id, string.format('%.0f', amount), of_currency, day, week}, ' ')
  end
  -- Takes a hold off the counts, if it was counted.
  function writer.take_hold(id, amount, of_currency, day, week)
    if redis.call('ZREM', reserved, member(id, amount, of_currency, day, week)) == 1 then
      bounds.free(tonumber(amount), of_currency, day, week)
    end
  end
  function writer.add_hold(id, amount, day, week, ends_at)
    bounds.count(day, week, 0, 1)
    bounds.kept = bounds.kept + amount
    redis.call('ZADD', reserved, ends_at, member(id, amount, bounds.currency, day, week))
  end
  function writer.add_use(user_uses, day, week, used_at)
    bounds.count(day, week, 1, 0)
    local month, longest, times = string.sub(day, 1, 6), 0, {}
    if month > (user_uses.month or '') then user_uses.month, user_uses.of_month = month, 0 end
    if month == user_uses.month then user_uses.of_month = user_uses.of_month + 1 end
    for _, length in string.gmatch(bounds.windows, '(%S+) (%d+) %d+;?') do longest = math.max(longest, tonumber(length)) end
    local after = string.format('%016.0f', math.max(0, tonumber(bounds.at) - longest))
    for each in string.gmatch((user_uses.times or '') .. ':' .. used_at, '%d+') do
      if each > after then times[#times + 1] = each end
    end
    user_uses.times = table.concat(times, ':')
  end
  function writer.take_use(user_uses, day, week, used_at)
    bounds.count(day, week, -1, 0)
    if user_uses.month == string.sub(day, 1, 6) then user_uses.of_month = math.max(0, user_uses.of_month - 1) end
    local times = {}
    for each in string.gmatch(user_uses.times or '', '%d+') do
      if each ~= used_at then times[#times + 1] = each end
    end
    user_uses.times = table.concat(times, ':')
  end
  -- Writes the counts, and deletes the holds that `open` found ended.
  function writer.save()
    local parts = {}
    for n, name in ipairs({'day', 'week', 'month'}) do
      local period = bounds.periods[name]
      parts[n] = string.format('%s %.0f %.0f', period.name, period.used, period.held)
    end
    redis.call('HSET', discount, 'periods', table.concat(parts, ' '))
    if bounds.had_kept or bounds.kept > 0 then redis.call('HSET', discount, 'reserved:' .. bounds.currency, string.format('%.0f', bounds.kept)) end
    for of_currency, amount in pairs(bounds.freed) do redis.call('HINCRBY', discount, 'reserved:' .. of_currency, 0 - amount) end
    if #bounds.ended > 0 then redis.call('ZREM', reserved, unpack(bounds.ended)) end
  end
  return writer
end
