-- Whether a client address is no client's own, for good_login.lua, which has this text in front of it: many boxes of several
-- customers check their mail from there, and hardly anybody does from elsewhere. Then something stands in front of us that
-- hides who the clients are, and one login would let all of them send. Once others are seen too, the verdict falls.
--
-- KEYS 6 boxes_at:{client}      sorted set: box -> second it was let in last, since the hour before this one began
--      7 customers_at:{client}  the same of their owners
--      8, 9 boxes:{hour}        how many boxes were let in from anywhere, this hour and the one before (HyperLogLog)
--      10 crowds                sorted set: client -> until when it is nobody's own (milliseconds of Redis' clock)
-- ARGV 15 boxes of one address that are many (0 = off)   16 customer of the box   17 that many customers are several
--      18 percent of all boxes that are nearly all   19 life of a verdict (seconds)   20 life of a count (seconds)
local CROWD_NO, CROWD_YES, CROWD_NEW = 0, 1, 2

local function note_box(box)
  local begin = (math.floor(now / 3600) - 1) * 3600
  for key, noted in pairs({[6] = box, [7] = ARGV[16]}) do
    redis.call('ZREMRANGEBYSCORE', KEYS[key], '-inf', '(' .. begin)
    redis.call('ZADD', KEYS[key], now, noted)
    redis.call('EXPIRE', KEYS[key], ARGV[20])
  end
  if redis.call('PFADD', KEYS[8], box) == 1 then
    redis.call('EXPIRE', KEYS[8], ARGV[20])
  end
end

local function crowd(box, redis_now)
  local many = tonumber(ARGV[15])
  if many == 0 then
    return CROWD_NO
  end
  note_box(box)
  local here = redis.call('ZCARD', KEYS[6])
  local known = tonumber(redis.call('ZSCORE', KEYS[10], client) or '0') > redis_now
  if here < many or redis.call('ZCARD', KEYS[7]) < tonumber(ARGV[17])
    or here * 100 < redis.call('PFCOUNT', KEYS[8], KEYS[9]) * tonumber(ARGV[18]) then
    if known then
      redis.call('ZREM', KEYS[10], client)
    end
    return CROWD_NO
  end
  redis.call('ZREMRANGEBYSCORE', KEYS[10], '-inf', redis_now)
  redis.call('ZADD', KEYS[10], redis_now + tonumber(ARGV[19]) * 1000, client)
  if known then
    return CROWD_YES
  end
  return CROWD_NEW
end
