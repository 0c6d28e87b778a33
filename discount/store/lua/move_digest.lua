--- Set when a brand's next digest is due, unless the brand has changed it meanwhile.
--- COST  O(log n) in the digests of the partition.
--- KEYS  digests
--- ARGV  brand_id due_at next_at
--- WITH  copies
--- OK    moved    The next digest is due at `next_at`; without that, there is none.
--- OK    changed  Nothing is changed: it is no longer due at `due_at`.
--- ERR
local stored = redis.call('ZSCORE', digests, brand_id)
if not stored or tonumber(stored) ~= tonumber(due_at) then return {'changed'} end
if next_at ~= '' then redis.call('ZADD', digests, next_at, brand_id) else redis.call('ZREM', digests, brand_id) end
copy_later(digests .. '\n' .. brand_id)
return {'moved'}
