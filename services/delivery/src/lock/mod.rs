//! The lock of a box: at most one POP3 session holds it. Kept in Redis, where it frees itself when nobody renews it.
//!
//! `lock:{mailbox_id}` is a hash of token, peer_ip, gateway, session_id, since (microseconds of Redis' clock) and attempt
//! (the call that took it). Each step is one script, so nothing comes between looking and doing. `opened:{mailbox_id}` is there for
//! as long as gateways want a box left alone after a login. Delivery never asks here; `maildrop` does, and the deletes of a session
//! count only while its token is both named here and not below the box's last one in Postgres.

pub(crate) mod endings;
mod scripts;

use std::{collections::HashMap, time::Duration};

use postern_mail::limits;
use postern_mesh::StartError;
use postern_redis::{Connection, RedisSettings};
use redis::{AsyncCommands as _, FromRedisValue as _, RedisError, RedisResult};
use thiserror::Error;

use scripts::Scripts;

/// Locks renewed by one script run.
const RENEW_CHUNK: usize = 256;
/// Keys looked at by one step of a listing.
const SCAN_COUNT: usize = 1000;

/// Redis is away or answered nonsense: nobody knows who holds the box.
#[derive(Debug, Error)]
#[error("Redis failed")]
pub struct LockError(#[from] RedisError);

/// Whether this session has asked for its box before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It has not.
    First,
    /// It has, and heard no answer: it may hold the box already.
    Again,
}

/// Who asks for a box.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Address of the client.
    pub peer_ip: String,
    /// Name of the gateway replica.
    pub gateway: String,
    /// The session there.
    pub session_id: String,
}

/// A lock as it is held.
#[derive(Clone, Debug)]
pub struct HeldLock {
    /// The box.
    pub mailbox_id: i64,
    /// Who holds it.
    pub holder: Holder,
    /// Since when, microseconds of the Unix epoch.
    pub since_micros: i64,
    /// Its token.
    pub token: i64,
    /// Seconds until it frees itself.
    pub remaining_seconds: i32,
}

/// Answer to an attempt to lock.
#[derive(Clone, Debug)]
pub enum Opened {
    /// It is ours, under this token.
    Locked(i64),
    /// Somebody else has it.
    InUse {
        /// Since when, microseconds of the Unix epoch.
        since_micros: i64,
        /// The holder's client.
        peer_ip: String,
    },
}

/// The locks of all boxes. Clones share one connection, made when it is first needed.
#[derive(Clone, Debug)]
pub struct Locks {
    connection: Connection,
    scripts: Scripts,
}

impl Locks {
    /// Prepares the connection. A Redis that is away now hinders nothing but POP3 logins; one that throws keys away to
    /// make room, or is a replica, is refused.
    ///
    /// # Errors
    /// When the settings make no sense, or Redis may not be used.
    pub async fn open(settings: &RedisSettings) -> Result<Self, StartError> {
        let connection = Connection::new(settings)?;
        if !connection.refuse_unfit().await? {
            tracing::warn!("no box can be opened until Redis is back");
        }
        Ok(Self { connection, scripts: Scripts::default() })
    }

    /// Whether boxes can be opened now.
    ///
    /// # Errors
    /// When Redis is away, or takes no writes.
    pub async fn probe(&self) -> RedisResult<()> {
        self.connection.probe().await
    }

    /// Takes the box if nobody has it, or this session itself by an earlier call that it heard nothing of. An attempt that
    /// fails renews nothing.
    ///
    /// # Errors
    /// When Redis is away; then the box is not locked, or frees itself.
    pub async fn open_box(
        &self,
        mailbox_id: i64,
        holder: &Holder,
        asked: Asked,
    ) -> Result<Opened, LockError> {
        let attempt = rand::random::<u64>();
        let again = asked == Asked::Again && !holder.session_id.is_empty();
        let mut script = self.scripts.open.key(key(mailbox_id));
        script
            .arg(&holder.peer_ip)
            .arg(&holder.gateway)
            .arg(&holder.session_id)
            .arg(limits::LOCK_TTL_SECONDS)
            .arg(attempt)
            .arg(u8::from(again));
        let answer: Result<(i64, String), _> = self.connection.run(&script).await;
        match answer {
            Ok((token, _)) if token > 0 => Ok(Opened::Locked(token)),
            Ok((since, peer_ip)) => Ok(Opened::InUse { since_micros: -since, peer_ip }),
            Err(error) => {
                // Redis may have done it and only its answer is lost.
                self.free_attempt(mailbox_id, attempt).await;
                Err(error.into())
            }
        }
    }

