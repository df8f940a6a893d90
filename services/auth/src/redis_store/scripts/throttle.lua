-- The throttle, shared by admit.lua, good_login.lua and failed_login.lua, which begin with this text.
--
-- KEYS 1 clients:{mailbox}           sorted set: client -> second of its last good login
--      2 failed_account:{login}      failures of clients that never logged in to this account
--      3 failed_client:{client}      the same by client, over all accounts
--      4 failed_pair:{login}:{client}  failures of a client that did log in to this account before
-- ARGV 1 client   2 now (milliseconds)   3 limit by account (also by pair)   4 limit by client (0 = off)
--      5 life of a count (seconds)   6 life of a good name (seconds)
local client, now_millis = ARGV[1], tonumber(ARGV[2])
local now = math.floor(now_millis / 1000)
local limit_account, limit_client = tonumber(ARGV[3]), tonumber(ARGV[4])

-- Somebody else's failures must not lock an owner out: a client with a good login has a count of its own.
local last_good = redis.call('ZSCORE', KEYS[1], client)
local is_known = last_good and now - tonumber(last_good) < tonumber(ARGV[6])

local function reached(key, limit)
  return limit > 0 and tonumber(redis.call('GET', key) or '0') >= limit
end

local function is_throttled()
  if is_known then
    return reached(KEYS[4], limit_account)
  end
  return reached(KEYS[2], limit_account) or reached(KEYS[3], limit_client)
end

local function count(key)
  local failures = redis.call('INCR', key)
  if failures == 1 then
    redis.call('EXPIRE', key, ARGV[5])
  end
  return failures
end
