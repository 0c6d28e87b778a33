--- Redeem or hold several codes for one order: all of them, or none. Or return the reasons against each.
--- COST  O(log n) in the redemptions and holds of each discount: twice that of `redeem` for each code, of which the caller sends few.
--- KEYS  blocks...
--- ARGV  mode mode_at key_counts argument_count arguments...
--- RUNS  redeem
--- WITH  guard
--- OK    redeemed(answers...)          New uses, or holds: for each code a JSON list, the answer of `redeem`.
--- OK    again(record)                 The order was redeemed before: its first record.
--- OK    checked(answers...)           Nothing is counted: for each code a JSON list, the answer of `redeem`.
--- OK    refused(position reasons)     Nothing is redeemed: the first refused code, from 1, and the reasons; none if only its rule refuses the order.
--- OK    asks(position answer...)      Only the caller can answer this for the code at `position`; call again.
--- ERR
-- Each code has its own keys and arguments, in the sequence that `redeem` has.
local codes, key, argument = {}, 1, 1
for count in string.gmatch(key_counts, '%d+') do
  codes[#codes + 1] = {keys = {unpack(blocks, key, key + count - 1)}, arguments = {unpack(arguments, argument, argument + argument_count - 1)}}
  key, argument = key + count, argument + argument_count
end
local answers = {}
for n, code in ipairs(codes) do
  local stopped = redeem(code.keys, code.arguments)
  local status = stopped[1]
  if status == 'not-found' or status == 'too-many-guesses' then return stopped end
  if status == 'again' then return {'again', stopped[2]} end
  if status == 'refused' and mode ~= 'check' then return {'refused', tostring(n), stopped[2]} end
  if status == 'checked' and mode ~= 'check' then return {'refused', tostring(n), '[]'} end
  if status ~= 'ready' and status ~= 'checked' and status ~= 'refused' then return {'asks', tostring(n), unpack(stopped)} end
  answers[n] = cjson.encode(stopped)
end
if mode ~= 'redeem' then return {'checked', unpack(answers)} end
-- The discounts differ, so what one code writes changes nothing for the next.
for n, code in ipairs(codes) do
  code.arguments[tonumber(mode_at)] = 'redeem'
  answers[n] = cjson.encode(redeem(code.keys, code.arguments))
end
return {'redeemed', unpack(answers)}
