--- KEYS  user_guesses address_guesses
--- ARGV  guess_seconds user_limit address_limit
--- ERR   too-many-guesses(retry_after)
local guessed
-- Returns the refusal of a user or an address that tried too many wrong codes; nil for any other.
local function too_many_guesses()
  guessed = redis.call('MGET', user_guesses, address_guesses)
  local blocked = guessed[1] and tonumber(guessed[1]) >= tonumber(user_limit) and user_guesses
  blocked = blocked or address_limit ~= '' and guessed[2] and tonumber(guessed[2]) >= tonumber(address_limit) and address_guesses
  if blocked then return {'too-many-guesses', tostring(redis.call('TTL', blocked))} end
end
local function count_guess()
  redis.call('SET', user_guesses, (guessed[1] or 0) + 1, 'EX', guess_seconds)
  if address_limit ~= '' then redis.call('SET', address_guesses, (guessed[2] or 0) + 1, 'EX', guess_seconds) end
end
