-- The shares of a total, in percent, that have an event when they are granted.
-- Returns those that the next grant reaches and that had no event before; `told` is the last one and its total then.
-- After a raise of the total, shares that are ahead again may have another event.
local function next_levels(granted, total, told)
  local size, level, of_total = tonumber(total), string.match(told or '', '^(%d+) (%d+)$')
  level = tonumber(level or 0)
  while level > 0 and of_total ~= total and granted * 100 < size * level do level = level == 95 and 80 or 0 end
  local reached = {}
  for _, each in ipairs({80, 95}) do
    if each > level and (granted + 1) * 100 >= size * each then reached[#reached + 1] = each end
  end
  return reached
end
