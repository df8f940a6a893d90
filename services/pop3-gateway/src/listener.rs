//! Doors: receives connections, notes who came, and hands them on or turns them away. First step of the walk.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use postern_mail::Reason;
use postern_mesh::{
    StartError,
    reception::{Guest, Reception, Stream},
    sightings::Sightings,
};
use postern_proto::auth::v1 as auth;
use tokio::{io::AsyncWriteExt as _, net::TcpListener, time::timeout};
use tokio_rustls::TlsAcceptor;

use crate::connection::{self, Door, Gateway};

/// A peer that is turned away gets so long to take the reason.
const TURN_AWAY_TIMEOUT: Duration = Duration::from_secs(1);

/// A bound door.
pub(crate) struct Listener {
    listener: TcpListener,
    door: Door,
    tls: Option<TlsAcceptor>,
}

impl Listener {
    /// Binds the door; port 0 takes any.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub(crate) async fn bind(
        address: SocketAddr,
        door: Door,
        tls: Option<TlsAcceptor>,
    ) -> Result<Self, StartError> {
        let listener = TcpListener::bind(address).await.map_err(|e| StartError::listen(address, e))?;
        Ok(Self { listener, door, tls })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts until shutdown.
    pub(crate) async fn accept_all(self, gateway: Arc<Gateway>, reception: Reception, sightings: Sightings) {
        let Self { listener, door, tls } = self;
        let shutdown = gateway.shutdown.clone();
        let enter = move |guest: Guest| {
            sightings.note(guest.peer, door.into());
            enter(Arc::clone(&gateway), guest, door, tls.clone())
        };
        reception.receive(listener, shutdown, enter).await;
    }
}

async fn enter(gateway: Arc<Gateway>, guest: Guest, door: Door, tls: Option<TlsAcceptor>) {
    let Guest { stream, peer, place, .. } = guest;
    match place {
        Ok(place) => connection::serve(gateway, stream, door, tls, peer, place).await,
        Err(why) => {
            metrics::counter!("postern_pop3_turned_away_total", "why" => why.name()).increment(1);
            turn_away(stream, door).await;
        }
    }
}

impl From<Door> for auth::Door {
    fn from(door: Door) -> Self {
        match door {
            Door::Pop3 => Self::Pop3,
            Door::Pop3s => Self::Pop3s,
        }
    }
}

async fn turn_away(mut stream: Stream, door: Door) {
    if door == Door::Pop3 {
        let line = format!("-ERR {}\r\n", Reason::TooManyConnections.pop3_text());
        // It is turned away, whether it hears why or not.
        let _ = timeout(TURN_AWAY_TIMEOUT, stream.write_all(line.as_bytes())).await;
    }
}
