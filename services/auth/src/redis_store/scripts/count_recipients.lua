-- Counts recipients against the budgets of this hour, or against none when one of them would be exceeded.
-- KEYS 1 sent_mailbox:{mailbox}:{hour}   2 sent_client:{client}:{hour}   3 sent_customer:{customer}:{hour}
-- ARGV 1 recipients   2 limit by mailbox   3 limit by client   4 limit by customer (-1 = off)
--      5 life of a count (seconds)   6 1 = ask only
-- Answers 0: counted (or, asked only: it would fit), else the number of the budget that is used up.
local recipients = tonumber(ARGV[1])
for i = 1, 3 do
  local limit = tonumber(ARGV[i + 1])
  if limit >= 0 and tonumber(redis.call('GET', KEYS[i]) or '0') + recipients > limit then
    return i
  end
end
if ARGV[6] == '1' then
  return 0
end
for i = 1, 3 do
  if tonumber(ARGV[i + 1]) >= 0 then
    redis.call('INCRBY', KEYS[i], recipients)
    redis.call('EXPIRE', KEYS[i], ARGV[5])
  end
end
return 0
