//! When a mailbox was logged in to last, from where, and why the last attempt failed: what its owner asks first when something is
//! wrong. Noted in memory and written to Redis every second, so that no login waits for it; a crash may lose the last of it.
//!
//! A hash of Redis has one value for each protocol (`second client`), one for the last failure (`second client protocol why`) and
//! one for each app password (`app:{number}` -> `second client`).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use postern_mail::PeerIp;
use postern_mesh::{clock::unix_millis, shutdown::Shutdown};
use postern_proto::{
    auth::v1::{AppPasswordUse, GetLoginHistoryResponse, LastFailure, LastLogin, LoginFailure, Protocol},
    google::Timestamp,
};

use crate::redis_store::{RedisStore, StoreError};

/// How often it is written.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// So long it is kept after the last login, seconds.
const LIFE_SECONDS: i64 = 90 * 24 * 3600;
/// What waits to be written; more than this in a second is not noted.
const WAITING_MAX: usize = 100_000;
/// Values of one round trip.
const BATCH: usize = 1000;
const FAILED: &str = "failed";

type Waiting = HashMap<(i64, String), String>;

/// Notes and tells. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LoginHistory {
    waiting: Arc<Mutex<Waiting>>,
    store: RedisStore,
}

impl LoginHistory {
    pub(crate) fn new(store: RedisStore) -> Self {
        Self { waiting: Arc::default(), store }
    }

    /// A good login; `app_password_id` 0: by the password itself.
    pub(crate) fn good(&self, mailbox_id: i64, protocol: Protocol, peer: PeerIp, app_password_id: i64) {
        let value = format!("{} {peer}", unix_millis() / 1000);
        if app_password_id != 0 {
            self.note(mailbox_id, format!("app:{app_password_id}"), value.clone());
        }
        self.note(mailbox_id, i32::from(protocol).to_string(), value);
    }

    /// A failed one.
    pub(crate) fn failed(&self, mailbox_id: i64, protocol: Protocol, peer: PeerIp, why: LoginFailure) {
        let (protocol, why) = (i32::from(protocol), i32::from(why));
        let value = format!("{} {peer} {protocol} {why}", unix_millis() / 1000);
        self.note(mailbox_id, FAILED.to_owned(), value);
    }

    fn note(&self, mailbox_id: i64, name: String, value: String) {
        // A customer without a box has no such page.
        if mailbox_id <= 0 {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < WAITING_MAX {
            waiting.insert((mailbox_id, name), value);
        }
    }

    /// Writes what is noted, every second until shutdown, and then once more.
    pub(crate) fn begin(&self, shutdown: &Shutdown) {
        let (this, ending) = (self.clone(), shutdown.clone());
        shutdown.spawn(async move {
            let mut pause = tokio::time::interval(WRITE_EVERY);
            loop {
                let last = tokio::select! {
                    _ = pause.tick() => false,
                    () = ending.triggered() => true,
                };
                this.write().await;
                if last {
                    return;
                }
            }
        });
    }

    async fn write(&self) {
        let noted = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let noted: Vec<_> = noted.into_iter().map(|((box_id, name), value)| (box_id, name, value)).collect();
        for batch in noted.chunks(BATCH) {
            if let Err(error) = self.store.note_logins(batch, LIFE_SECONDS).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "notes of logins are lost");
                return;
            }
        }
    }

    /// What is known of a mailbox.
    pub(crate) async fn of(&self, mailbox_id: i64) -> Result<GetLoginHistoryResponse, StoreError> {
        Ok(read(&self.store.logins_of(mailbox_id).await?))
    }
}

/// What this version cannot read is left out.
fn read(values: &[(String, String)]) -> GetLoginHistoryResponse {
    let mut history = GetLoginHistoryResponse::default();
    for (name, value) in values {
        let mut parts = value.split(' ');
        let (Some(seconds), Some(peer)) = (parts.next().and_then(|s| s.parse().ok()), parts.next()) else {
            continue;
        };
        let (time, peer_ip) = (Some(Timestamp { seconds, nanos: 0 }), peer.to_owned());
        let mut number = || parts.next().and_then(|number| number.parse::<i32>().ok()).unwrap_or_default();
        if name == FAILED {
            let (protocol, why) = (number(), number());
            history.failed = Some(LastFailure { protocol, time, peer_ip, why });
        } else if let Some(id) = name.strip_prefix("app:").and_then(|id| id.parse().ok()) {
            history.app_passwords.push(AppPasswordUse { app_password_id: id, time, peer_ip });
        } else if let Ok(protocol) = name.parse() {
            history.good.push(LastLogin { protocol, time, peer_ip });
        }
    }
    history.good.sort_by_key(|login| std::cmp::Reverse(login.time.map(|time| time.seconds)));
    history
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_told_the_newest_first() {
        let values = [
            ("1", "100 203.0.113.9"),
            ("2", "200 2001:db8::1"),
            ("failed", "150 198.51.100.7 1 4"),
            ("app:12", "99 203.0.113.9"),
            ("x", "1 1.1.1.1"),
            ("3", "junk"),
        ];
        let values: Vec<_> = values.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let history = read(&values);
        let good: Vec<_> = history.good.iter().map(|one| (one.protocol(), one.peer_ip.as_str())).collect();
        assert_eq!(good, [(Protocol::Smtp, "2001:db8::1"), (Protocol::Pop3, "203.0.113.9")]);
        let failed = history.failed.expect("a failure");
        assert_eq!((failed.protocol(), failed.why()), (Protocol::Pop3, LoginFailure::Throttled));
        assert_eq!(history.app_passwords.len(), 1);
        assert_eq!(history.app_passwords[0].app_password_id, 12);
    }
}