    /// How long a free box may not be opened yet, because it was opened lately; `None`: it may, or is held.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn opened_lately(&self, mailbox_id: i64) -> Result<Option<Duration>, LockError> {
        let mut redis = self.connection.clone();
        let mut pipe = redis::pipe();
        pipe.exists(key(mailbox_id)).pttl(opened_key(mailbox_id));
        let (held, millis): (bool, i64) = pipe.query_async(&mut redis).await?;
        let left = u64::try_from(millis).ok().filter(|millis| *millis > 0 && !held);
        Ok(left.map(Duration::from_millis))
    }

    /// Remembers for so many seconds that a box was opened. What cannot be written now is forgotten.
    pub async fn note_opened(&self, mailbox_id: i64, seconds: u64) {
        let mut redis = self.connection.clone();
        if let Err(error) = redis.set_ex::<_, _, ()>(opened_key(mailbox_id), 1, seconds).await {
            tracing::debug!(%error, mailbox_id, "nobody will know that this box was opened");
        }
    }

    /// Makes the token of a lock greater than `last_token`; the new one, or `None` when the lock is lost.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn raise(
        &self,
        mailbox_id: i64,
        token: i64,
        last_token: i64,
    ) -> Result<Option<i64>, LockError> {
        let mut script = self.scripts.raise.key(key(mailbox_id));
        script.arg(token).arg(last_token.saturating_add(1));
        let raised: i64 = self.connection.run(&script).await?;
        Ok((raised > 0).then_some(raised))
    }

    /// True when the box is still held under this token.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn is_held(&self, mailbox_id: i64, token: i64) -> Result<bool, LockError> {
        let mut redis = self.connection.clone();
        let held: Option<i64> = redis.hget(key(mailbox_id), "token").await?;
        Ok(held == Some(token))
    }

    /// Renews many locks for another 60 seconds; gives those that are lost.
    ///
    /// # Errors
    /// When Redis is away; some may have been renewed.
    pub async fn renew(&self, locks: &[(i64, i64)]) -> Result<Vec<(i64, i64)>, LockError> {
        let mut lost = Vec::new();
        for chunk in locks.chunks(RENEW_CHUNK) {
            let mut script = self.scripts.renew.prepare_invoke();
            script.arg(limits::LOCK_TTL_SECONDS);
            for (mailbox_id, token) in chunk {
                script.key(key(*mailbox_id)).arg(*token);
            }
            let renewed: Vec<i64> = self.connection.run(&script).await?;
            lost.extend(
                chunk.iter().zip(renewed).filter(|(_, renewed)| *renewed == 0).map(|(lock, _)| *lock),
            );
        }
        Ok(lost)
    }

    /// Frees a box if it is still held under this token.
    ///
    /// # Errors
    /// When Redis is away; then it frees itself.
    pub async fn release(&self, mailbox_id: i64, token: i64) -> Result<bool, LockError> {
        let mut script = self.scripts.release.key(key(mailbox_id));
        script.arg("token").arg(token);
        let freed: i64 = self.connection.run(&script).await?;
        Ok(freed > 0)
    }

    /// Takes the lock from whoever has it: that session deletes nothing any more.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn force_release(&self, mailbox_id: i64) -> Result<Option<HeldLock>, LockError> {
        let script = self.scripts.take_away.key(key(mailbox_id));
        let (fields, ttl): (HashMap<String, String>, i64) = self.connection.run(&script).await?;
        Ok(held_lock(mailbox_id, &fields, ttl))
    }

    /// The lock of one box.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn get(&self, mailbox_id: i64) -> Result<Option<HeldLock>, LockError> {
        Ok(self.get_many(&[mailbox_id]).await?.pop())
    }

    /// Up to `limit` locks of boxes above `after`, ordered by box; and the box to go on after, if there are more.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn list(&self, after: i64, limit: usize) -> Result<(Vec<HeldLock>, Option<i64>), LockError> {
        let mut ids = Vec::new();
        let mut cursor = 0u64;
        loop {
            let mut redis = self.connection.clone();
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg("lock:*").arg("COUNT").arg(SCAN_COUNT);
            let step: (u64, Vec<String>) = scan.query_async(&mut redis).await?;
            cursor = step.0;
            let found = step.1.iter().filter_map(|key| key.strip_prefix("lock:")?.parse::<i64>().ok());
            ids.extend(found.filter(|id| *id > after));
            if cursor == 0 {
                break;
            }
        }
        // A key may be met twice.
        ids.sort_unstable();
        ids.dedup();
        let is_more = ids.len() > limit;
        ids.truncate(limit);
        let last = ids.last().copied().filter(|_| is_more);
        Ok((self.get_many(&ids).await?, last))
    }

    /// Those of these boxes that are held.
    ///
    /// # Errors
    /// When Redis is away.
    pub(crate) async fn get_many(&self, mailbox_ids: &[i64]) -> Result<Vec<HeldLock>, LockError> {
        if mailbox_ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipe = redis::pipe();
        for id in mailbox_ids {
            pipe.hgetall(key(*id)).ttl(key(*id));
        }
        let mut redis = self.connection.clone();
        let answers: Vec<redis::Value> = pipe.query_async(&mut redis).await?;
        let mut locks = Vec::with_capacity(mailbox_ids.len());
        for (id, answer) in mailbox_ids.iter().zip(answers.chunks_exact(2)) {
            let fields =
                HashMap::<String, String>::from_redis_value_ref(&answer[0]).map_err(RedisError::from)?;
            let ttl = i64::from_redis_value_ref(&answer[1]).map_err(RedisError::from)?;
            locks.extend(held_lock(*id, &fields, ttl));
        }
        Ok(locks)
    }

    /// Not the session's: it may have asked again, elsewhere, before this comes to Redis.
    async fn free_attempt(&self, mailbox_id: i64, attempt: u64) {
        let mut script = self.scripts.release.key(key(mailbox_id));
        script.arg("attempt").arg(attempt);
        if let Err(error) = self.connection.run::<i64>(&script).await {
            tracing::debug!(%error, mailbox_id, "a lock may be left to free itself");
        }
    }
}

fn opened_key(mailbox_id: i64) -> String {
    format!("opened:{mailbox_id}")
}

fn key(mailbox_id: i64) -> String {
    format!("lock:{mailbox_id}")
}

fn held_lock(mailbox_id: i64, fields: &HashMap<String, String>, ttl: i64) -> Option<HeldLock> {
    let text = |name: &str| fields.get(name).cloned().unwrap_or_default();
    Some(HeldLock {
        mailbox_id,
        token: fields.get("token")?.parse().ok()?,
        since_micros: fields.get("since").and_then(|since| since.parse().ok()).unwrap_or_default(),
        holder: Holder { peer_ip: text("peer_ip"), gateway: text("gateway"), session_id: text("session_id") },
        remaining_seconds: i32::try_from(ttl.max(0)).unwrap_or(i32::MAX),
    })
}
