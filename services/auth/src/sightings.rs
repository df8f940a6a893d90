//! Which clients the gateways have seen within a day, and through which doors. May be lost at any time.

use postern_mail::{ClientKey, PeerIp};
use postern_mesh::clock::unix_millis;
use postern_proto::auth::v1::Door;

use crate::redis_store::{RedisStore, StoreError};

/// When a client was seen last on each kind of port, seconds since 1970; `None`: not within a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The MX port.
    pub(crate) smtp: Option<i64>,
    /// The ports of mail programs, with TLS from the first octet or not.
    pub(crate) submission: Option<i64>,
    /// POP3 and POP3S.
    pub(crate) pop3: Option<i64>,
}

impl Seen {
    fn take(&mut self, door: &str, second: i64) {
        let place = match door {
            "smtp" => &mut self.smtp,
            "submission" | "smtps" => &mut self.submission,
            "pop3" | "pop3s" => &mut self.pop3,
            _ => return,
        };
        *place = Some(place.map_or(second, |before| before.max(second)));
    }
}

/// Notes clients, now.
pub(crate) async fn note(store: &RedisStore, sightings: &[(PeerIp, Door)]) -> Result<(), StoreError> {
    let noted: Vec<_> = sightings
        .iter()
        .filter_map(|(peer, door)| Some((peer.client_key().to_string(), name(*door)?)))
        .collect();
    if noted.is_empty() {
        return Ok(());
    }
    store.note_sightings(&noted, unix_millis() / 1000).await
}

/// When a client was seen.
pub(crate) async fn seen(store: &RedisStore, client: ClientKey) -> Result<Seen, StoreError> {
    let mut seen = Seen::default();
    // The key lives on with its newest door: what is older than a day is forgotten here.
    let oldest = unix_millis() / 1000 - 24 * 3600;
    for (door, second) in store.sightings_of(&client.to_string()).await? {
        if second >= oldest {
            seen.take(&door, second);
        }
    }
    Ok(seen)
}

fn name(door: Door) -> Option<&'static str> {
    match door {
        Door::Unspecified => None,
        Door::Smtp => Some("smtp"),
        Door::Submission => Some("submission"),
        Door::Smtps => Some("smtps"),
        Door::Pop3 => Some("pop3"),
        Door::Pop3s => Some("pop3s"),
    }
}
