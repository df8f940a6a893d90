//! What auth keeps in Redis, and each question to it: one round trip, one script where several keys must agree.
//!
//! | key | holds | life |
//! | --- | --- | --- |
//! | `grant:{client}` | hash: mailbox -> grant | that of its longest grant |
//! | `clients:{mailbox}` | sorted set: client -> last good login | 30 days after the last one |
//! | `failed_account:{login}`, `failed_client:{client}`, `failed_pair:{login}:{client}` | failures | 10 minutes |
//! | `seen:{client}` | hash: door -> second it was last seen there | a day |
//! | `sent_mailbox:{mailbox}:{hour}`, `sent_client:{client}:{hour}`, `sent_customer:{customer}:{hour}` | remote recipients | 2 hours |
//! | `panel:{hash of the token}` | a panel session | 30 minutes after its last use |
//! | `panel_code:{hash of the token}` | a panel session that waits for the code of a second factor | 5 minutes |
//! | `panel_of:{person}` | sorted set: hash of a session's token -> second of its last use | 12 hours after the last one was opened |
//! | `logins:{mailbox}` | hash: when and from where it was logged in to last ([`crate::login_history`]) | 90 days after the last one |
//!
//! All of it may be lost: then clients check their mail again.

use std::sync::LazyLock;

use postern_proto::account::v1::LoginIdentity;
use redis::{AsyncCommands as _, RedisError, RedisResult, Script};
use thiserror::Error;

use crate::{
    grant::{GrantEntry, GrantPolicy},
    redis_connection::RedisConnection,
    throttle::{Attempt, Failures, GOOD_NAME_SECONDS, ThrottleLimits, WINDOW_SECONDS, Wait, clients_key},
};

/// Life of an hour's count, seconds: no clock needs to be exact.
const BUDGET_LIFE_SECONDS: u32 = 7200;
/// How long it is known that a client came, seconds.
const SEEN_LIFE_SECONDS: i64 = 24 * 3600;
/// Channel that tells every replica what was revoked.
pub(crate) const REVOCATIONS_CHANNEL: &str = "postern:revocations";

macro_rules! throttle_script {
    ($file:literal) => {
        LazyLock::new(|| {
            Script::new(concat!(include_str!("scripts/throttle.lua"), "\n", include_str!($file)))
        })
    };
}

static ADMIT: LazyLock<Script> = throttle_script!("scripts/admit.lua");
static FAILED_LOGIN: LazyLock<Script> = throttle_script!("scripts/failed_login.lua");
static GOOD_LOGIN: LazyLock<Script> = throttle_script!("scripts/good_login.lua");
static FORGET_GRANTS: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/forget_grants.lua")));
static COUNT_RECIPIENTS: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/count_recipients.lua")));

/// Redis did not do what was asked. Always temporary.
#[derive(Debug, Error)]
#[error("Redis, {doing}: {source}")]
pub(crate) struct StoreError {
    /// What was to be done.
    doing: &'static str,
    #[source]
    source: RedisError,
}

trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError>;
}

impl<T> Doing<T> for RedisResult<T> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError { doing, source })
    }
}

/// What became of a right password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noted {
    /// It was right and has to wait all the same.
    Throttled,
    /// Let in.
    In {
        /// A grant of this client and mailbox lives now.
        granted: bool,
    },
}

/// The grants of one client and what Redis's clock said when they were read.
#[derive(Debug, Default)]
pub(crate) struct GrantsAtClient {
    /// Milliseconds since 1970.
    pub(crate) redis_now: i64,
    pub(crate) entries: Vec<GrantEntry>,
}

/// Recipients to count against the budgets of this hour.
#[derive(Debug)]
pub(crate) struct Budget<'a> {
    pub(crate) mailbox_id: i64,
    pub(crate) client: &'a str,
    pub(crate) recipients: u32,
    /// 0 = off.
    pub(crate) mailbox_limit: u32,
    /// 0 = off.
    pub(crate) client_limit: u32,
    /// Only ask whether they would fit.
    pub(crate) dry: bool,
    /// Login of the owner of the mailbox.
    pub(crate) customer: &'a str,
    /// What all logins of the customer may send together; `None` = off.
    pub(crate) customer_limit: Option<i64>,
}

