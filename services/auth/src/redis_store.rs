//! What auth keeps in Redis, and each question to it: one round trip, one script where several keys must agree. The questions
//! stand by what they are about: logins, grants, budgets, panel sessions, sightings.
//!
//! | key | holds | life |
//! | --- | --- | --- |
//! | `grant:{client}` | hash: mailbox -> grant | that of its longest grant |
//! | `boxes_at:{client}`, `customers_at:{client}` | sorted set: who checked mail from there -> when | 2 hours |
//! | `boxes:{hour}` | boxes that checked mail from anywhere (HyperLogLog) | 2 hours |
//! | `crowds` | sorted set: client address of many customers -> until when | 2 hours after the last login that speaks for it |
//! | `clients:{mailbox}` | sorted set: client -> last good login | 30 days after the last one |
//! | `failed_account:{login}`, `failed_client:{client}`, `failed_pair:{login}:{client}` | failures | 10 minutes |
//! | `pw:{HMAC}` | nothing: this password was right ([`crate::password_memory`]) | `POSTERN_PASSWORD_MEMORY_SECONDS` after its last use |
//! | `seen:{client}` | hash: door -> second it was last seen there | a day |
//! | `sent_mailbox:{mailbox}:{hour}`, `sent_client:{client}:{hour}`, `sent_customer:{customer}:{hour}` | remote recipients | 2 hours |
//! | `inbound:{recipient}:{hour}` | messages of strangers | 2 hours |
//! | `budget_notice:{budget}:{mailbox}:{hour}` | the owner was told that this budget is used up | 2 hours |
//! | `panel:{hash of the token}` | a panel session | 30 minutes after its last use |
//! | `panel_code:{hash of the token}` | a panel session that waits for the code of a second factor | 5 minutes |
//! | `panel_of:{person}` | sorted set: hash of a session's token -> second of its last use | 12 hours after the last one was opened |
//! | `logins:{mailbox}` | hash: when and from where it was logged in to last ([`crate::login_history`]) | 90 days after the last one |
//!
//! All of it may be lost: then clients check their mail again.

mod budgets;
mod crowds;
mod grants;
mod inbound;
mod logins;
mod panel_sessions;
mod sightings;

use postern_redis::Connection;
use redis::{RedisError, RedisResult};
use thiserror::Error;

pub(crate) use self::{
    budgets::{Budget, UsedUp},
    grants::REVOCATIONS_CHANNEL,
    logins::{Noted, Password, WantedGrant},
};

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

/// The questions of auth to Redis.
#[derive(Clone)]
pub(crate) struct RedisStore {
    connection: Connection,
}

impl RedisStore {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }
}
