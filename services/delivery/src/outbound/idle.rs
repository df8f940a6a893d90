//! Connections that wait a few seconds for the next mail to the same destination. Whose turn it is decides whoever takes one: a
//! connection that waits makes no host a better one (RFC 5321 section 5.1).

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Destination, connection::Connection, hosts::Host};

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
    /// The one that was used last of those to these hosts, if it is still fresh.
    pub(super) fn take(&self, destination: &Destination, hosts: &[&Host]) -> Option<Connection> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = waiting.get_mut(destination)?;
        let at = connections.iter().rposition(|(since, connection)| {
            since.elapsed() < IDLE_MAX && hosts.iter().any(|host| host.is_at_same_place(connection.host()))
        })?;
        Some(connections.remove(at).1)
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
