-- A user's uses of a discount, as text: used, day, used that day, week, used that week, then one word for each hold:
-- redemption,until,day,week.
local function read_uses(text)
  local uses = {used = 0, day = '', of_day = 0, week = '', of_week = 0, holds = {}}
  if text then
    local used, day, of_day, week, of_week, rest = string.match(text, '^(%d+) (%d+) (%d+) (%d+) (%d+)(.*)$')
    uses.used, uses.day, uses.of_day, uses.week, uses.of_week = tonumber(used), day, tonumber(of_day), week, tonumber(of_week)
    for id, till, of, within in string.gmatch(rest, '([^ ,]+),(%d+),(%d+),(%d+)') do
      uses.holds[#uses.holds + 1] = {id = id, till = till, day = of, week = within}
    end
  end
  return uses
end
local function write_uses(uses, at)
  local words = {uses.used, uses.day, uses.of_day, uses.week, uses.of_week}
  for _, hold in ipairs(uses.holds) do
    if hold.till > at then
      words[#words + 1] = table.concat({hold.id, hold.till, hold.day, hold.week}, ',')
    end
  end
  return table.concat(words, ' ')
end
-- Days and weeks are written so that a later one is more: a use counts in the latest that the user was seen in.
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
