--- Note that keys are copied, unless they changed again meanwhile.
--- COST  O(n) in the names, which the caller bounds.
--- KEYS  uncopied
--- ARGV  names_with_versions...
--- OK    noted  They are noted.
--- ERR
local same = {}
for n = 1, #names_with_versions, 2 do
  if redis.call('ZSCORE', uncopied, names_with_versions[n]) == names_with_versions[n + 1] then same[#same + 1] = names_with_versions[n] end
end
for _, each in ipairs(same) do redis.call('ZREM', uncopied, each) end
return {'noted'}
