-- For a script that has copies, too.
-- Gives digests back that a user claimed of a discount. `places` has from `first` on the key of each.
local function free_identities(own, places, first, user, digests)
  local kept, gone = {}, {}
  for _, digest in ipairs(digests) do gone[digest] = true end
  for each in string.gmatch(redis.call('HGET', own, user) or '', '%S+') do
    if not gone[each] then kept[#kept + 1] = each end
  end
  for n, digest in ipairs(digests) do
    local place, left = first + n - 1, {}
    for each in string.gmatch(redis.call('HGET', places[place], digest) or '', '%x+') do
      if each ~= user then left[#left + 1] = each end
    end
    if left[1] then redis.call('HSET', places[place], digest, table.concat(left, ' ')) else redis.call('HDEL', places[place], digest) end
    copy_later(places[place])
  end
  if kept[1] then redis.call('HSET', own, user, table.concat(kept, ' ')) else redis.call('HDEL', own, user) end
  copy_later(own)
end
