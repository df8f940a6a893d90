//! Whether a Redis may be used: what it holds must not vanish by itself, and it must be the one that takes writes.

use redis::{
    ErrorKind, FromRedisValue as _, RedisError, RedisResult, ServerErrorKind, Value, aio::ConnectionLike,
};
use thiserror::Error;

/// Why a Redis cannot be used although it answers.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Unfit {
    /// It would throw grants, locks and throttles away at will.
    #[error(
        "maxmemory-policy is {0}: it must be noeviction, for what Redis holds here must not vanish by itself"
    )]
    Evicts(String),
    /// It cannot be written.
    #[error("this Redis is a replica: name the primary")]
    Replica,
}

/// Judges the answer to `INFO memory`; a Redis that does not tell is taken, with a warning in the log.
///
/// # Errors
/// [`Unfit::Evicts`].
pub fn judge_memory_policy(info: &str) -> Result<(), Unfit> {
    match info.lines().find_map(|line| line.trim_end().strip_prefix("maxmemory_policy:")) {
        Some("noeviction") => Ok(()),
        Some(policy) => Err(Unfit::Evicts(policy.to_owned())),
        None => {
            tracing::warn!("Redis does not tell its maxmemory-policy; make sure it is noeviction");
            Ok(())
        }
    }
}

/// Asks a server for its role: whoever is no primary answers reads with what may be old, and takes no writes.
///
/// # Errors
/// What Redis or the way to it said; one that [`is_replica`] knows when it is none.
pub(crate) async fn expect_primary(connection: &mut impl ConnectionLike) -> RedisResult<()> {
    match redis::cmd("ROLE").query_async::<Vec<Value>>(connection).await {
        Ok(role) => match role.first().map(String::from_redis_value_ref) {
            Some(Ok(role)) if role == "slave" => Err(replica()),
            Some(Ok(role)) if role == "sentinel" => {
                Err(RedisError::from((ErrorKind::InvalidClientConfig, "a Sentinel, no Redis")))
            }
            _ => Ok(()),
        },
        // An answer, although no good one: an access list without ROLE.
        Err(error) if is_refusal(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

fn replica() -> RedisError {
    RedisError::from((ErrorKind::Server(ServerErrorKind::ReadOnly), "this Redis is a replica"))
}

/// It said so itself, or refused a write.
pub(crate) fn is_replica(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly))
}

/// Redis answered that it will not: no right, or no such command.
pub(crate) fn is_refusal(error: &RedisError) -> bool {
    matches!(error.code(), Some("NOPERM" | "ERR"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redis_that_evicts_is_refused() {
        assert!(judge_memory_policy("# Memory\r\nmaxmemory_policy:noeviction\r\n").is_ok());
        assert!(judge_memory_policy("# Memory\r\nused_memory:1\r\n").is_ok());
        let refused =
            judge_memory_policy("maxmemory_policy:allkeys-lru\r\n").expect_err("refused").to_string();
        assert!(refused.contains("allkeys-lru") && refused.contains("noeviction"), "{refused}");
    }
}
