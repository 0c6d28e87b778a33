--- KEYS  user_guesses address_guesses
--- ARGV  guess_seconds user_limit address_limit
--- ERR   too-many-guesses(retry_after)
local guessed
-- The refusal of a user, or an address, that tried too many wrong codes; nil while it may go on.
local function too_many_guesses()
  guessed = redis.call('MGET', user_guesses, address_guesses)
  local waits = guessed[1] and tonumber(guessed[1]) >= tonumber(user_limit) and user_guesses
  waits = waits or address_limit ~= '' and guessed[2] and tonumber(guessed[2]) >= tonumber(address_limit) and address_guesses
  if waits then return {'too-many-guesses', tostring(redis.call('TTL', waits))} end
end
local function count_guess()
  redis.call('SET', user_guesses, (guessed[1] or 0) + 1, 'EX', guess_seconds)
  if address_limit ~= '' then redis.call('SET', address_guesses, (guessed[2] or 0) + 1, 'EX', guess_seconds) end
end
