-- A user's uses of a discount, as text: uses, day, uses of that day, week, uses of that week, then for each hold:
-- redemption,end,day,week. Where the discount has bounds, there are also the month with its uses, m202611:2, the times of
-- uses that windows count, t1764…:1764…, and in each hold its time, what comes off, and the currency.
local function read_uses(text)
  local uses = {used = 0, day = '', of_day = 0, week = '', of_week = 0, holds = {}}
  if text then
    local used, day, of_day, week, of_week, rest = string.match(text, '^(%d+) (%d+) (%d+) (%d+) (%d+)(.*)$')
    uses.used, uses.day, uses.of_day, uses.week, uses.of_week = tonumber(used), day, tonumber(of_day), week, tonumber(of_week)
    if rest == '' then return uses end
    uses.month, uses.of_month = string.match(rest, ' m(%d+):(%d+)')
    uses.of_month, uses.times = tonumber(uses.of_month), string.match(rest, ' t([%d:]+)')
    for id, ends_at, hold_day, hold_week, at, amount, currency in string.gmatch(rest, '([^ ,]+),(%d+),(%d+),(%d+),?(%d*),?(%d*),?(%u*)') do
      uses.holds[#uses.holds + 1] = {id = id, ends_at = ends_at, day = hold_day, week = hold_week, at = at, amount = amount, currency = currency}
    end
  end
  return uses
end
local function write_uses(uses, at)
  if #uses.holds == 0 and not uses.month then return string.format('%d %s %d %s %d', uses.used, uses.day, uses.of_day, uses.week, uses.of_week) end
  local parts = {uses.used, uses.day, uses.of_day, uses.week, uses.of_week}
  if uses.month then parts[#parts + 1] = 'm' .. uses.month .. ':' .. uses.of_month end
  if uses.times and uses.times ~= '' then parts[#parts + 1] = 't' .. uses.times end
  for _, hold in ipairs(uses.holds) do
    if hold.ends_at > at then
      local bounded = (hold.at or '') ~= '' and table.concat({'', hold.at, hold.amount, hold.currency}, ',') or ''
      parts[#parts + 1] = table.concat({hold.id, hold.ends_at, hold.day, hold.week}, ',') .. bounded
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
  local taken
  for _, hold in ipairs(uses.holds) do
    if hold.id ~= id then kept[#kept + 1] = hold else taken = hold end
  end
  uses.holds = kept
  return taken
end