/// Which budget of this hour is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UsedUp {
    /// That of the mailbox.
    Mailbox,
    /// That of the client address.
    Client,
    /// That of the customer.
    Customer,
}

impl UsedUp {
    /// Name in metrics, logs and the audit.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mailbox => "mailbox",
            Self::Client => "client",
            Self::Customer => "customer",
        }
    }
}

/// The questions of auth to Redis.
#[derive(Clone)]
pub(crate) struct RedisStore {
    connection: RedisConnection,
}

impl RedisStore {
    pub(crate) fn new(connection: RedisConnection) -> Self {
        Self { connection }
    }

    pub(crate) fn connection(&self) -> &RedisConnection {
        &self.connection
    }

    /// May this client try a password now? Asked before the expensive check.
    pub(crate) async fn admit(
        &self,
        attempt: &Attempt,
        limits: ThrottleLimits,
        now: i64,
    ) -> Result<bool, StoreError> {
        let invocation = throttle_call(&ADMIT, attempt, limits, now);
        invocation.invoke_async(&mut self.connection.clone()).await.doing("asking the throttle")
    }

    /// The counts of failures that an attempt is judged by.
    pub(crate) async fn failures(&self, attempt: &Attempt) -> Result<Wait, StoreError> {
        let mut pipe = redis::pipe();
        for key in [attempt.account_key(), attempt.client_key(), attempt.pair_key()] {
            pipe.get(&key).ttl(&key);
        }
        type Count = Option<u32>;
        let (account, account_ttl, client, client_ttl, pair, pair_ttl): (Count, i64, Count, i64, Count, i64) =
            pipe.query_async(&mut self.connection.clone()).await.doing("reading failed logins")?;
        let longest = account_ttl.max(client_ttl).max(pair_ttl);
        Ok(Wait {
            account_failures: account.unwrap_or(0),
            client_failures: client.unwrap_or(0),
            pair_failures: pair.unwrap_or(0),
            seconds: u32::try_from(longest).unwrap_or(0),
        })
    }

    /// Counts a wrong password; how often it was wrong until now, this time included.
    pub(crate) async fn failed_login(
        &self,
        attempt: &Attempt,
        limits: ThrottleLimits,
        now: i64,
    ) -> Result<Failures, StoreError> {
        let invocation = throttle_call(&FAILED_LOGIN, attempt, limits, now);
        let (account, client) =
            invocation.invoke_async(&mut self.connection.clone()).await.doing("counting a failed login")?;
        Ok(Failures { account, client })
    }

    /// Notes a right password and writes or renews the grant, `life` seconds long (`None`: no grant). `ask_throttle`
    /// when nobody asked it for this attempt yet.
    pub(crate) async fn good_login(
        &self,
        attempt: &Attempt,
        limits: ThrottleLimits,
        now: i64,
        ask_throttle: bool,
        (identity, life, per_client_max): (&LoginIdentity, Option<u32>, u32),
    ) -> Result<Noted, StoreError> {
        let mut invocation = throttle_call(&GOOD_LOGIN, attempt, limits, now);
        let life = life.unwrap_or(0);
        invocation
            .key(grant_key(&attempt.client))
            .arg(u8::from(ask_throttle))
            .arg(identity.mailbox_id)
            .arg(life)
            .arg(identity.credential_version)
            .arg(&identity.domain)
            .arg(&identity.login)
            .arg(GrantPolicy::renew_after(life))
            .arg(per_client_max);
        let answer: i64 =
            invocation.invoke_async(&mut self.connection.clone()).await.doing("noting a login")?;
        Ok(if answer < 0 { Noted::Throttled } else { Noted::In { granted: answer == 1 } })
    }

    /// All grants of a client, in no order, also those that do not hold any more.
    pub(crate) async fn grants_at(&self, client: &str) -> Result<GrantsAtClient, StoreError> {
        let mut pipe = redis::pipe();
        pipe.cmd("TIME").hgetall(grant_key(client));
        let (time, fields): ((i64, i64), Vec<(String, String)>) =
            pipe.query_async(&mut self.connection.clone()).await.doing("reading grants")?;
        Ok(GrantsAtClient { redis_now: millis(time), entries: parse_entries(fields) })
    }

