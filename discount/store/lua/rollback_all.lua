--- Undo all uses, or end all holds, of an order with several codes.
--- COST  O(log n) in the holds of each discount, and at most 100 holds of the user of each; the caller sends few.
--- KEYS  blocks...
--- ARGV  key_count argument_count arguments...
--- RUNS  rollback
--- OK    rolled-back  No use and no hold of the order is left.
--- ERR
-- Each redemption has its own keys and arguments, in the sequence that `rollback` has. One that is gone is passed over.
for n = 1, #blocks / key_count do
  rollback({unpack(blocks, (n - 1) * key_count + 1, n * key_count)}, {unpack(arguments, (n - 1) * argument_count + 1, n * argument_count)})
end
return {'rolled-back'}
