--- Grant codes to users who held them in another service, and count what they used of them there.
--- COST  O(n) in the lines and uses of the slice, which the caller bounds, each O(log m) in the redemptions of the discount and of its user.
--- KEYS  discount buckets waits waits_due redemptions more_redemptions let_go events of_lines...
--- ARGV  lines mark currency known_let_go
--- WITH  grant_quotas quotas held uses records put_records lists bounds bounded_uses moved_lines
--- OK    moved(outcomes...)  For each line in order: `granted` or `held` with the number of new uses, or a word for why it is refused.
--- OK    changed   Redis let redemptions go meanwhile; look again which uses the ledger has.
--- ERR   not-found closed wrong-kind
-- `lines` is a JSON list; a line has its user, its bucket, code, digest, time of the grant, and uses. A use has its id, time,
-- amount, currency, discount amount, order, day and week. `of_lines` has for each line the keys of the grant, the user's
-- numbers, the uses, the set of the code and the user's redemptions, then three lists of records for each use.
-- What has happened is counted even where it passes a limit; limits stop what comes after it.
local d = redis.call('HMGET', discount, 'brand', 'number', 'kind', 'closed', 'granted', 'total', 'made', 'code', 'bounded', 'release', 'waits')
if not d[1] then return {'not-found'} end
if d[4] then return {'closed'} end
if d[3] ~= 'imported' and d[3] ~= 'shared' then return {'wrong-kind'} end
if (redis.call('GET', let_go) or '') ~= known_let_go then return {'changed'} end
local at, rows, own, place = now(), cjson.decode(lines), d[3] == 'imported', 1
read_usage(d[1])
local stopped = over_moved(#rows, own)
if stopped then
  -- Codes that are there already do not count against the quota.
  local coming, seen = 0, {}
  for _, row in ipairs(rows) do
    local name, in_taken = own and row[4] or row[1], place + 3
    local is_known = seen[name] or (own and redis.call('SISMEMBER', of_lines[in_taken], name) == 1)
    if not is_known and redis.call('HEXISTS', of_lines[place], row[1]) == 0 then coming = coming + 1 end
    seen[name] = true
    place = place + 5 + 3 * #row[6]
  end
  stopped, place = over_moved(coming, own), 1
end
if stopped then return stopped end

local bounds = d[9] and bounds_functions()
if bounds then bounds.open(currency, at) end
local moving = {d = d, at = at, own = own, mark = mark, moved = 0, counted = 0, gone = 0, sums = {}, writer = bounds and bounded_uses(bounds)}
local outcomes = {}
for n, row in ipairs(rows) do
  outcomes[n] = move_line(moving, row, buckets, waits, redemptions, more_redemptions, events, of_lines, place)
  place = place + 5 + 3 * #row[6]
end
if moving.moved > 0 then
  redis.call('HINCRBY', discount, 'granted', moving.moved)
  if own then
    redis.call('HINCRBY', discount, 'total', moving.moved)
    redis.call('HINCRBY', discount, 'made', moving.moved)
  end
  -- The pace of a release is for codes that are still to be granted.
  local start, per_minute, before = string.match(d[10] or '', '^(%d+) (%d+) ?(%d*)$')
  if start then redis.call('HSET', discount, 'release', string.format('%s %s %.0f', start, per_minute, (tonumber(before) or 0) + moving.moved)) end
  count_moved(moving)
end
if moving.gone > 0 then
  if d[11] - moving.gone > 0 then
    redis.call('HINCRBY', discount, 'waits', -moving.gone)
  else
    redis.call('HDEL', discount, 'waits')
    redis.call('ZREM', waits_due, (string.match(discount, ':([^:]+)$')))
  end
end
if moving.counted > 0 then
  redis.call('HINCRBY', discount, 'used', moving.counted)
  redis.call('HINCRBY', discount, 'redeemed', moving.counted)
  for name, sum in pairs(moving.sums) do
    if sum > 0 then redis.call('HINCRBY', discount, name, string.format('%.0f', sum)) end
  end
end
if moving.writer then moving.writer.save() end
return {'moved', unpack(outcomes)}