    /// Removes grants that were found dead, unless they were renewed meanwhile.
    pub(crate) async fn forget_grants(&self, client: &str, dead: &[GrantEntry]) -> Result<(), StoreError> {
        let mut invocation = FORGET_GRANTS.prepare_invoke();
        invocation.key(grant_key(client));
        for entry in dead {
            invocation.arg(entry.mailbox_id).arg(&entry.written);
        }
        invocation.invoke_async(&mut self.connection.clone()).await.doing("removing dead grants")
    }

    /// Counts recipients against the budgets, or only asks whether they would fit; nothing is counted when one of them would
    /// be exceeded.
    pub(crate) async fn count_recipients(
        &self,
        budget: &Budget<'_>,
        now: i64,
    ) -> Result<Option<UsedUp>, StoreError> {
        let hour = now.div_euclid(3_600_000);
        let mut invocation = COUNT_RECIPIENTS.prepare_invoke();
        invocation
            .key(format!("sent_mailbox:{}:{hour}", budget.mailbox_id))
            .key(format!("sent_client:{}:{hour}", budget.client))
            .key(format!("sent_customer:{}:{hour}", budget.customer))
            .arg(budget.recipients)
            .arg(unless_off(budget.mailbox_limit))
            .arg(unless_off(budget.client_limit))
            .arg(budget.customer_limit.unwrap_or(-1))
            .arg(BUDGET_LIFE_SECONDS)
            .arg(u8::from(budget.dry));
        let over: i64 =
            invocation.invoke_async(&mut self.connection.clone()).await.doing("counting recipients")?;
        Ok(match over {
            0 => None,
            1 => Some(UsedUp::Mailbox),
            2 => Some(UsedUp::Client),
            _ => Some(UsedUp::Customer),
        })
    }

    /// True once in an hour for each box and budget: its owner is to be told that it is used up.
    pub(crate) async fn claim_budget_notice(
        &self,
        mailbox_id: i64,
        budget: UsedUp,
        now: i64,
    ) -> Result<bool, StoreError> {
        let hour = now.div_euclid(3_600_000);
        let key = format!("budget_notice:{}:{mailbox_id}:{hour}", budget.name());
        let set: Option<String> = redis::cmd("SET")
            .arg(key)
            .arg(1)
            .arg("NX")
            .arg("EX")
            .arg(BUDGET_LIFE_SECONDS)
            .query_async(&mut self.connection.clone())
            .await
            .doing("noting a used up budget")?;
        Ok(set.is_some())
    }

