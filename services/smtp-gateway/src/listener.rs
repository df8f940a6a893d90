//! The doors: receives connections, notes who came, and lets them in or refuses them.

use std::{sync::Arc, time::Duration};

use postern_mail::{PeerIp, Reason};
use postern_mesh::{
    counted::Counted,
    reception::{Guest, Reception, Stream},
    settings::PlaintextLogin,
    sightings::Sightings,
};
use postern_proto::auth::v1 as auth;
use postern_smtp::reply::Reply;
use tokio::{io::AsyncWriteExt as _, net::TcpListener, time::timeout};

use crate::{
    connection::{Connection, Gateway},
    session::{Door, Profile},
};

/// A refused client takes its 421 within this time.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// What all doors share.
#[derive(Clone)]
pub(crate) struct Doors {
    /// What connections share.
    pub(crate) gateway: Gateway,
    /// Who came.
    pub(crate) sightings: Sightings,
    /// Who may come in.
    pub(crate) reception: Reception,
    /// What sessions are told.
    pub(crate) rules: Arc<Rules>,
}

/// Rules of sessions that come from the settings.
#[derive(Debug)]
pub(crate) struct Rules {
    /// Our name.
    pub(crate) mail_host: Arc<str>,
    /// AUTH without TLS from anywhere.
    pub(crate) plaintext_login: PlaintextLogin,
    /// Content, octets.
    pub(crate) message_max_bytes: Option<u64>,
    /// Recipients of one message.
    pub(crate) recipients_max: usize,
    /// Refused recipients of one session.
    pub(crate) refused_recipients_max: Option<u32>,
}

/// Accepts until shutdown.
pub(crate) async fn accept(listener: TcpListener, door: Door, doors: Doors) {
    let (reception, shutdown) = (doors.reception.clone(), doors.gateway.shutdown.clone());
    reception.receive(listener, shutdown, move |guest| welcome(guest, door, doors.clone())).await;
}

async fn welcome(guest: Guest, door: Door, doors: Doors) {
    let Guest { mut stream, peer, place, .. } = guest;
    metrics::counter!("postern_smtp_connections_total", "door" => door.name()).increment(1);
    doors.sightings.note(peer, door.into());
    let place = match place {
        Ok(place) => place,
        Err(why) => {
            metrics::counter!(
                "postern_smtp_connections_refused_total", "door" => door.name(), "why" => why.name()
            )
            .increment(1);
            return refuse(&mut stream, door).await;
        }
    };
    let _counted = Counted::in_gauge(metrics::gauge!("postern_smtp_connections"));
    let exempt = doors.reception.is_exempt(peer);
    let profile = doors.profile(door, peer, exempt);
    let session_id = uuid::Uuid::new_v4().as_simple().to_string();
    let mut gateway = doors.gateway;
    if exempt {
        gateway.greet_delay = Duration::ZERO;
    }
    Connection::new(gateway, Box::new(stream), profile, session_id, place).run().await;
}

impl From<Door> for auth::Door {
    fn from(door: Door) -> Self {
        match door {
            Door::Mx => Self::Smtp,
            Door::Submission => Self::Submission,
            Door::Smtps => Self::Smtps,
        }
    }
}

impl Doors {
    fn profile(&self, door: Door, peer: PeerIp, exempt: bool) -> Profile {
        Profile {
            door,
            mail_host: Arc::clone(&self.rules.mail_host),
            peer,
            tls_available: self.gateway.tls.is_some(),
            plaintext_login: self.rules.plaintext_login.is_offered_to(peer),
            plaintext_by_domain: self.rules.plaintext_login.asks_domain(peer),
            message_max_bytes: self.rules.message_max_bytes,
            recipients_max: self.rules.recipients_max,
            refused_recipients_max: self.rules.refused_recipients_max.filter(|_| !exempt),
            inbound_limited: !exempt,
        }
    }
}

async fn refuse(stream: &mut Stream, door: Door) {
    // Where TLS comes first there are no words to say it in.
    if door == Door::Smtps {
        return;
    }
    let mut output = bytes::BytesMut::new();
    Reply::from(Reason::TooManyConnections).write_to(&mut output);
    let _ = timeout(REFUSAL_TIMEOUT, async {
        stream.write_all(&output).await?;
        stream.shutdown().await
    })
    .await;
}
