//! The steps of the lock as Redis runs them: each one as a whole.

use std::sync::Arc;

use redis::Script;

/// The token is Redis' time in microseconds: it grows by itself, also over a Redis that lost its memory. When even its
/// clock went back, `raise` lifts it above what the box in Postgres has seen.
/// ARGV: peer_ip, gateway, session_id, seconds, the attempt, and 1 when the session asks again: what it got under an earlier
/// token is its own then. Who comes late with an earlier attempt changes nothing.
/// Answers {token, ''} or {-since, peer_ip of the holder}.
const OPEN: &str = r"
local held = redis.call('HMGET', KEYS[1], 'since', 'peer_ip', 'gateway', 'session_id', 'token')
local own = ARGV[6] == '1' and held[3] == ARGV[2] and held[4] == ARGV[3]
if held[1] and not own then return {-tonumber(held[1]), held[2] or ''} end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
if own then now = math.max(now, tonumber(held[5]) + 1) end
now = string.format('%.0f', now)
redis.call('HSET', KEYS[1], 'token', now, 'since', now, 'peer_ip', ARGV[1], 'gateway', ARGV[2], 'session_id', ARGV[3],
  'attempt', ARGV[5])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return {tonumber(now), ''}
";

/// ARGV: the token held, the least token wanted. Answers the new token, 0 when the lock is lost.
const RAISE: &str = r"
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
if tonumber(ARGV[2]) > tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'token', ARGV[2])
  return tonumber(ARGV[2])
end
return tonumber(ARGV[1])
";

/// ARGV: seconds, then one token for each key. Answers 1 or 0 for each.
const RENEW: &str = r"
local renewed = {}
for i, key in ipairs(KEYS) do
  if redis.call('HGET', key, 'token') == ARGV[i + 1] then
    redis.call('EXPIRE', key, ARGV[1])
    renewed[i] = 1
  else
    renewed[i] = 0
  end
end
return renewed
";

/// ARGV: a field and what it must hold. Answers the number of locks freed.
const RELEASE: &str = r"
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('DEL', KEYS[1])
";

/// Answers the fields of the lock and its remaining seconds; no fields when there was none.
const TAKE_AWAY: &str = r"
local held = redis.call('HGETALL', KEYS[1])
local ttl = redis.call('TTL', KEYS[1])
redis.call('DEL', KEYS[1])
return {held, ttl}
";

/// All of them, hashed once.
#[derive(Clone, Debug)]
pub(super) struct Scripts {
    pub(super) open: Arc<Script>,
    pub(super) raise: Arc<Script>,
    pub(super) renew: Arc<Script>,
    pub(super) release: Arc<Script>,
    pub(super) take_away: Arc<Script>,
}

impl Default for Scripts {
    fn default() -> Self {
        let script = |code| Arc::new(Script::new(code));
        Self {
            open: script(OPEN),
            raise: script(RAISE),
            renew: script(RENEW),
            release: script(RELEASE),
            take_away: script(TAKE_AWAY),
        }
    }
}
