//! Relay grants: those of a client or a mailbox, and their end.

use std::sync::LazyLock;

use redis::{AsyncCommands as _, RedisError, RedisResult, Script};

use super::{Doing as _, RedisStore, StoreError, crowds::verdict_of};
use crate::{grant::GrantEntry, throttle::clients_key};

/// Channel that tells every replica what was revoked.
pub(crate) const REVOCATIONS_CHANNEL: &str = "postern:revocations";

static FORGET_GRANTS: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/forget_grants.lua")));

/// The grants of one client and what Redis's clock said when they were read.
#[derive(Debug, Default)]
pub(crate) struct GrantsAtClient {
    /// Milliseconds since 1970.
    pub(crate) redis_now: i64,
    /// Many customers' mail programs come from there: it is nobody's own.
    pub(crate) is_crowd: bool,
    pub(crate) entries: Vec<GrantEntry>,
}

/// Names and values of a hash.
type Fields = Vec<(String, String)>;

impl RedisStore {
    /// All grants of a client, in no order, also those that do not hold any more.
    pub(crate) async fn grants_at(&self, client: &str) -> Result<GrantsAtClient, StoreError> {
        let mut pipe = redis::pipe();
        pipe.cmd("TIME").hgetall(grant_key(client)).add_command(verdict_of(client));
        let (time, fields, crowd_until): ((i64, i64), Fields, Option<i64>) =
            pipe.query_async(&mut self.connection.clone()).await.doing("reading grants")?;
        let redis_now = millis(time);
        let is_crowd = crowd_until.is_some_and(|until| until > redis_now);
        Ok(GrantsAtClient { redis_now, is_crowd, entries: parse_entries(fields) })
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

pub(super) fn grant_key(client: &str) -> String {
    format!("grant:{client}")
}

/// What TIME said.
fn millis((seconds, micros): (i64, i64)) -> i64 {
    seconds.saturating_mul(1000).saturating_add(micros / 1000)
}

/// What cannot be read was not written by this version: it is no grant.
fn parse_entries(fields: Fields) -> Vec<GrantEntry> {
    fields.iter().filter_map(|(field, value)| GrantEntry::parse(field, value)).collect()
}
