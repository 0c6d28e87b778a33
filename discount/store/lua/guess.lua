--- Count a wrong code that led to no discount.
--- KEYS  user_guesses address_guesses
--- ARGV  guess_seconds user_limit address_limit
--- WITH  guard
--- OK    counted
--- ERR   too-many-guesses
local guessed, guessed_there = redis.call('GET', user_guesses), redis.call('GET', address_guesses)
if guessed and tonumber(guessed) >= tonumber(user_limit) then
  return {'too-many-guesses', tostring(redis.call('TTL', user_guesses))}
end
if guessed_there and tonumber(guessed_there) >= tonumber(address_limit) then
  return {'too-many-guesses', tostring(redis.call('TTL', address_guesses))}
end
redis.call('SET', user_guesses, (guessed or 0) + 1, 'EX', guess_seconds)
redis.call('SET', address_guesses, (guessed_there or 0) + 1, 'EX', guess_seconds)
return {'counted'}
