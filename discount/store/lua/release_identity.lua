--- Give identities that a user claimed of a discount back.
--- COST  O(1): at most fifty claims of the user, and ten users of each.
--- KEYS  own places...
--- ARGV  user digests...
--- WITH  copies free_identities
--- OK    released  The user has none of these digests any more.
--- ERR
-- `places` has the key for each digest.
free_identities(own, places, 1, user, digests)
return {'released'}
