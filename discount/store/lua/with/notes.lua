-- The codes that were taken back from a user, one a line, the latest last.
local function last_lines(text, most)
  local lines = {}
  for line in string.gmatch(text or '', '[^\n]+') do lines[#lines + 1] = line .. '\n' end
  return table.concat(lines, '', math.max(1, #lines - most + 1))
end
local function last_note(text)
  return string.match(text or '', '(%d+) (%l+) %S* (%d+ [^\n]*)$')
end
