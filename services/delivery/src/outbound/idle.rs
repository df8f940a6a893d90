//! Connections that wait a few seconds for the next mail to the same destination.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Destination, connection::Connection};

/// A host should not be kept waiting longer (RFC 5321 section 4.5.3.2.7 gives it five minutes).
const IDLE_MAX: Duration = Duration::from_secs(4);
/// Connections that wait for one destination.
const IDLE_PER_DESTINATION_MAX: usize = 20;

/// All waiting connections.
#[derive(Default)]
pub(super) struct IdleConnections {
    waiting: Mutex<HashMap<Destination, Vec<(Instant, Connection)>>>,
}

impl IdleConnections {
    /// The one that was used last, if it is still fresh.
    pub(super) fn take(&self, destination: &Destination) -> Option<Connection> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = waiting.get_mut(destination)?;
        let (since, connection) = connections.pop()?;
        (since.elapsed() < IDLE_MAX).then_some(connection)
    }

    /// Keeps one for later.
    pub(super) fn put(&self, destination: Destination, connection: Connection) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = waiting.entry(destination).or_default();
        if connections.len() < IDLE_PER_DESTINATION_MAX {
            connections.push((Instant::now(), connection));
        }
    }

    /// Takes out those that waited too long.
    pub(super) fn take_old(&self) -> Vec<Connection> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut old = Vec::new();
        for connections in waiting.values_mut() {
            let fresh = connections.iter().take_while(|(since, _)| since.elapsed() >= IDLE_MAX).count();
            old.extend(connections.drain(..fresh).map(|(_, connection)| connection));
        }
        waiting.retain(|_, connections| !connections.is_empty());
        old
    }
}
