--- Take redemptions off a user's list that are not the user's any more.
--- COST  O(log n) in the redemptions of the user for each of at most 500 redemptions.
--- KEYS  users user_redemptions records...
--- ARGV  user ids...
--- WITH  records unlist
--- OK    unlisted  They are off the list.
--- ERR
local shorts = {}
for n, id in ipairs(ids) do
  local short = short_id(id)
  local r = find_record({records[3 * n - 2], records[3 * n - 1], records[3 * n]}, short)
  if not r or r.user ~= user then shorts[#shorts + 1] = short end
end
unlist_for_user(users, user, user_redemptions, shorts)
return {'unlisted'}
