--- Note keys that changed, of which the ledger keeps sealed copies.
--- COST  O(n) in the names, which the caller bounds.
--- KEYS  any
--- ARGV  names...
--- WITH  copies
--- OK    noted  They are noted.
--- ERR
-- `any` is a key of the partition.
copy_later(any, unpack(names))
return {'noted'}
