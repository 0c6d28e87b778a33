-- The record of a redemption: an element of a list, right behind the short form of its id. The list is the first of three
-- that is not full; Redis keeps a list packed, whatever the length of its elements.
-- A record has lines: `<state><at> <number> <amount> <currency> <discount_amount> <day> <week> <left>` and further words, the
-- user, the code, the order, its metadata and the reason of a rollback; the last two are left out if empty. Day and week are
-- empty if they are those of `at`.
-- A further word is a letter and a value without blanks. The tables of names are made when they are needed.
-- The id without its partition, in base 64: three hex digits are two of these.
local function short_id(id)
  local digits, parts = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_', {}
  for n = 7, 28, 3 do
    local value = tonumber(string.sub(id, n, n + 2), 16)
    local high, low = math.floor(value / 64) + 1, value % 64 + 1
    parts[#parts + 1] = string.sub(digits, high, high) .. string.sub(digits, low, low)
  end
  return table.concat(parts)
end
local function read_record(text)
  local head, user, code, order, metadata, reason = string.match(text, '^([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n?([^\n]*)\n?(.*)$')
  local r = {user = user, code = code, reason = reason, order = metadata == '' and order or order .. '\n' .. metadata}
  local state, more
  state, r.at, r.number, r.amount, r.currency, r.discount_amount, r.day, r.week, r.left, more = string.match(head, '^(%l)(%d+) (%S+) (%S+) (%S+) (%S+) (%S*) (%S*) (%S*)(.*)$')
  r.state, r.hold_until = ({h = 'held', r = 'redeemed', b = 'rolled-back', l = 'released'})[state], ''
  if more ~= '' then
    local words = {h = 'hold_until', c = 'confirmed_at', b = 'rolled_back_at', e = 'earlier_at', m = 'bounded'}
    for letter, value in string.gmatch(more, ' (%l)(%S+)') do r[words[letter]] = value end
  end
  return r
end
local function record_text(r)
  local more = ''
  if r.hold_until ~= '' then more = more .. ' h' .. r.hold_until end
  if r.confirmed_at then more = more .. ' c' .. r.confirmed_at end
  if r.rolled_back_at then more = more .. ' b' .. r.rolled_back_at end
  if r.bounded then more = more .. ' m1' end
  if r.earlier_at then more = more .. ' e' .. r.earlier_at end
  local letter = r.state == 'redeemed' and 'r' or ({held = 'h', ['rolled-back'] = 'b', released = 'l'})[r.state]
  local order = r.order
  if r.reason ~= '' then order = order .. (string.find(order, '\n') and '\n' or '\n\n') .. r.reason end
  return letter .. r.at .. ' ' .. r.number .. ' ' .. r.amount .. ' ' .. r.currency .. ' ' .. r.discount_amount .. ' ' .. r.day .. ' ' .. r.week .. ' ' .. r.left .. more .. '\n' .. r.user .. '\n' .. r.code .. '\n' .. order
end
-- Returns a record with its list and place there; nil if there is none.
local function find_record(lists, short)
  for n, list in ipairs(lists) do
    -- Most records are in the first list, and most ids that are asked for are new.
    if n == 2 and redis.call('EXISTS', list, lists[3]) == 0 then return nil end
    local place = redis.call('LPOS', list, short)
    if place then
      local r = read_record(redis.call('LINDEX', list, place + 1))
      r.list, r.place, r.short = list, place + 1, short
      return r
    end
  end
end
