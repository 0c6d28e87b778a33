--- KEYS  uncopied
-- For the keys that no event tells of: the ledger keeps a sealed copy of each. `` has the version of the next change. It
-- is there once a ledger is in use; what changed before has version 0.
-- Notes keys that changed; of a key with many parts, one field or member behind a line break.
local function copy_later(...)
  local version = redis.call('ZSCORE', uncopied, '')
  if version then redis.call('ZADD', uncopied, string.format('%.0f', version + 1), '') end
  for _, each in ipairs({...}) do redis.call('ZADD', uncopied, version or '0', each) end
end
