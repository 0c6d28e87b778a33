--- Create a discount with the first block of its codes.
--- COST  O(n) in the codes of the first block, which the caller bounds.
--- KEYS  brand_record discount discounts brand_discounts numbers codes shared holder idempotency webhook events
--- ARGV  discount_id fingerprint keep_seconds fields code_key first_block shared_code webhook_fields by request_id held_by
--- WITH  grant_quotas quotas
--- OK    created(discount_id)  The discount is new.
--- OK    made(discount_id)     The same request made this discount before.
--- OK    held-by(discount_id)  This discount has the code; call again with its key as `holder`.
--- ERR   idempotency-mismatch brand-closed expired(expires_at) code-taken
-- `first_block` is a JSON list: Lua can unpack only some thousand values onto its stack, so codes are pushed in slices.
if fingerprint ~= '' then
  local made = redis.call('GET', idempotency)
  if made then
    if string.sub(made, 1, #fingerprint) ~= fingerprint then return {'idempotency-mismatch'} end
    return {'made', string.sub(made, #fingerprint + 2)}
  end
end
-- The same call again, after its answer was lost.
if redis.call('EXISTS', discount) == 1 then return {'made', discount_id} end
if redis.call('HEXISTS', brand_record, 'closed_at') == 1 then return {'brand-closed'} end
local at = now()
local held = shared_code ~= '' and redis.call('HGET', shared, shared_code)
if held then
  -- The caller names the key of the discount that has the code: a script never builds a key.
  if held ~= held_by then return {'held-by', held} end
  -- The code of a void or expired discount is free again.
  local ended = redis.call('HMGET', holder, 'closed', 'expires_at')
  if ended[1] ~= 'void' and not (ended[2] and at >= ended[2]) then return {'code-taken'} end
end
local values = cjson.decode(fields)
for i = 1, #values, 2 do
  if values[i] == 'expires_at' and at >= values[i + 1] then return {'expired', values[i + 1]} end
end
-- Lists page by time alone, so no two discounts of a partition may have the same time.
local score = at
while redis.call('ZCOUNT', discounts, score, score) > 0 do
  score = string.format('%.0f', tonumber(score) + 1)
end
local number = tostring(redis.call('HLEN', numbers) + 1)
local block = cjson.decode(first_block)
local brand, total
for i = 1, #values, 2 do
  if values[i] == 'brand' then brand = values[i + 1] end
  if values[i] == 'total' then total = tonumber(values[i + 1]) end
end
read_usage(brand)
used.discounts = redis.call('ZCARD', brand_discounts)
local bytes = bytes_of.discount + #block * bytes_of.code
local stopped = over_quota('discounts', 1) or over_quota('codes', total or 0) or over_quota('stored_bytes', bytes)
if stopped then return stopped end

-- A reader of the stream alone can make this discount again: `key` is what unique codes are made with.
if code_key ~= '' then
  redis.call('XADD', events, '*', 'type', 'discount.created', 'at', score, 'brand', brand, 'number', number, 'id', discount_id, 'definition', fields, 'by', by, 'request', request_id, 'key', code_key)
  redis.call('HSET', discount, 'key', code_key)
else
  redis.call('XADD', events, '*', 'type', 'discount.created', 'at', score, 'brand', brand, 'number', number, 'id', discount_id, 'definition', fields, 'by', by, 'request', request_id)
end
redis.call('HSET', discount, 'created_at', score, 'number', number, 'granted', '0', 'made', tostring(#block), unpack(values))
for i = 1, #block, 1000 do
  redis.call('RPUSH', codes, unpack(block, i, math.min(i + 999, #block)))
end
redis.call('HSET', numbers, number, discount_id)
count_use_of(bytes, total or 0)
redis.call('ZADD', brand_discounts, score, discount_id)
redis.call('ZADD', discounts, score, discount_id)
local webhook_values = cjson.decode(webhook_fields)
if webhook_values[1] then redis.call('HSET', webhook, 'brand', brand, 'discount', discount_id, 'version', '1', 'created_at', score, unpack(webhook_values)) end
if shared_code ~= '' then redis.call('HSET', shared, shared_code, discount_id) end
if fingerprint ~= '' then
  redis.call('SET', idempotency, fingerprint .. ' ' .. discount_id, 'EX', keep_seconds)
end
return {'created', discount_id}
