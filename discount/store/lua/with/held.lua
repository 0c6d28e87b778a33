-- What a user holds, as a text: the numbers of up to eight discounts, and of those beyond, which stand in fields of
-- their own, how many there were and how many are gone: 7 12 40+3-0.
local function read_held(text)
  local few, made, gone = string.match(text or '', '^([%d ]*)%+(%d+)%-(%d+)$')
  return {few = few or text or '', made = tonumber(made or 0), gone = tonumber(gone or 0)}
end
local function write_held(found)
  if found.made == found.gone then return found.few end
  return string.format('%s+%.0f-%.0f', found.few, found.made, found.gone)
end
local function is_full(found)
  return found.made > found.gone or select(2, string.gsub(found.few, '%d+', '')) >= 8
end
local function page_field(user, n)
  return string.format('%s\n%.0f', user, math.floor(n / 100))
end
-- Beyond ASCII only Python knows what is the same to a reader: such codes stand together, without their letters.
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
