--- Count a wrong code that led to no discount, or only look whether there were too many.
--- COST  O(1).
--- KEYS
--- ARGV  counts
--- WITH  guesses guard
--- OK    counted free
--- ERR
local stopped = too_many_guesses()
if stopped then return stopped end
if counts == '' then return {'free'} end
count_guess()
return {'counted'}
