-- The discounts of which a user holds a code, as text: the numbers of up to eight. Further ones are in other fields;
-- the text has how many of them there were, and how many are gone: 7 12 40+3-0.
-- Only Python can compare codes beyond ASCII: all of them share one field, without their letters.
-- The functions are made when they are needed: most grants are to users who hold nothing yet.
local function held_functions()
  local held = {}
  function held.read(text)
    local few, made, gone = string.match(text or '', '^([%d ]*)%+(%d+)%-(%d+)$')
    return {few = few or text or '', made = tonumber(made or 0), gone = tonumber(gone or 0)}
  end
  function held.write(codes)
    if codes.made == codes.gone then return codes.few end
    return string.format('%s+%.0f-%.0f', codes.few, codes.made, codes.gone)
  end
  function held.is_full(codes)
    return codes.made > codes.gone or select(2, string.gsub(codes.few, '%d+', '')) >= 8
  end
  function held.page_field(user, n)
    return string.format('%s\n%.0f', user, math.floor(n / 100))
  end
  function held.code_field(user, brand, code)
    local folded = string.find(code, '[\128-\255]') and '' or string.lower((string.gsub(code, '[ -]', '')))
    return user .. '\n' .. brand .. '\n' .. folded
  end
  function held.with_number(numbers, number)
    return numbers and numbers ~= '' and (numbers .. ' ' .. number) or number
  end
  function held.without_number(numbers, number)
    local kept = {}
    for each in string.gmatch(numbers or '', '%d+') do
      if each ~= number then kept[#kept + 1] = each end
    end
    return table.concat(kept, ' ')
  end
  return held
end
