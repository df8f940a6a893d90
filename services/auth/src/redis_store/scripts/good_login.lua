-- Notes a right password: the good name of the client, the last login, and the relay grant, all in one step.
--
-- KEYS 5 grant:{client}              hash: mailbox -> "issued ttl credential redis_expiry domain login",
--                                    both times in milliseconds
--      11 pw:{HMAC}                  there: this password was right lately
-- ARGV 7 1: ask the throttle first, and whether the password is remembered   8 mailbox   9 life of the grant (seconds, 0 = none)   10 credential version
--     11 domain   12 login   13 a grant younger than this is not written again (seconds)
--     14 mailboxes that may hold a grant of one client (0 = off)
--     21 the password is remembered for so long after this (seconds, 0 = not)
-- Keys 6 to 10 and arguments from 15 to 20 are those of crowd.lua.
-- Answers -1: throttled, -2: the password is not remembered and nothing was done, 0: noted, no grant asked for or won, 1: noted, the grant lives, 2: as 0, and that the client is a
-- crowd was found out now.
local memory, left = tonumber(ARGV[21]), -2
if ARGV[7] == '1' then
  if is_throttled() then
    return -1
  end
  left = redis.call('TTL', KEYS[11])
  if left == -2 then
    return -2
  end
end
-- Not written at each poll: what is left may be an eighth short. More than is allowed now was left by an earlier setting.
if memory > 0 and (left < memory * 7 / 8 or left > memory) then
  redis.call('SET', KEYS[11], '', 'EX', memory)
end

local mailbox, ttl, credential = ARGV[8], tonumber(ARGV[9]), ARGV[10]
local time = redis.call('TIME')
local redis_now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local renew_after = tonumber(ARGV[13])

-- Only a client that has failures needs this; DEL of what is not there writes nothing.
redis.call('DEL', KEYS[4])

local function expiry_of(value)
  return tonumber(string.match(value, '^%-?%d+ %d+ %-?%d+ (%d+) ')) or 0
end

local function is_young(value)
  local issued, life, version, expiry = string.match(value, '^(%-?%d+) (%d+) (%-?%d+) (%d+) ')
  if not issued then
    return false
  end
  local age = now_millis - tonumber(issued)
  return age >= 0 and age < renew_after * 1000 and tonumber(life) == ttl and version == credential
    and tonumber(expiry) > redis_now
end

-- Makes room for one more mailbox: the dead first, then the one that ends first.
local function make_room(limit)
  if limit == 0 or redis.call('HLEN', KEYS[5]) < limit or redis.call('HEXISTS', KEYS[5], mailbox) == 1 then
    return
  end
  local all = redis.call('HGETALL', KEYS[5])
  local oldest, oldest_expiry, left = nil, nil, #all / 2
  for i = 1, #all, 2 do
    local expiry = expiry_of(all[i + 1])
    if expiry <= redis_now then
      redis.call('HDEL', KEYS[5], all[i])
      left = left - 1
    elseif not oldest_expiry or expiry < oldest_expiry then
      oldest, oldest_expiry = all[i], expiry
    end
  end
  if left >= limit and oldest then
    redis.call('HDEL', KEYS[5], oldest)
  end
end

-- The good name. Of many the older go first, but none of the last two hours, for a revocation finds a mailbox's
-- grants by them.
local function remember_client()
  redis.call('ZADD', KEYS[1], now, client)
  redis.call('EXPIRE', KEYS[1], ARGV[6])
  if redis.call('ZCARD', KEYS[1]) > 64 then
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 7200)
  end
end

local function remember_now_and_then()
  if not last_good or now - tonumber(last_good) >= renew_after or tonumber(last_good) > now then
    remember_client()
  end
end

if ttl == 0 then
  remember_now_and_then()
  return 0
end

local held = redis.call('HGET', KEYS[5], mailbox)
if held and last_good and is_young(held) then
  return 1
end
local verdict = crowd(mailbox, redis_now)
if verdict ~= CROWD_NO then
  -- What was won there before ends too.
  redis.call('DEL', KEYS[5])
  remember_now_and_then()
  return verdict == CROWD_NEW and 2 or 0
end
make_room(tonumber(ARGV[14]))
local value = string.format('%d %d %s %d %s %s',
  now_millis, ttl, credential, redis_now + ttl * 1000, ARGV[11], ARGV[12])
redis.call('HSET', KEYS[5], mailbox, value)
if redis.call('PTTL', KEYS[5]) < ttl * 1000 then
  redis.call('EXPIRE', KEYS[5], ttl)
end
remember_client()
return 1
