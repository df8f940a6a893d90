-- Counts recipients against both budgets of this hour, or against none when one of them would be exceeded.
-- KEYS 1 sent_mailbox:{mailbox}:{hour}   2 sent_client:{client}:{hour}
-- ARGV 1 recipients   2 limit by mailbox   3 limit by client (0 = off)   4 life of a count (seconds)
--      last: 1 = ask only
-- Answers 1: counted (or, asked only: it would fit), 0: over a budget.
local recipients = tonumber(ARGV[1])
for i = 1, 2 do
  local limit = tonumber(ARGV[i + 1])
  if limit > 0 and tonumber(redis.call('GET', KEYS[i]) or '0') + recipients > limit then
    return 0
  end
end
if ARGV[#ARGV] == '1' then
  return 1
end
for i = 1, 2 do
  if tonumber(ARGV[i + 1]) > 0 then
    redis.call('INCRBY', KEYS[i], recipients)
    redis.call('EXPIRE', KEYS[i], ARGV[4])
  end
end
return 1
