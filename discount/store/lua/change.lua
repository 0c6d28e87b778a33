--- Change fields of a discount; an empty value deletes the field.
--- COST  O(1), and O(n) in the codes of the pool that a lower total removes, and serve for at most 50 users.
--- KEYS  discount codes shared buckets events of_waits...
--- ARGV  from block fields discount_id shared_code by request_id
--- WITH  grant_quotas quotas held releases levels waits
--- OK    changed     The fields are changed.
--- OK    ends-first  Nothing is changed: the discount would end before it starts.
--- ERR   not-found closed below-granted(granted_count) code-taken
local d = redis.call('HMGET', discount, 'brand', 'granted', 'total', 'made', 'closed', 'starts_at', 'expires_at', 'number', 'kind')
if not d[1] then return {'not-found'} end
if d[5] then return {'closed'} end
local values = cjson.decode(fields)
local total
local more = 0
local starts, expires = d[6] or '', d[7] or ''
for i = 1, #values, 2 do
  if values[i] == 'total' then
    total = tonumber(values[i + 1])
    more = (total or 0) - tonumber(d[3] or 0)
  end
  if values[i] == 'starts_at' then starts = values[i + 1] end
  if values[i] == 'expires_at' then expires = values[i + 1] end
end
if starts ~= '' and expires ~= '' and expires <= starts then return {'ends-first'} end
-- After the end of this discount another one may have taken over its code. Two of a brand must never share a code.
if shared_code ~= '' and (expires == '' or expires > now()) and redis.call('HGET', shared, shared_code) ~= discount_id then return {'code-taken'} end
if total and total < tonumber(d[2]) then return {'below-granted', d[2]} end
read_usage(d[1])
local stopped = more > 0 and over_quota('codes', more)
if stopped then return stopped end

local before = {}
for i = 1, #values, 2 do
  before[i], before[i + 1] = values[i], redis.call('HGET', discount, values[i]) or ''
  -- A release that begins anew counts the grants from now on.
  if values[i] == 'release' and values[i + 1] ~= '' then values[i + 1] = values[i + 1] .. ' ' .. d[2] end
end
redis.call('XADD', events, '*', 'type', 'discount.changed', 'at', now(), 'brand', d[1], 'number', d[8], 'before', cjson.encode(before), 'after', fields, 'by', by, 'request', request_id)
for i = 1, #values, 2 do
  if values[i + 1] == '' then
    redis.call('HDEL', discount, values[i])
  else
    redis.call('HSET', discount, values[i], values[i + 1])
  end
end
if more ~= 0 then count_use_of(0, more) end
if total and d[9] == 'unique' and total < tonumber(d[4]) then
  -- The pool is a run of the sequence: codes removed from its end are made again if the total rises later.
  redis.call('HSET', discount, 'made', tostring(total))
  local waiting = total - tonumber(d[2])
  if waiting == 0 then redis.call('DEL', codes) else redis.call('LTRIM', codes, 0, waiting - 1) end
end
-- Codes of a higher total that are for users who wait; `from` is the counter of the first.
if total and block ~= '' and from == d[4] then
  local list = cjson.decode(block)
  local count = math.min(#list, total - tonumber(from))
  if count > 0 then
    redis.call('HSET', discount, 'made', string.format('%.0f', from + count))
    redis.call('RPUSH', codes, unpack(list, 1, count))
  end
end
hand_out(discount, codes, buckets, events, of_waits, 1)
return {'changed'}
