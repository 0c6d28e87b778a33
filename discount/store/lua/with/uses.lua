-- A user's uses of a discount, as text: uses, day, uses of that day, week, uses of that week, then for each hold:
-- redemption,end,day,week.
local function read_uses(text)
  local uses = {used = 0, day = '', of_day = 0, week = '', of_week = 0, holds = {}}
  if text then
    local used, day, of_day, week, of_week, rest = string.match(text, '^(%d+) (%d+) (%d+) (%d+) (%d+)(.*)$')
    uses.used, uses.day, uses.of_day, uses.week, uses.of_week = tonumber(used), day, tonumber(of_day), week, tonumber(of_week)
    if rest == '' then return uses end
    for id, ends_at, hold_day, hold_week in string.gmatch(rest, '([^ ,]+),(%d+),(%d+),(%d+)') do
      uses.holds[#uses.holds + 1] = {id = id, ends_at = ends_at, day = hold_day, week = hold_week}
    end
  end
  return uses
end
local function write_uses(uses, at)
  if #uses.holds == 0 then return string.format('%d %s %d %s %d', uses.used, uses.day, uses.of_day, uses.week, uses.of_week) end
  local parts = {uses.used, uses.day, uses.of_day, uses.week, uses.of_week}
  for _, hold in ipairs(uses.holds) do
    if hold.ends_at > at then
      parts[#parts + 1] = table.concat({hold.id, hold.ends_at, hold.day, hold.week}, ',')
    end
  end
  return table.concat(parts, ' ')
end
-- The names of days and weeks sort by time: a use counts in the day and week of the user's latest use.
local function count_use(uses, day, week)
  uses.used = uses.used + 1
  if day > uses.day then uses.day, uses.of_day = day, 0 end
  if week > uses.week then uses.week, uses.of_week = week, 0 end
  if day == uses.day then uses.of_day = uses.of_day + 1 end
  if week == uses.week then uses.of_week = uses.of_week + 1 end
end
local function uncount_use(uses, day, week)
  uses.used = math.max(0, uses.used - 1)
  if day == uses.day then uses.of_day = math.max(0, uses.of_day - 1) end
  if week == uses.week then uses.of_week = math.max(0, uses.of_week - 1) end
end
local function take_hold(uses, id)
  local kept = {}
  for _, hold in ipairs(uses.holds) do
    if hold.id ~= id then kept[#kept + 1] = hold end
  end
  uses.holds = kept
end
