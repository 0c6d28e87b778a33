--- Count a wrong code that led to no discount.
--- KEYS  user_guesses caller_guesses
--- ARGV  guess_seconds user_limit caller_limit
--- OK    counted
--- ERR   too-many-guesses
local guessed, guessed_there = redis.call('GET', user_guesses), redis.call('GET', caller_guesses)
if guessed and tonumber(guessed) >= tonumber(user_limit) then
  return {'too-many-guesses', tostring(redis.call('TTL', user_guesses))}
end
if guessed_there and tonumber(guessed_there) >= tonumber(caller_limit) then
  return {'too-many-guesses', tostring(redis.call('TTL', caller_guesses))}
end
redis.call('SET', user_guesses, (guessed or 0) + 1, 'EX', guess_seconds)
redis.call('SET', caller_guesses, (guessed_there or 0) + 1, 'EX', guess_seconds)
return {'counted'}
