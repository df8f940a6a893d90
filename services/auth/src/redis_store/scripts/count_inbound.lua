-- Counts messages for recipients here; for one that would go over the limit nothing is counted.
-- KEYS inbound:{recipient}:{hour}, ...
-- ARGV 1 limit   2 life of a count (seconds)   3... messages of each
-- Answers the places, from 0, of those that are over.
local over = {}
for i, key in ipairs(KEYS) do
  local messages = tonumber(ARGV[i + 2])
  if tonumber(redis.call('GET', key) or '0') + messages > tonumber(ARGV[1]) then
    table.insert(over, i - 1)
  else
    redis.call('INCRBY', key, messages)
    redis.call('EXPIRE', key, ARGV[2])
  end
end
return over
