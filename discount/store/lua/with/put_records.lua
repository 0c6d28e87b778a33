-- Changes of records, as `records.lua` has them.
local FULL = 192
local function put_record(r)
  redis.call('LSET', r.list, r.place, record_text(r))
end
local function add_record(lists, short, r)
  local list = lists[1]
  if redis.call('LLEN', list) >= FULL then list = redis.call('LLEN', lists[2]) < FULL and lists[2] or lists[3] end
  redis.call('RPUSH', list, short, record_text(r))
end
local function remove_record(r)
  redis.call('LSET', r.list, r.place, '')
  redis.call('LSET', r.list, r.place - 1, '')
  redis.call('LREM', r.list, 0, '')
end
local function left_text(left)
  local parts, letters = {}, {total = 't', per_user = 'u', per_user_per_day = 'd', per_user_per_week = 'w'}
  for name, count in pairs(left) do parts[#parts + 1] = (letters[name] or name) .. '=' .. string.format('%.0f', count) end
  if parts[2] then table.sort(parts) end
  return table.concat(parts, ',')
end
