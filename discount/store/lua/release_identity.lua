--- Give identities that a user claimed of a discount back.
--- COST  O(1): at most fifty claims of the user, and ten users of each.
--- KEYS  own places...
--- ARGV  user digests...
--- WITH  copies
--- OK    released  The user has none of these digests any more.
--- ERR
-- `places` has the key for each digest.
local kept, gone = {}, {}
for _, digest in ipairs(digests) do gone[digest] = true end
for each in string.gmatch(redis.call('HGET', own, user) or '', '%S+') do
  if not gone[each] then kept[#kept + 1] = each end
end
local left = {}
for n, digest in ipairs(digests) do
  left[n] = {}
  for each in string.gmatch(redis.call('HGET', places[n], digest) or '', '%x+') do
    if each ~= user then left[n][#left[n] + 1] = each end
  end
end
for n, digest in ipairs(digests) do
  if left[n][1] then redis.call('HSET', places[n], digest, table.concat(left[n], ' ')) else redis.call('HDEL', places[n], digest) end
end
if kept[1] then redis.call('HSET', own, user, table.concat(kept, ' ')) else redis.call('HDEL', own, user) end
copy_later(own, unpack(places))
return {'released'}
