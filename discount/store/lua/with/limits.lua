-- What is left of a discount's limits for a user. A limit is a table: its name, how many it allows, uses and holds.
-- The day of a moment, out of three days: each its start, its end, its name, its week's name and end.
local function find_day(days, at)
  for start, till, day, week, week_till in string.gmatch(days, '(%d+),(%d+),(%d+),(%d+),(%d+)') do
    if start <= at and at < till then return {till = till, day = day, week = week, week_till = week_till} end
  end
end
-- Where the clock went back, as after a failover, the latest day that the user was seen in goes on.
local function stay_in_latest_day(today, mine)
  if mine.day > today.day then today.day = mine.day end
  if mine.week > today.week then today.week = mine.week end
end
local function find_live(mine, at)
  local live = {}
  for _, hold in ipairs(mine.holds) do
    if hold.till > at then live[#live + 1] = hold end
  end
  return live
end
-- `most` are the four limits as they are stored; `all_held` counts everybody's holds, `own` are those of the user.
local function count_limits(most, used, all_held, mine, own, today)
  local of_day, of_week, limits = 0, 0, {}
  for _, hold in ipairs(own) do
    if hold.day == today.day then of_day = of_day + 1 end
    if hold.week == today.week then of_week = of_week + 1 end
  end
  local function add(name, allowed, uses, held)
    if allowed then limits[#limits + 1] = {name = name, most = tonumber(allowed), used = uses, held = held} end
  end
  add('total', most[1], used, all_held)
  add('per_user', most[2], mine.used, #own)
  add('per_user_per_day', most[3], mine.day == today.day and mine.of_day or 0, of_day)
  add('per_user_per_week', most[4], mine.week == today.week and mine.of_week or 0, of_week)
  return limits
end
local function is_hit(limits)
  for _, limit in ipairs(limits) do
    if limit.used + limit.held >= limit.most then return true end
  end
  return false
end
local function left_of(limits)
  local left = {}
  for _, limit in ipairs(limits) do left[limit.name] = math.max(0, limit.most - limit.used - limit.held) end
  return left
end
