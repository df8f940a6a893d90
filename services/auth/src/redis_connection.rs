//! The one connection to Redis that all requests share. It is given up at the first sign of trouble and made again by
//! the next request, so that Redis may go and come back; no request waits for longer than the two deadlines.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use postern_mesh::StartError;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult,
    ServerErrorKind, Value,
    aio::{ConnectionLike, MultiplexedConnection},
};
use thiserror::Error;
use tokio::sync::Mutex;

/// For the connection to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// For one answer.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(1500);
/// Those who waited while a connection failed share that failure instead of trying one after the other.
const FAILURE_SHARED_FOR: Duration = Duration::from_millis(100);
/// How long a starting service waits for Redis, and how often it asks.
const START_PATIENCE: Duration = Duration::from_secs(30);
const START_PAUSE: Duration = Duration::from_millis(250);

/// Why a Redis cannot be used although it answers.
#[derive(Debug, Error)]
enum UnfitRedis {
    /// It would throw grants and throttles away at will.
    #[error(
        "maxmemory-policy is {0}: it must be noeviction, for what Redis holds here must not vanish by itself"
    )]
    Evicts(String),
}

/// Shared connection. Cheap to clone.
#[derive(Clone)]
pub(crate) struct RedisConnection(Arc<Inner>);

struct Inner {
    client: Client,
    connecting: Mutex<()>,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    /// Grows with each connection, so that an old failure cannot take a new connection down.
    generation: u64,
    connection: Option<MultiplexedConnection>,
    failure: Option<(Instant, RedisError)>,
}

impl RedisConnection {
    /// Nothing is connected before the first question.
    ///
    /// # Errors
    /// When the URL is none.
    pub(crate) fn new(url: &str) -> Result<Self, StartError> {
        let client = Client::open(url)
            .map_err(|e| StartError::setting("POSTERN_REDIS_URL", format!("not a Redis URL: {e}")))?;
        Ok(Self(Arc::new(Inner { client, connecting: Mutex::new(()), state: RwLock::default() })))
    }

    /// Waits for Redis to answer and refuses one that evicts.
    ///
    /// # Errors
    /// When it does not answer for 30 s, or evicts.
    pub(crate) async fn wait_until_fit(&self) -> Result<(), StartError> {
        let begun = Instant::now();
        loop {
            match redis::cmd("INFO").arg("memory").query_async::<String>(&mut self.clone()).await {
                Ok(info) => return judge_memory_policy(&info),
                // An answer, although no good one: an access list without INFO.
                Err(error) if is_refusal(&error) => {
                    tracing::warn!(%error, "Redis does not tell its maxmemory-policy; make sure it is noeviction");
                    return Ok(());
                }
                Err(error) if begun.elapsed() > START_PATIENCE => {
                    return Err(StartError::store("Redis", error));
                }
                Err(error) => {
                    tracing::debug!(%error, "waiting for Redis");
                    tokio::time::sleep(START_PAUSE).await;
                }
            }
        }
    }

    /// A question that costs nothing, for readiness.
    ///
    /// # Errors
    /// What Redis or the way to it said.
    pub(crate) async fn ping(&self) -> RedisResult<()> {
        redis::cmd("PING").query_async(&mut self.clone()).await
    }

    /// For what needs a connection of its own.
    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }

    fn current(&self) -> Option<(u64, MultiplexedConnection)> {
        let state = self.0.state.read().unwrap_or_else(PoisonError::into_inner);
        state.connection.clone().map(|connection| (state.generation, connection))
    }

    async fn connection(&self) -> RedisResult<(u64, MultiplexedConnection)> {
        if let Some(current) = self.current() {
            return Ok(current);
        }
        let _only_one = self.0.connecting.lock().await;
        if let Some(current) = self.current() {
            return Ok(current);
        }
        if let Some((when, failure)) = &self.0.state.read().unwrap_or_else(PoisonError::into_inner).failure
            && when.elapsed() < FAILURE_SHARED_FOR
        {
            return Err(failure.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let made = self.0.client.get_multiplexed_async_connection_with_config(&config).await;
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        match made {
            Ok(connection) => {
                state.generation += 1;
                state.connection = Some(connection.clone());
                state.failure = None;
                Ok((state.generation, connection))
            }
            Err(error) => {
                state.failure = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Gives the connection up when the answer says that it, or the server behind it, is no good any more.
    fn note<T>(&self, generation: u64, result: &RedisResult<T>) {
        if !result.as_ref().is_err_and(is_end_of_connection) {
            return;
        }
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.generation == generation {
            state.connection = None;
        }
    }

    /// Asks, and asks once more when the connection turned out to be dead: Redis was restarted since the last question.
    /// Every question of ours may be asked twice; a count may then be one too high, never too low.
    async fn ask<T, Asked>(&self, question: impl Fn(MultiplexedConnection) -> Asked) -> RedisResult<T>
    where
        Asked: Future<Output = RedisResult<T>>,
    {
        let (generation, connection) = self.connection().await?;
        let answer = question(connection).await;
        self.note(generation, &answer);
        match answer {
            Err(error) if error.is_io_error() && !error.is_timeout() => {
                let (generation, connection) = self.connection().await?;
                let answer = question(connection).await;
                self.note(generation, &answer);
                answer
            }
            answer => answer,
        }
    }
}

impl ConnectionLike for RedisConnection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.ask(move |mut connection| async move { connection.send_packed_command(cmd).await }))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(self.ask(move |mut connection| async move {
            connection.send_packed_commands(cmd, offset, count).await
        }))
    }

    fn get_db(&self) -> i64 {
        self.0.client.get_connection_info().redis_settings().db()
    }
}

/// Broken, silent, or a server that is no longer (or not yet) the one to ask.
fn is_end_of_connection(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, MasterDown, ReadOnly};
    error.is_io_error() || matches!(error.kind(), ErrorKind::Server(ReadOnly | MasterDown | BusyLoading))
}

/// Redis answered that it will not: no right, or no such command.
fn is_refusal(error: &RedisError) -> bool {
    matches!(error.code(), Some("NOPERM" | "ERR"))
}

fn judge_memory_policy(info: &str) -> Result<(), StartError> {
    let policy = info.lines().find_map(|line| line.trim_end().strip_prefix("maxmemory_policy:"));
    match policy {
        Some("noeviction") => Ok(()),
        Some(policy) => Err(StartError::store("Redis", UnfitRedis::Evicts(policy.to_owned()))),
        None => {
            tracing::warn!("Redis does not tell its maxmemory-policy; make sure it is noeviction");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redis_that_evicts_is_refused() {
        assert!(judge_memory_policy("# Memory\r\nmaxmemory_policy:noeviction\r\n").is_ok());
        assert!(judge_memory_policy("# Memory\r\nused_memory:1\r\n").is_ok());
        let refused = judge_memory_policy("maxmemory_policy:allkeys-lru\r\n").unwrap_err().to_string();
        assert!(refused.contains("allkeys-lru") && refused.contains("noeviction"), "{refused}");
    }
}
