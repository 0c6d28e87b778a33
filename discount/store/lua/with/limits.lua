-- The limits of a discount for a user. A limit is a table: its name, the most it allows, uses and holds.
-- Returns the day of a time, out of three days. A day has its start, its end, its name, and its week's name and end.
local function find_day(days, at)
  for start, ends_at, day, week, week_ends_at in string.gmatch(days, '(%d+),(%d+),(%d+),(%d+),(%d+)') do
    if start <= at and at < ends_at then return {ends_at = ends_at, day = day, week = week, week_ends_at = week_ends_at} end
  end
end
-- After the clock went back, as in a failover, the day of the user's latest use goes on.
local function stay_in_latest_day(today, user_uses)
  if user_uses.day > today.day then today.day = user_uses.day end
  if user_uses.week > today.week then today.week = user_uses.week end
end
local function find_live(user_uses, at)
  if #user_uses.holds == 0 then return user_uses.holds end
  local live = {}
  for _, hold in ipairs(user_uses.holds) do
    if hold.ends_at > at then live[#live + 1] = hold end
  end
  return live
end
-- `most` are the four limits as stored, `all_held` is the count of all holds, `user_holds` are those of the user.
local function count_limits(most, used, all_held, user_uses, user_holds, today)
  local of_day, of_week, limits = 0, 0, {}
  for _, hold in ipairs(user_holds) do
    if hold.day == today.day then of_day = of_day + 1 end
    if hold.week == today.week then of_week = of_week + 1 end
  end
  if most[1] then limits[1] = {name = 'total', most = tonumber(most[1]), used = used, held = all_held} end
  if most[2] then limits[#limits + 1] = {name = 'per_user', most = tonumber(most[2]), used = user_uses.used, held = #user_holds} end
  if most[3] then limits[#limits + 1] = {name = 'per_user_per_day', most = tonumber(most[3]), used = user_uses.day == today.day and user_uses.of_day or 0, held = of_day} end
  if most[4] then limits[#limits + 1] = {name = 'per_user_per_week', most = tonumber(most[4]), used = user_uses.week == today.week and user_uses.of_week or 0, held = of_week} end
  return limits
end
-- A use needs one of most limits, and money of a budget; a use that needs nothing of a limit is not stopped by it.
local function is_reached(limit)
  return limit.need ~= 0 and limit.used + limit.held + (limit.need or 1) > limit.most
end
local function is_hit(limits)
  for _, limit in ipairs(limits) do
    if is_reached(limit) then return true end
  end
  return false
end
local function left_of(limits)
  local left = {}
  for _, limit in ipairs(limits) do left[limit.name] = math.max(0, limit.most - limit.used - limit.held) end
  return left
end
