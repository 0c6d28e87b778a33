-- Takes redemptions off a user's list.
local function unlist_for_user(users, user, user_redemptions, shorts)
  local field, kept, gone = user .. '\n$', {}, {}
  for _, short in ipairs(shorts) do gone[short] = true end
  local few = redis.call('HGET', users, field) or ''
  for n = 1, #few, 16 do
    local short = string.sub(few, n, n + 15)
    if not gone[short] then kept[#kept + 1] = short end
  end
  if #kept > 0 then redis.call('HSET', users, field, table.concat(kept)) elseif few ~= '' then redis.call('HDEL', users, field) end
  for _, short in ipairs(shorts) do redis.call('ZREM', user_redemptions, short) end
end
