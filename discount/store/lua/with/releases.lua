-- When a paced pool releases its next code, after so many grants. `release` has the start, the codes of a minute, and
-- the grants before that start.
local function released_at(release, granted)
  local start, per_minute, before = string.match(release, '^(%d+) (%d+) ?(%d*)$')
  local ahead = math.max(0, granted - (tonumber(before) or 0))
  return string.format('%016.0f', start + math.ceil(ahead * 60000000 / per_minute))
end
