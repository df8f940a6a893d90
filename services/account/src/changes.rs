//! Changes as they are committed, by whichever replica: Postgres notifies, we fan out to the streams of WatchChanges.
//!
//! A stream is told of a change within a few milliseconds of its commit, or it gets no beat. A beat goes out only after
//! the listening connection answered a statement: Postgres hands over what was notified before such an answer.

use std::{sync::Arc, time::Duration};

use postern_mail::limits::DIRECTORY_BEAT_MILLIS;
use postern_mesh::shutdown::Shutdown;
use postern_proto::account::v1::{Beat, Change, Reset, WatchChangesResponse, watch_changes_response::Event};
use sqlx::postgres::{PgConnectOptions, PgListener, PgNotification, PgPoolOptions};
use tokio::{
    sync::broadcast,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

/// Channel of our notifications.
pub(crate) const CHANNEL: &str = "postern_account_changes";

/// Revoked mailboxes in one notification: 300 ids of up to 20 octets and a domain stay under the 8000 octets of Postgres.
const REVOKED_PER_PAYLOAD: usize = 300;
/// Beats come a little more often than promised, because their round trip takes time too.
const BEAT_EVERY: Duration = Duration::from_millis(DIRECTORY_BEAT_MILLIS * 4 / 5);
/// A listening connection that does not answer for so long is given up.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a new listening connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause between attempts to listen.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
/// Events that a slow stream may be behind before it is reset.
const BACKLOG_EVENTS: usize = 4096;

/// The changes, to be subscribed to.
#[derive(Clone, Debug)]
pub(crate) struct Changes {
    events: broadcast::Sender<Arc<WatchChangesResponse>>,
}

impl Changes {
    /// Listens until shutdown.
    pub(crate) fn listen(options: &PgConnectOptions, shutdown: &Shutdown) -> Self {
        let changes = Self { events: broadcast::Sender::new(BACKLOG_EVENTS) };
        let (task, options, ending) = (changes.clone(), options.clone(), shutdown.clone());
        shutdown.spawn(async move {
            tokio::select! {
                () = task.keep_listening(&options) => {}
                () = ending.triggered() => {}
            }
        });
        changes
    }

    /// Every event from now on. The subscriber begins by forgetting what it knew.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<WatchChangesResponse>> {
        self.events.subscribe()
    }

    async fn keep_listening(&self, options: &PgConnectOptions) {
        let mut lost = false;
        loop {
            match self.listen_once(options, lost).await {
                Ok(()) => {
                    tracing::warn!("the connection for changes was lost; caches are off until it is back")
                }
                Err(error) => {
                    tracing::warn!(%error, "changes cannot be listened to; caches are off until they can")
                }
            }
            lost = true;
            sleep(RECONNECT_PAUSE).await;
        }
    }

    /// Listens as long as the connection lives.
    async fn listen_once(&self, options: &PgConnectOptions, lost: bool) -> Result<(), sqlx::Error> {
        let (mut listener, mut newest) = connect(options).await?;
        if lost {
            // What was changed while nobody listened is not known.
            self.publish(reset());
        }
        let mut beats = interval(BEAT_EVERY);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = beats.tick() => {
                    if !answers(&mut listener).await? {
                        return Ok(());
                    }
                    while let Some(notification) = listener.next_buffered() {
                        self.relay(&notification, &mut newest);
                    }
                    self.publish(Event::Beat(Beat { version: newest }));
                }
                notification = listener.try_recv() => match notification? {
                    Some(notification) => self.relay(&notification, &mut newest),
                    None => return Ok(()),
                },
            }
        }
    }

    fn relay(&self, notification: &PgNotification, newest: &mut i64) {
        match parse(notification.payload()) {
            Some(change) => {
                *newest = change.version.max(*newest);
                self.publish(Event::Change(change));
            }
            // A newer version of this service says something that this one does not understand.
            None => self.publish(reset()),
        }
    }

    fn publish(&self, event: Event) {
        // Nobody listening is no error.
        let _ = self.events.send(Arc::new(WatchChangesResponse { event: Some(event) }));
    }
}

/// What tells a stream to forget everything.
pub(crate) fn reset() -> Event {
    Event::Reset(Reset {})
}

/// A listening connection, and the newest version at the moment it began to listen.
async fn connect(options: &PgConnectOptions) -> Result<(PgListener, i64), sqlx::Error> {
    let connecting = async {
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let pool = pool.acquire_timeout(CONNECT_TIMEOUT).connect_with(options.clone()).await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        // A lost connection has to be seen: changes were missed.
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        let newest = sqlx::query_scalar("select coalesce(max(version), 0) from versions")
            .fetch_one(&mut listener)
            .await?;
        Ok((listener, newest))
    };
    timeout(2 * CONNECT_TIMEOUT, connecting).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// True when the connection answers in time.
async fn answers(listener: &mut PgListener) -> Result<bool, sqlx::Error> {
    let asked = Instant::now();
    let Ok(answer) = timeout(ANSWER_TIMEOUT, sqlx::query("select 1").execute(listener)).await else {
        return Ok(false);
    };
    answer?;
    metrics::histogram!("postern_account_listener_answer_seconds").record(asked.elapsed().as_secs_f64());
    Ok(true)
}

/// A change as notifications: `version domain id,id,...`.
pub(crate) fn payloads(domain: &str, version: i64, revoked: &[i64]) -> Vec<String> {
    let payload = |ids: &[i64]| {
        let ids: Vec<_> = ids.iter().map(i64::to_string).collect();
        format!("{version} {domain} {}", ids.join(","))
    };
    if revoked.is_empty() {
        return vec![payload(&[])];
    }
    revoked.chunks(REVOKED_PER_PAYLOAD).map(payload).collect()
}

fn parse(payload: &str) -> Option<Change> {
    let mut parts = payload.splitn(3, ' ');
    let version = parts.next()?.parse().ok()?;
    let domain = parts.next()?.to_owned();
    let ids = parts.next()?;
    let revoked = ids.split(',').filter(|id| !id.is_empty()).map(str::parse);
    Some(Change { domain, version, revoked_mailbox_ids: revoked.collect::<Result<_, _>>().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_reads_back() {
        let ids: Vec<i64> = (0..1000).map(|n| i64::MAX - n).collect();
        let domain = format!("{}.test", "a".repeat(240));
        for revoked in [&ids[..0], &ids[..1], &ids[..300], &ids[..301], &ids] {
            let payloads = payloads(&domain, i64::MAX, revoked);
            let mut read = Vec::new();
            for payload in &payloads {
                assert!(payload.len() < 8000, "{}", payload.len());
                let change = parse(payload).expect("our own");
                assert_eq!((change.domain.as_str(), change.version), (domain.as_str(), i64::MAX));
                read.extend(change.revoked_mailbox_ids);
            }
            assert_eq!(read, revoked);
        }
    }

    #[test]
    fn what_is_not_ours_is_not_understood() {
        for payload in ["", "1", "1 x.test", "x x.test ", "1 x.test a", "1 x.test 1,b"] {
            assert!(parse(payload).is_none(), "{payload}");
        }
    }
}
