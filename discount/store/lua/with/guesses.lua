--- KEYS  user_guesses address_guesses
--- ARGV  guess_seconds user_limit address_limit
--- ERR   too-many-guesses
local guessed = {}
-- The refusal of a user, or an address, that tried too many wrong codes; nil while it may go on.
local function too_many_guesses()
  for _, each in ipairs({{user_guesses, user_limit}, {address_guesses, address_limit}}) do
    local so_far = tonumber(redis.call('GET', each[1]) or 0)
    if so_far >= tonumber(each[2]) then return {'too-many-guesses', tostring(redis.call('TTL', each[1]))} end
    guessed[#guessed + 1] = so_far
  end
end
local function count_guess()
  redis.call('SET', user_guesses, guessed[1] + 1, 'EX', guess_seconds)
  redis.call('SET', address_guesses, guessed[2] + 1, 'EX', guess_seconds)
end
