//! What must be cut now, from whoever said so to every gateway: an operator's revocation reaches all replicas by a
//! Redis channel, a dead credential by the directory's change stream, and each replica tells the gateways that watch it.
//!
//! Cutting is a courtesy, not the guarantee: a revocation may be missed while the channel is down, but each remote
//! recipient asks CheckRelay again, and that reads the grants and the directory.

use std::time::Duration;

use futures_util::StreamExt as _;
use postern_mesh::{
    directory::{Directory, DirectoryEvent},
    shutdown::Shutdown,
};
use postern_proto::auth::v1::Revocation;
use redis::{RedisError, RedisResult};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::{
    redis_store::{REVOCATIONS_CHANNEL, RedisStore, StoreError},
    relay::{RelayError, is_alive},
};

/// Revocations that a slow watcher may be behind.
const BEHIND_MAX: usize = 4096;
/// For the channel to stand, and for its answer to a ping.
const CHANNEL_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a silent channel is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(5);
/// Between two attempts to stand the channel up.
const PAUSE: Duration = Duration::from_millis(500);
/// Attempts to remove the grants of a dead credential; CheckRelay refuses them anyway.
const REMOVE_ATTEMPTS: u32 = 5;

/// As it travels between the replicas.
#[derive(Serialize, Deserialize)]
struct Message {
    /// The replica that said it and told its own watchers already.
    origin: u64,
    client: String,
    mailbox_id: i64,
}

/// All who watch this replica.
#[derive(Clone)]
pub(crate) struct Revocations {
    origin: u64,
    watchers: broadcast::Sender<Revocation>,
    store: RedisStore,
}

impl Revocations {
    pub(crate) fn new(store: RedisStore) -> Self {
        Self { origin: rand::random(), watchers: broadcast::channel(BEHIND_MAX).0, store }
    }

    /// What is revoked from now on.
    pub(crate) fn watch(&self) -> broadcast::Receiver<Revocation> {
        self.watchers.subscribe()
    }

    /// Tells the watchers of every replica.
    pub(crate) async fn announce(&self, revocation: Revocation) -> Result<(), StoreError> {
        let message = Message {
            origin: self.origin,
            client: revocation.client.clone(),
            mailbox_id: revocation.mailbox_id,
        };
        self.tell_watchers(revocation);
        let text = serde_json::to_string(&message).unwrap_or_default();
        self.store.publish(&text).await
    }

    fn tell_watchers(&self, revocation: Revocation) {
        // No watcher is no error.
        let _ = self.watchers.send(revocation);
    }

    /// Begins to listen to the other replicas and to the directory, until shutdown.
    pub(crate) fn begin(&self, directory: &Directory, shutdown: &Shutdown) {
        let (this, ending) = (self.clone(), shutdown.clone());
        shutdown.spawn(async move {
            tokio::select! { () = this.follow_channel() => {}, () = ending.triggered() => {} }
        });
        let (this, ending, directory) = (self.clone(), shutdown.clone(), directory.clone());
        shutdown.spawn(async move {
            tokio::select! { () = this.follow_directory(directory) => {}, () = ending.triggered() => {} }
        });
    }

    async fn follow_channel(&self) {
        loop {
            if let Err(error) = self.listen().await {
                tracing::debug!(%error, "the channel of revocations is down");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn listen(&self) -> RedisResult<()> {
        let connection = self.store.connection();
        let generation = connection.generation();
        let mut channel = within(connection.client().get_async_pubsub()).await?;
        within(channel.subscribe(REVOCATIONS_CHANNEL)).await?;
        let (mut questions, mut messages) = channel.split();
        let mut ping = tokio::time::interval(PING_EVERY);
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(message) => self.hear(message.get_payload_bytes()),
                    None => return Ok(()),
                },
                // Another Redis may have taken the place of the one that this channel still hangs on.
                _ = ping.tick() => match connection.generation() == generation {
                    true => within(questions.ping::<redis::Value>()).await.map(drop)?,
                    false => return Ok(()),
                },
            }
        }
    }

    fn hear(&self, payload: &[u8]) {
        match serde_json::from_slice::<Message>(payload) {
            Ok(message) if message.origin == self.origin => {}
            Ok(message) => {
                self.tell_watchers(Revocation { client: message.client, mailbox_id: message.mailbox_id });
            }
            Err(error) => tracing::warn!(%error, "a revocation cannot be read"),
        }
    }

    async fn follow_directory(&self, directory: Directory) {
        let mut changes = directory.changes();
        loop {
            match changes.recv().await {
                Ok(DirectoryEvent::Change { revoked_mailbox_ids: dead, .. }) if !dead.is_empty() => {
                    for mailbox_id in dead {
                        self.tell_watchers(Revocation { client: String::new(), mailbox_id });
                        tokio::spawn(remove_dead_grants(directory.clone(), self.store.clone(), mailbox_id));
                    }
                }
                // What was missed is found by CheckRelay: it compares each grant with the directory.
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }
}

/// Removes the grants that a dead credential won, so that a suspension that ends soon does not bring them back to life.
/// What the new password won already stays.
async fn remove_dead_grants(directory: Directory, store: RedisStore, mailbox_id: i64) {
    for _ in 0..REMOVE_ATTEMPTS {
        match try_to_remove(&directory, &store, mailbox_id).await {
            Ok(()) => return,
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    mailbox_id,
                    "dead grants stay for now"
                );
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn try_to_remove(directory: &Directory, store: &RedisStore, mailbox_id: i64) -> Result<(), RelayError> {
    let mailbox = directory.mailbox(mailbox_id).await;
    let mailbox = mailbox.map_err(|status| RelayError::Directory(Box::new(status)))?;
    let clients = store.clients_of(mailbox_id).await?;
    let (_, grants) = store.grants_of(mailbox_id, &clients).await?;
    for (client, grant) in grants {
        if !is_alive(grant.credential_version, mailbox.as_deref()) {
            store.forget_grants(&client, &[grant]).await?;
        }
    }
    Ok(())
}

async fn within<T>(step: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    match tokio::time::timeout(CHANNEL_TIMEOUT, step).await {
        Ok(result) => result,
        Err(_) => Err(RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))),
    }
}
