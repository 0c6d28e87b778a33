--- Count a wrong code that led to no discount.
--- KEYS
--- ARGV
--- WITH  guesses guard
--- OK    counted
--- ERR
local stopped = too_many_guesses()
if stopped then return stopped end
count_guess()
return {'counted'}
