//! The one connection to Redis that all requests share. It is given up at the first sign of trouble and made again by
//! the next request, so that Redis may go and come back, and another one may take its place behind the same address. A
//! server that has become a replica keeps its connections and answers pings: it is asked for its role, and one that
//! refuses a write is left. No question takes longer than two deadlines: one to connect, one for the answer.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use postern_mesh::StartError;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisFuture,
    RedisResult, ScriptInvocation, ServerErrorKind, Value,
    aio::{ConnectionLike, MultiplexedConnection},
};
use tokio::sync::Mutex;

use crate::{
    RedisSettings, Unfit,
    fitness::{expect_primary, is_refusal, is_replica, judge_memory_policy},
};

/// For the connection to stand, and to tell that its server is a primary.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// For one answer.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Those who waited while a connection failed share that failure instead of trying one after the other.
const FAILURE_SHARED_FOR: Duration = Duration::from_millis(100);
/// How long a starting service waits for Redis, and how often it asks.
const START_PATIENCE: Duration = Duration::from_secs(30);
const START_PAUSE: Duration = Duration::from_millis(250);

/// Shared connection. Cheap to clone.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

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

impl Connection {
    /// Nothing is connected before the first question.
    ///
    /// # Errors
    /// When the settings name no Redis, or cannot be read.
    pub fn new(settings: &RedisSettings) -> Result<Self, StartError> {
        let client = settings.client()?;
        Ok(Self(Arc::new(Inner { client, connecting: Mutex::new(()), state: RwLock::default() })))
    }

    /// Waits for Redis to answer, and refuses one that evicts or is a replica.
    ///
    /// # Errors
    /// When it does not answer for 30 s, or may not be used.
    pub async fn wait_until_fit(&self) -> Result<(), StartError> {
        let begun = Instant::now();
        loop {
            match self.look().await {
                Ok(fit) => return fit.map_err(|unfit| StartError::store("Redis", unfit)),
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

    /// Refuses a Redis that evicts or is a replica; one that is away now may come. Tells whether it answered.
    ///
    /// # Errors
    /// When it answers and may not be used.
    pub async fn refuse_unfit(&self) -> Result<bool, StartError> {
        match self.look().await {
            Ok(fit) => fit.map(|()| true).map_err(|unfit| StartError::store("Redis", unfit)),
            Err(error) => {
                tracing::warn!(%error, "Redis is away");
                Ok(false)
            }
        }
    }

    async fn look(&self) -> RedisResult<Result<(), Unfit>> {
        match redis::cmd("INFO").arg("memory").query_async::<String>(&mut self.clone()).await {
            Ok(info) => Ok(judge_memory_policy(&info)),
            Err(error) if is_replica(&error) => Ok(Err(Unfit::Replica)),
            // An answer, although no good one: an access list without INFO.
            Err(error) if is_refusal(&error) => {
                tracing::warn!(%error, "Redis does not tell its maxmemory-policy; make sure it is noeviction");
                Ok(Ok(()))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether Redis can be used now, for readiness and gauges: a replica answers, but cannot.
    ///
    /// # Errors
    /// What Redis or the way to it said.
    pub async fn probe(&self) -> RedisResult<()> {
        let (generation, mut connection) = self.connection().await?;
        let answer = expect_primary(&mut connection).await;
        if answer.as_ref().is_err_and(is_end_of_connection) {
            self.give_up(generation);
            // The next one behind the address may be good.
            let (_, _) = self.connection().await?;
            return Ok(());
        }
        answer
    }

    /// Runs one script; Redis is given its text when it does not know it yet.
    ///
    /// # Errors
    /// What Redis or the way to it said.
    pub async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> RedisResult<T> {
        script.invoke_async(&mut self.clone()).await
    }

    /// For what needs a connection of its own. It is to be made anew when [`Self::generation`] has changed.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// Grows with each connection that is made.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner).generation
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
        let made = tokio::time::timeout(CONNECT_TIMEOUT, connect(&self.0.client)).await;
        let made = made.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()));
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

    fn give_up(&self, generation: u64) {
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.generation == generation {
            state.connection = None;
        }
    }

    /// Asks, and asks once more over a new connection when the old one turned out to be no good: Redis was restarted since
    /// the last question, or another one is the primary now. Every question of ours may be asked twice; a count may then be
    /// one too high, never too low.
    async fn ask<T: Answer, Asked>(&self, question: impl Fn(MultiplexedConnection) -> Asked) -> RedisResult<T>
    where
        Asked: Future<Output = RedisResult<T>>,
    {
        let (generation, connection) = self.connection().await?;
        let answer = question(connection).await;
        if !is_end(&answer) {
            return answer;
        }
        self.give_up(generation);
        if answer.as_ref().is_err_and(RedisError::is_timeout) {
            return answer;
        }
        let (generation, connection) = self.connection().await?;
        let answer = question(connection).await;
        if is_end(&answer) {
            self.give_up(generation);
        }
        answer
    }
}

/// A connection to a primary.
async fn connect(client: &Client) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    expect_primary(&mut connection).await?;
    Ok(connection)
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl ConnectionLike for Connection {
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

/// What came back. Errors of the server are values in it until somebody reads them.
trait Answer {
    fn says(&self, is: fn(&RedisError) -> bool) -> bool;
}

impl Answer for Value {
    fn says(&self, is: fn(&RedisError) -> bool) -> bool {
        matches!(self, Self::ServerError(error) if is(&error.clone().into()))
    }
}

impl Answer for Vec<Value> {
    fn says(&self, is: fn(&RedisError) -> bool) -> bool {
        self.iter().any(|value| value.says(is))
    }
}

fn is_end(answer: &RedisResult<impl Answer>) -> bool {
    match answer {
        Ok(answer) => answer.says(is_end_of_connection),
        Err(error) => is_end_of_connection(error),
    }
}

/// Broken, silent, or a server that is no longer (or not yet) the one to ask.
fn is_end_of_connection(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ExecAbort, MasterDown, ReadOnly};
    error.is_io_error()
        // A transaction whose commands are refused ends so.
        || matches!(error.kind(), ErrorKind::Server(ReadOnly | MasterDown | BusyLoading | ExecAbort))
        // As Redis before 7 tells of a script that writes.
        || (error.code() == Some("ERR") && error.detail().is_some_and(|detail| detail.contains("READONLY")))
}
