--- Lease a due reminder for `lease` microseconds, so that no other worker plans it meanwhile.
--- COST  O(log n) in the reminders of the partition.
--- KEYS  expiring
--- ARGV  member lease
--- OK    leased(until)  The caller has the reminder until then.
--- OK    not-due        The reminder is not due, or another worker has it.
--- ERR
local at = now()
local due_at = redis.call('ZSCORE', expiring, member)
if not due_at or tonumber(due_at) > tonumber(at) then return {'not-due'} end
local leased_until = string.format('%.0f', tonumber(at) + tonumber(lease))
redis.call('ZADD', expiring, leased_until, member)
return {'leased', leased_until}
