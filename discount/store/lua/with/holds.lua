-- Which of a user's holds give way, and when the holds of others leave room.
-- As few give way as are needed: the oldest of those that a limit counts, for the narrowest limit first. Those stay.
local function choose_holds(limits, own, today)
  local needed, chosen, staying = {}, {}, {}
  for _, limit in ipairs(limits) do needed[limit.name] = limit.used + limit.held + 1 - limit.most end
  local function let_go(name, counts)
    for _, hold in ipairs(own) do
      if #chosen >= (needed[name] or 0) then return end
      if not hold.gone and counts(hold) then
        hold.gone = true
        chosen[#chosen + 1] = hold
      end
    end
  end
  let_go('per_user_per_day', function(hold) return hold.day == today.day end)
  let_go('per_user_per_week', function(hold) return hold.week == today.week end)
  let_go('per_user', function() return true end)
  let_go('total', function() return true end)
  for _, hold in ipairs(own) do
    if not hold.gone then staying[#staying + 1] = hold end
  end
  return chosen, staying
end
-- When so many holds of others have ended that one use of the limit is left: by rank, past the own ones, which give way.
local function find_opening(all, limit, own, at)
  local first = redis.call('ZCOUNT', all, '-inf', at) + limit.used + limit.held - limit.most
  local ends = redis.call('ZRANGE', all, first, first + #own, 'WITHSCORES')
  table.sort(own, function(one, other) return one.till < other.till end)
  local before = 0
  for n = 1, #ends / 2 do
    local till = string.format('%.0f', tonumber(ends[2 * n]))
    while own[before + 1] and own[before + 1].till <= till do before = before + 1 end
    if n > before then return till end
  end
end
