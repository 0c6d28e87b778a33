--- Create a consumer group that reads the outbox from its beginning, unless it exists.
--- COST  O(n) in the groups of the outbox: one for each kind of reader.
--- KEYS  events
--- ARGV  group
--- OK    opened  The group is new.
--- OK    there   The group was there before.
--- ERR
if redis.call('EXISTS', events) == 1 then
  for _, each in ipairs(redis.call('XINFO', 'GROUPS', events)) do
    if each[2] == group then return {'there'} end
  end
end
redis.call('XGROUP', 'CREATE', events, group, '0', 'MKSTREAM')
return {'opened'}
