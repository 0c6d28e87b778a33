-- Claims of identities: only so many users of a discount may share an e-mail address, a device, a postal address or a card.
-- `text` has the most users, the user, and digests of what is given, each behind the first letter of its part. `places`
-- ends with the key where changed keys are noted, that of what the user has claimed, and that of each digest. A digest has the users who claimed it, and ` !`
-- once a repeat was reported; the field of a user has its digests. Returns nil where the discount asks for no identity.
local function identity_claims(text, places)
  local most, user, given = string.match(text, '^judged (%d+) (%x+)(.*)$')
  if not most then return nil end
  local claims, digests, users, fresh, shared, refused = {most = most}, {}, {}, {}, nil, nil
  for each in string.gmatch(given, '%w+') do digests[#digests + 1] = each end
  local first = #places - #digests
  local own, noted = places[first], places[first - 1]
  local claimed = redis.call('HGET', own, user)
  if not digests[1] and not claimed then claims.slug = 'identity-missing' end
  for n, digest in ipairs(digests) do
    users[n] = redis.call('HGET', places[first + n], digest) or ''
    local count, known = 0, false
    for each in string.gmatch(users[n], '%x+') do
      count = count + 1
      known = known or each == user
    end
    if not known then
      if count >= tonumber(most) then shared = shared or n end
      fresh[#fresh + 1] = n
    end
  end
  refused = shared
  -- A user may claim fifty digests.
  if #fresh > 0 and select(2, string.gsub(claimed or '', '%S+', '')) + #fresh > 50 then refused = refused or fresh[1] end
  if refused then
    claims.slug = 'already-granted-elsewhere'
    claims.part = ({e = 'email', d = 'device', a = 'address', c = 'card'})[string.sub(digests[refused], 1, 1)]
  end
  -- Notes that a key has changed, as `copies` does, whose key would be one more for every script.
  local function note(name)
    local version = redis.call('ZSCORE', noted, '')
    if version then redis.call('ZADD', noted, string.format('%.0f', version + 1), '') end
    redis.call('ZADD', noted, version or '0', name)
  end
  -- One event for each digest: repeated tries must not flood the brand.
  function claims.report(events, at, brand, number)
    if not shared or string.find(users[shared], '!', 1, true) then return end
    local place = first + shared
    redis.call('XADD', events, '*', 'type', 'identity.repeated', 'at', at, 'brand', brand, 'number', number, 'part', claims.part)
    redis.call('HSET', places[place], digests[shared], users[shared] .. ' !')
    note(places[place])
  end
  function claims.write()
    if #fresh == 0 then return end
    local added = {}
    for _, n in ipairs(fresh) do
      local place = first + n
      redis.call('HSET', places[place], digests[n], users[n] == '' and user or users[n] .. ' ' .. user)
      added[#added + 1] = digests[n]
      note(places[place])
    end
    redis.call('HSET', own, user, (claimed and claimed .. ' ' or '') .. table.concat(added, ' '))
    note(own)
  end
  return claims
end
