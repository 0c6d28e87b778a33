--- Add numbers that a process has counted to those of this minute. A call that is sent again counts again.
--- COST  O(n) in the numbers, 1,000 at most.
--- KEYS  tallies
--- ARGV  most counted...
--- OK    counted  The numbers are added; new ones only while there are fewer than `most`.
--- ERR
-- `counted` has for each number: the discount and the word, with a blank between them, and the number.
local at = now()
local minute = string.format('%.0f', at - at % 60000000)
local room = tonumber(most) - redis.call('HLEN', tallies)
for n = 1, #counted, 2 do
  local field = minute .. ' ' .. counted[n]
  local is_new = redis.call('HEXISTS', tallies, field) == 0
  if not is_new or room > 0 then redis.call('HINCRBY', tallies, field, counted[n + 1]) end
  if is_new then room = room - 1 end
end
return {'counted'}
