--- Add a brand's own codes to a discount's pool; skip codes that it has or had.
--- COST  O(n) in the codes of the slice, which the caller bounds, and serve for at most 50 users.
--- KEYS  discount codes buckets events taken...
--- ARGV  by request_id sets triples...
--- WITH  grant_quotas quotas held releases levels waits
--- OK    added(added_count repeated)  `repeated` are the positions in the slice of codes that were there before, with spaces.
--- ERR   not-found closed wrong-kind
-- `triples` has three items for each code: the number of its set in `taken`, its digest, and the code. The keys after
-- these `sets` are those of users who wait.
local d = redis.call('HMGET', discount, 'kind', 'closed', 'brand', 'number', 'made')
if not d[1] then return {'not-found'} end
if d[2] then return {'closed'} end
if d[1] ~= 'imported' then return {'wrong-kind'} end
read_usage(d[3])
local coming = #triples / 3
local stopped = over_import(coming)
if stopped then
  -- Codes that are there already do not count against the quota.
  local seen = {}
  coming = 0
  for i = 1, #triples, 3 do
    local n, mark = tonumber(triples[i]), triples[i] .. ' ' .. triples[i + 1]
    if not seen[mark] and redis.call('SISMEMBER', taken[n], triples[i + 1]) == 0 then coming = coming + 1 end
    seen[mark] = true
  end
end
stopped = stopped and over_import(coming)
if stopped then return stopped end
local fresh, repeated, added, seen = {}, {}, {}, {}
for i = 1, #triples, 3 do
  local n, mark = tonumber(triples[i]), triples[i] .. ' ' .. triples[i + 1]
  if not seen[mark] and redis.call('SISMEMBER', taken[n], triples[i + 1]) == 0 then
    fresh[#fresh + 1] = triples[i + 2]
    added[#added + 1] = {n = n, digest = triples[i + 1]}
  else
    repeated[#repeated + 1] = tostring((i - 1) / 3)
  end
  seen[mark] = true
end
if #fresh > 0 then
  -- The entry has the codes: a reader of the stream alone knows them. No code has a line break.
  redis.call('XADD', events, '*', 'type', 'codes.imported', 'at', now(), 'brand', d[3], 'number', d[4], 'first', tostring(tonumber(d[5]) + 1), 'count', tostring(#fresh), 'by', by, 'request', request_id, 'codes', table.concat(fresh, '\n'))
  for _, each in ipairs(added) do
    local n = each.n
    redis.call('SADD', taken[n], each.digest)
  end
  redis.call('HINCRBY', discount, 'total', #fresh)
  redis.call('HINCRBY', discount, 'made', #fresh)
  count_use_of(#fresh * bytes_of.imported, #fresh)
  redis.call('RPUSH', codes, unpack(fresh))
  hand_out(discount, codes, buckets, events, taken, sets + 1)
end
return {'added', tostring(#fresh), table.concat(repeated, ' ')}