    /// Notes when clients came through doors, seconds since 1970.
    pub(crate) async fn note_sightings(
        &self,
        sightings: &[(String, &'static str)],
        now_seconds: i64,
    ) -> Result<(), StoreError> {
        let mut pipe = redis::pipe();
        for (client, door) in sightings {
            let key = seen_key(client);
            pipe.hset(&key, door, now_seconds).ignore();
            pipe.expire(&key, SEEN_LIFE_SECONDS).ignore();
        }
        pipe.query_async(&mut self.connection.clone()).await.doing("noting sightings")
    }

    /// When a client came through each door last, seconds since 1970.
    pub(crate) async fn sightings_of(&self, client: &str) -> Result<Vec<(String, i64)>, StoreError> {
        self.connection.clone().hgetall(seen_key(client)).await.doing("reading sightings")
    }

    /// Clients that a mailbox has logged in from, those of its grants among them.
    pub(crate) async fn clients_of(&self, mailbox_id: i64) -> Result<Vec<String>, StoreError> {
        let key = clients_key(mailbox_id);
        self.connection.clone().zrevrange(key, 0, -1).await.doing("reading the clients of a mailbox")
    }

    /// The grants of one mailbox at these clients, with the client of each.
    pub(crate) async fn grants_of(
        &self,
        mailbox_id: i64,
        clients: &[String],
    ) -> Result<(i64, Vec<(String, GrantEntry)>), StoreError> {
        let mut pipe = redis::pipe();
        pipe.cmd("TIME");
        for client in clients {
            pipe.hget(grant_key(client), mailbox_id);
        }
        let answer: Vec<redis::Value> =
            pipe.query_async(&mut self.connection.clone()).await.doing("reading the grants of a mailbox")?;
        let mut values = answer.into_iter();
        let time = values.next().unwrap_or(redis::Value::Nil);
        let time: (i64, i64) =
            redis::from_redis_value(time).map_err(RedisError::from).doing("reading the time")?;
        let mut found = Vec::new();
        for (client, value) in clients.iter().zip(values) {
            let text: Option<String> =
                redis::from_redis_value(value).map_err(RedisError::from).doing("reading a grant")?;
            let entry = text.and_then(|text| GrantEntry::parse(&mailbox_id.to_string(), &text));
            found.extend(entry.map(|entry| (client.clone(), entry)));
        }
        Ok((millis(time), found))
    }

    /// Ends the grants of one mailbox at these clients; how many there were.
    pub(crate) async fn revoke_of(&self, mailbox_id: i64, clients: &[String]) -> Result<u32, StoreError> {
        if clients.is_empty() {
            return Ok(0);
        }
        let mut pipe = redis::pipe();
        for client in clients {
            pipe.hdel(grant_key(client), mailbox_id);
        }
        let removed: Vec<u32> =
            pipe.query_async(&mut self.connection.clone()).await.doing("ending the grants of a mailbox")?;
        Ok(removed.iter().sum())
    }

    /// Ends all grants of one client; how many there were.
    pub(crate) async fn revoke_at(&self, client: &str) -> Result<u32, StoreError> {
        let mut pipe = redis::pipe();
        pipe.atomic().hlen(grant_key(client)).del(grant_key(client)).ignore();
        let (count,): (u32,) =
            pipe.query_async(&mut self.connection.clone()).await.doing("ending the grants of a client")?;
        Ok(count)
    }

    /// Keeps a panel session of a person under the hash of its token, for so many seconds; the list of that person's sessions for
    /// so many.
    pub(crate) async fn keep_session(
        &self,
        (person, hash): (&str, &str),
        session: &str,
        (seconds, list_seconds): (i64, i64),
        now_seconds: i64,
    ) -> Result<(), StoreError> {
        let list = sessions_key(person);
        let mut pipe = redis::pipe();
        pipe.set_ex(format!("panel:{hash}"), session, seconds.unsigned_abs()).ignore();
        pipe.zadd(&list, hash, now_seconds).ignore();
        // Those that nobody used for so long have ended by themselves.
        pipe.zrembyscore(&list, "-inf", now_seconds - seconds).ignore();
        pipe.expire(&list, list_seconds).ignore();
        pipe.query_async(&mut self.connection.clone()).await.doing("keeping a panel session")
    }

    /// The sessions of a person, the last used first: hash, second of the last use, and what was kept.
    pub(crate) async fn sessions_of(&self, person: &str) -> Result<Vec<(String, i64, String)>, StoreError> {
        const DOING: &str = "listing panel sessions";
        let listed: Vec<(String, i64)> =
            self.connection.clone().zrevrange_withscores(sessions_key(person), 0, -1).await.doing(DOING)?;
        if listed.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipe = redis::pipe();
        for (hash, _) in &listed {
            pipe.get(format!("panel:{hash}"));
        }
        let kept: Vec<Option<String>> = pipe.query_async(&mut self.connection.clone()).await.doing(DOING)?;
        let found = listed.into_iter().zip(kept);
        Ok(found.filter_map(|((hash, used), kept)| Some((hash, used, kept?))).collect())
    }

    /// Keeps what waits for the code of a second factor.
    pub(crate) async fn keep_waiting(
        &self,
        hash: &str,
        session: &str,
        seconds: u64,
    ) -> Result<(), StoreError> {
        let key = format!("panel_code:{hash}");
        self.connection
            .clone()
            .set_ex(key, session, seconds)
            .await
            .doing("keeping a panel session that waits")
    }

    pub(crate) async fn waiting_session(&self, hash: &str) -> Result<Option<String>, StoreError> {
        let key = format!("panel_code:{hash}");
        self.connection.clone().get(key).await.doing("reading a panel session that waits")
    }

    pub(crate) async fn end_waiting(&self, hash: &str) -> Result<(), StoreError> {
        let ended: RedisResult<i64> = self.connection.clone().del(format!("panel_code:{hash}")).await;
        ended.map(drop).doing("ending a panel session that waits")
    }

    pub(crate) async fn session(&self, hash: &str) -> Result<Option<String>, StoreError> {
        self.connection.clone().get(format!("panel:{hash}")).await.doing("reading a panel session")
    }

    /// A session was used. One that ended meanwhile does not come back.
    pub(crate) async fn renew_session(
        &self,
        (person, hash): (&str, &str),
        seconds: i64,
        now_seconds: i64,
    ) -> Result<(), StoreError> {
        let mut pipe = redis::pipe();
        pipe.expire(format!("panel:{hash}"), seconds).ignore();
        pipe.cmd("ZADD").arg(sessions_key(person)).arg("XX").arg(now_seconds).arg(hash).ignore();
        pipe.query_async(&mut self.connection.clone()).await.doing("renewing a panel session")
    }

    /// Ends sessions of a person; how many there were.
    pub(crate) async fn end_sessions(&self, person: &str, hashes: &[&str]) -> Result<usize, StoreError> {
        if hashes.is_empty() {
            return Ok(0);
        }
        let mut pipe = redis::pipe();
        for hash in hashes {
            pipe.del(format!("panel:{hash}"));
            pipe.zrem(sessions_key(person), hash).ignore();
        }
        let ended: Vec<i64> =
            pipe.query_async(&mut self.connection.clone()).await.doing("ending panel sessions")?;
        Ok(ended.into_iter().filter(|count| *count > 0).count())
    }

    /// Notes logins: of each mailbox what stands under which name of its hash.
    pub(crate) async fn note_logins(
        &self,
        logins: &[(i64, String, String)],
        life_seconds: i64,
    ) -> Result<(), StoreError> {
        let mut pipe = redis::pipe();
        for (mailbox_id, name, value) in logins {
            let key = format!("logins:{mailbox_id}");
            pipe.hset(&key, name, value).ignore();
            pipe.expire(&key, life_seconds).ignore();
        }
        pipe.query_async(&mut self.connection.clone()).await.doing("noting logins")
    }

    /// What was noted of the logins of a mailbox.
    pub(crate) async fn logins_of(&self, mailbox_id: i64) -> Result<Vec<(String, String)>, StoreError> {
        self.connection.clone().hgetall(format!("logins:{mailbox_id}")).await.doing("reading logins")
    }

    /// Tells every replica.
    pub(crate) async fn publish(&self, message: &str) -> Result<(), StoreError> {
        let sent: RedisResult<i64> = self.connection.clone().publish(REVOCATIONS_CHANNEL, message).await;
        sent.map(|_| ()).doing("publishing a revocation")
    }

    /// One step of a walk over all clients with grants; the walk is over when the cursor comes back as 0.
    pub(crate) async fn scan_clients(&self, cursor: u64) -> Result<(u64, Vec<String>), StoreError> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg("grant:*").arg("COUNT").arg(1000);
        let (next, keys): (u64, Vec<String>) =
            scan.query_async(&mut self.connection.clone()).await.doing("listing grants")?;
        let client = |key: String| key.strip_prefix("grant:").map(str::to_owned);
        Ok((next, keys.into_iter().filter_map(client).collect()))
    }
}

/// A limit of 0 is none; the script writes that as -1.
fn unless_off(limit: u32) -> i64 {
    if limit == 0 { -1 } else { i64::from(limit) }
}

/// What TIME said.
fn millis((seconds, micros): (i64, i64)) -> i64 {
    seconds.saturating_mul(1000).saturating_add(micros / 1000)
}

fn sessions_key(person: &str) -> String {
    format!("panel_of:{person}")
}

fn seen_key(client: &str) -> String {
    format!("seen:{client}")
}

fn grant_key(client: &str) -> String {
    format!("grant:{client}")
}

fn throttle_call<'a>(
    script: &'a Script,
    attempt: &Attempt,
    limits: ThrottleLimits,
    now: i64,
) -> redis::ScriptInvocation<'a> {
    let mut invocation = script.prepare_invoke();
    invocation
        .key(attempt.clients_key())
        .key(attempt.account_key())
        .key(attempt.client_key())
        .key(attempt.pair_key())
        .arg(&attempt.client)
        .arg(now)
        .arg(limits.account)
        .arg(limits.client)
        .arg(WINDOW_SECONDS)
        .arg(GOOD_NAME_SECONDS);
    invocation
}

/// What cannot be read was not written by this version: it is no grant.
fn parse_entries(fields: Vec<(String, String)>) -> Vec<GrantEntry> {
    fields.iter().filter_map(|(field, value)| GrantEntry::parse(field, value)).collect()
}
