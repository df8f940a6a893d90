-- Removes grants that were found dead, unless they were renewed meanwhile.
-- KEYS 1 grant:{client}   ARGV mailbox, value as it was read, mailbox, value, ...
local removed = 0
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    removed = removed + redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
return removed
