--- Give a webhook its next secret; the previous one signs too, for `overlap` microseconds.
--- COST  O(1).
--- KEYS  webhook
--- ARGV  from overlap
--- WITH  copies
--- OK    rotated  The webhook has its next secret.
--- OK    there    Nothing is changed: the version is not `from` any more.
--- ERR   not-found
local version = redis.call('HGET', webhook, 'version')
if not version then return {'not-found'} end
if version ~= from then return {'there'} end
local at = now()
redis.call('HSET', webhook, 'version', string.format('%.0f', tonumber(version) + 1), 'before_until', string.format('%.0f', tonumber(at) + tonumber(overlap)))
copy_later(webhook)
return {'rotated'}
