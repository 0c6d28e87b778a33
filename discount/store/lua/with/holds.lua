-- Which holds of the user are released for a new use, and when holds of others end early enough for one.
-- The functions are made when they are needed: few checkouts are stopped by holds.
-- `choose` returns the released holds and the kept ones. It releases as few as needed: the oldest that count for the
-- narrowest limit. `find_opening` returns when enough holds of others have ended for one use: by rank, without the user's
-- own, which are released anyway.
local function holds_functions()
  local functions = {}
  function functions.choose(limits, user_holds, today)
    local needed, chosen, kept_holds = {}, {}, {}
    for _, limit in ipairs(limits) do needed[limit.name] = limit.used + limit.held + 1 - limit.most end
    local function choose(name, counts)
      for _, hold in ipairs(user_holds) do
        if #chosen >= (needed[name] or 0) then return end
        if not hold.gone and counts(hold) then
          hold.gone = true
          chosen[#chosen + 1] = hold
        end
      end
    end
    choose('per_user_per_day', function(hold) return hold.day == today.day end)
    choose('per_user_per_week', function(hold) return hold.week == today.week end)
    choose('per_user', function() return true end)
    choose('total', function() return true end)
    -- Limits by other periods and of money: what each hold takes of them differs.
    for _, limit in ipairs(limits) do
      if limit.takes then
        local lacking = limit.need == 0 and 0 or limit.used + limit.held + (limit.need or 1) - limit.most
        for _, hold in ipairs(chosen) do lacking = lacking - limit.takes(hold) end
        for _, hold in ipairs(user_holds) do
          if lacking > 0 and not hold.gone and limit.takes(hold) > 0 then
            hold.gone = true
            chosen[#chosen + 1] = hold
            lacking = lacking - limit.takes(hold)
          end
        end
      end
    end
    for _, hold in ipairs(user_holds) do
      if not hold.gone then kept_holds[#kept_holds + 1] = hold end
    end
    return chosen, kept_holds
  end
  function functions.find_opening(all, limit, user_holds, at)
    local first = redis.call('ZCOUNT', all, '-inf', at) + limit.used + limit.held - limit.most
    local ends = redis.call('ZRANGE', all, first, first + #user_holds, 'WITHSCORES')
    table.sort(user_holds, function(one, other) return one.ends_at < other.ends_at end)
    local before = 0
    for n = 1, #ends / 2 do
      local ends_at = string.format('%.0f', tonumber(ends[2 * n]))
      while user_holds[before + 1] and user_holds[before + 1].ends_at <= ends_at do before = before + 1 end
      if n > before then return ends_at end
    end
  end
  return functions
end
