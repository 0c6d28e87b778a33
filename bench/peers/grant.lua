-- A grant in nginx's own workers: a kept-alive connection to Redis for each request. README.md has the environment.
local redis = require "nginx.redis"
local cjson = require "cjson.safe"
local SOCKET, BUCKETS, GROUPS = os.getenv "REDIS_SOCKET", tonumber(os.getenv "BUCKETS"), tonumber(os.getenv "GROUPS")
local REFUSALS = {["not-found"] = 404, closed = 409, paused = 409, expired = 409, ["not-started"] = 409, ["sold-out"] = 409}

-- The words of the command, each cut into constants at odd places and names of variables at even ones.
local words = {}
for n, word in ipairs(cjson.decode(os.getenv "COMMAND")) do
  local parts, from = {}, 1
  for start, name, after in word:gmatch "()<(%l+)>()" do
    parts[#parts + 1], parts[#parts + 2] = word:sub(from, start - 1), name
    from = after
  end
  parts[#parts + 1] = word:sub(from)
  words[n] = parts
end

local function fill(discount, user)
  local sum = ngx.crc32_long(user)
  local values = {discount = discount, user = user, bucket = sum % BUCKETS, group = sum % GROUPS}
  local filled = {}
  for n, parts in ipairs(words) do
    local text = parts[1]
    for place = 2, #parts, 2 do text = text .. values[parts[place]] .. parts[place + 1] end
    filled[n] = text
  end
  return filled
end

local second, second_text
local function moment(micros)
  if second ~= micros:sub(1, -7) then
    second = micros:sub(1, -7)
    second_text = os.date("!%Y-%m-%dT%H:%M:%S", tonumber(second))
  end
  return second_text .. "." .. micros:sub(-6) .. "Z"
end

local function answer(status, content_type, body)
  local headers = ngx.header
  ngx.status = status
  headers["Content-Type"] = content_type
  headers["Content-Length"] = #body
  headers["X-Request-Id"] = ngx.var.request_id
  headers["Cache-Control"] = "no-store"
  headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
  headers["Referrer-Policy"] = "no-referrer"
  headers["X-Content-Type-Options"] = "nosniff"
  ngx.print(body)
end

local function refuse(status, slug)
  answer(status, "application/problem+json", ('{"type":"/problems/%s","status":%d}'):format(slug, status))
end

return function()
  ngx.req.read_body()
  local body = cjson.decode(ngx.req.get_body_data() or "")
  local user = type(body) == "table" and body.user_id
  if type(user) ~= "string" or #user < 1 or #user > 128 then return refuse(422, "invalid") end
  local discount = ngx.var.discount_id
  local client = redis:new()
  client:set_timeout(1000)
  if not client:connect("unix:" .. SOCKET) then return refuse(503, "unavailable") end
  local reply = client:evalsha(unpack(fill(discount, user)))
  client:set_keepalive(10000, 64)
  if not reply then return refuse(503, "unavailable") end
  local word, value = reply[1], reply[2]
  if word ~= "granted" and word ~= "held" then return refuse(REFUSALS[word] or 503, word) end
  local at, code = value:match "^(%d+) (.*)$"
  answer(word == "granted" and 201 or 200, "application/json", table.concat{
    '{"discount_id":"', discount, '","user_id":', cjson.encode(user), ',"granted":true,"code":', cjson.encode(code),
    ',"granted_at":"', moment(at), '","good_until":null,"void":false}'})
end
