--- Return the records of redemptions of one partition.
--- COST  O(n) in the ids, of which there are at most 100.
--- KEYS  let_go numbers records...
--- ARGV  ids...
--- WITH  records
--- OK    found(at let_go texts...)  The time on the server; that of the latest redemption that only the ledger has, or empty; for each id its record and the id of its discount, or twice empty.
--- ERR
local found = {}
for n, id in ipairs(ids) do
  local r = find_record({records[3 * n - 2], records[3 * n - 1], records[3 * n]}, short_id(id))
  found[2 * n - 1] = r and record_text(r) or ''
  found[2 * n] = r and redis.call('HGET', numbers, r.number) or ''
end
return {'found', now(), redis.call('GET', let_go) or '', unpack(found)}
