--- Claim an identity for a user of a discount: at most so many users share a part of it.
--- COST  O(1): at most four parts, ten users of each, and fifty claims of the user.
--- KEYS  discount own events places...
--- ARGV  user most most_of_user check digests...
--- WITH  copies
--- OK    claimed(fresh)  The user has the identity; `fresh` are the digests that are new, with spaces. A check claims none.
--- ERR   already-granted-elsewhere(part) identity-missing
-- `places` has the key for each digest. A digest has the users who claimed it, and ` !` once a repeat was reported; the
-- field of a user has its digests.
local claimed = redis.call('HGET', own, user)
if not digests[1] then
  if not claimed then return {'identity-missing'} end
  return {'claimed', ''}
end
local d = redis.call('HMGET', discount, 'brand', 'number')
local users, fresh, refused = {}, {}, nil
for n, digest in ipairs(digests) do
  users[n] = redis.call('HGET', places[n], digest) or ''
  local count, known = 0, false
  for each in string.gmatch(users[n], '%x+') do
    count = count + 1
    known = known or each == user
  end
  if not known then
    if count >= tonumber(most) then refused = refused or n end
    fresh[#fresh + 1] = n
  end
end
local many = select(2, string.gsub(claimed or '', '%S+', '')) + #fresh > tonumber(most_of_user)
if many then refused = refused or fresh[1] end
if refused then
  -- The brand is told once of each digest: repeated tries must not flood it.
  if check == '' and not string.find(users[refused], '!', 1, true) then
    local part = ({e = 'email', d = 'device', a = 'address', c = 'card'})[string.sub(digests[refused], 1, 1)]
    redis.call('XADD', events, '*', 'type', 'identity.repeated', 'at', now(), 'brand', d[1], 'number', d[2], 'part', part)
    redis.call('HSET', places[refused], digests[refused], users[refused] .. ' !')
    copy_later(places[refused])
  end
  return {'already-granted-elsewhere', string.sub(digests[refused], 1, 1)}
end
if check ~= '' or #fresh == 0 then return {'claimed', ''} end
local added = {}
for _, n in ipairs(fresh) do
  redis.call('HSET', places[n], digests[n], users[n] == '' and user or users[n] .. ' ' .. user)
  added[#added + 1] = digests[n]
end
redis.call('HSET', own, user, (claimed and claimed .. ' ' or '') .. table.concat(added, ' '))
copy_later(own, unpack(places))
return {'claimed', table.concat(added, ' ')}
