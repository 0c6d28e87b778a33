-- The discounts of which a user holds a code, as text: the numbers of up to eight. Further ones are in other fields;
-- the text has how many of them there were, and how many are gone: 7 12 40+3-0.
local function read_held(text)
  local few, made, gone = string.match(text or '', '^([%d ]*)%+(%d+)%-(%d+)$')
  return {few = few or text or '', made = tonumber(made or 0), gone = tonumber(gone or 0)}
end
local function write_held(held)
  if held.made == held.gone then return held.few end
  return string.format('%s+%.0f-%.0f', held.few, held.made, held.gone)
end
local function is_full(held)
  return held.made > held.gone or select(2, string.gsub(held.few, '%d+', '')) >= 8
end
local function page_field(user, n)
  return string.format('%s\n%.0f', user, math.floor(n / 100))
end
-- Only Python can compare codes beyond ASCII: all of them share one field, without their letters.
local function code_field(user, brand, code)
  local folded = string.find(code, '[\128-\255]') and '' or string.lower((string.gsub(code, '[ -]', '')))
  return user .. '\n' .. brand .. '\n' .. folded
end
local function with_number(numbers, number)
  return numbers and numbers ~= '' and (numbers .. ' ' .. number) or number
end
local function without_number(numbers, number)
  local kept = {}
  for each in string.gmatch(numbers or '', '%d+') do
    if each ~= number then kept[#kept + 1] = each end
  end
  return table.concat(kept, ' ')
end
