--- Count a request in the windows of its guard, and do nothing else.
--- COST  O(1).
--- KEYS
--- ARGV
--- WITH  guard
--- OK    counted  The request is counted.
--- ERR
return {'counted'}
