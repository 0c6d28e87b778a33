-- Changes of records, as `records.lua` has them.
local FULL = 192
local function put_record(r)
  redis.call('LSET', r.list, r.place, record_text(r))
end
local function add_record(lists, short, r)
  local list = lists[3]
  for n = 2, 1, -1 do
    if redis.call('LLEN', lists[n]) < FULL then list = lists[n] end
  end
  redis.call('RPUSH', list, short, record_text(r))
end
local function remove_record(r)
  redis.call('LSET', r.list, r.place, '')
  redis.call('LSET', r.list, r.place - 1, '')
  redis.call('LREM', r.list, 0, '')
end
local function left_text(left)
  local parts = {}
  for name, count in pairs(left) do parts[#parts + 1] = (LIMITS[name] or name) .. '=' .. string.format('%.0f', count) end
  table.sort(parts)
  return table.concat(parts, ',')
end
