--- Count a wrong code that belongs to no discount, or only check that there were not too many.
--- COST  O(1).
--- KEYS
--- ARGV  counts
--- WITH  guesses guard
--- OK    counted  The wrong code is counted.
--- OK    free     There were not too many wrong codes.
--- ERR
local stopped = too_many_guesses()
if stopped then return stopped end
if counts == '' then return {'free'} end
count_guess()
return {'counted'}
