--- Close a discount for good: no more grants, and no more waiting list. Generated codes of the pool are deleted; imported and returned ones stay.
--- COST  O(1): Redis frees the memory of the pool and the waiting list later, in another thread.
--- KEYS  usage discount codes waits waits_due events
--- ARGV  discount_id granted_codes by request_id
--- OK    closed-now     The discount is closed, or its granted codes are void as well.
--- OK    closed-before  Nothing is changed: it was closed like this before.
--- ERR   not-found
local d = redis.call('HMGET', discount, 'brand', 'closed', 'number', 'kind', 'paused', 'returned', 'waits')
if not d[1] then return {'not-found'} end
-- A second close can still void the granted codes; it cannot make them valid again.
if d[2] and (d[2] == granted_codes or d[2] == 'void') then return {'closed-before'} end
local before = cjson.encode({'closed', d[2] or '', 'paused', d[5] or ''})
local after = cjson.encode({'closed', granted_codes, 'paused', ''})
redis.call('XADD', events, '*', 'type', 'discount.closed', 'at', now(), 'brand', d[1], 'number', d[3], 'before', before, 'after', after, 'by', by, 'request', request_id)
redis.call('HSET', discount, 'closed', granted_codes)
-- A closed discount cannot be resumed, so a pause would make the kept codes invalid for good.
redis.call('HDEL', discount, 'paused')
-- Codes that were taken back are no run of the sequence: the export can only read them from the pool.
if d[4] ~= 'imported' and not d[6] then redis.call('UNLINK', codes) end
if d[7] then
  redis.call('HDEL', discount, 'waits')
  redis.call('HINCRBY', usage, 'waits ' .. d[1], 0 - tonumber(d[7]))
  redis.call('ZREM', waits_due, discount_id)
  redis.call('UNLINK', waits)
end
return {'closed-now'}
