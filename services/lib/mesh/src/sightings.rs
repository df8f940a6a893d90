//! Tells auth which clients came through which door, so that "nothing of yours ever arrived here" can be told from "you were
//! refused". For gateways; a session never waits for it, and what cannot be told is lost.

use std::{collections::HashMap, time::Duration};

use postern_mail::PeerIp;
use postern_proto::auth::v1::{
    Door, NoteSightingsRequest, Sighting, sighting_service_client::SightingServiceClient,
};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{client::MeshChannel, shutdown::Shutdown};

/// Sightings that may wait for the next call; more are lost.
const WAITING_MAX: usize = 4096;
/// Sightings of one call (sighting.proto).
const CALL_MAX: usize = 1000;
/// How often a call is made when there is something to tell.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// The same client at the same door is told once in this time.
const TOLD_FOR: Duration = Duration::from_secs(60);
/// Clients remembered as told; with more, some are told again.
const TOLD_MAX: usize = 100_000;

/// Where gateways note who came. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sightings(mpsc::Sender<(PeerIp, Door)>);

impl Sightings {
    /// Begins to tell auth, as a task of `shutdown`.
    #[must_use]
    pub fn begin(auth: MeshChannel, shutdown: &Shutdown) -> Self {
        let (sender, seen) = mpsc::channel(WAITING_MAX);
        let ending = shutdown.clone();
        shutdown.spawn(async move {
            tokio::select! {
                () = tell(SightingServiceClient::new(auth), seen) => {}
                () = ending.triggered() => {}
            }
        });
        Self(sender)
    }

    /// Notes a client. Never waits; when too many wait already, this one is lost.
    pub fn note(&self, peer: PeerIp, door: Door) {
        let _ = self.0.try_send((peer, door));
    }
}

async fn tell(client: SightingServiceClient<MeshChannel>, mut seen: mpsc::Receiver<(PeerIp, Door)>) {
    let mut told = Told::default();
    let mut ticks = interval(TELL_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut batch = Vec::with_capacity(CALL_MAX);
    loop {
        ticks.tick().await;
        while seen.recv_many(&mut batch, CALL_MAX).await > 0 {
            let now = Instant::now();
            let sightings: Vec<_> = batch
                .drain(..)
                .filter(|(peer, door)| told.is_news(*peer, *door, now))
                .map(|(peer, door)| Sighting { peer_ip: peer.to_string(), door: door.into() })
                .collect();
            if !sightings.is_empty()
                && let Err(status) = client.clone().note_sightings(NoteSightingsRequest { sightings }).await
            {
                // Not sent again: the client will come again, too.
                tracing::debug!(%status, "sightings are lost");
            }
            if seen.is_empty() {
                break;
            }
        }
        if seen.is_closed() && seen.is_empty() {
            return;
        }
    }
}

/// Who was told lately.
#[derive(Default)]
struct Told(HashMap<(PeerIp, Door), Instant>);

impl Told {
    fn is_news(&mut self, peer: PeerIp, door: Door, now: Instant) -> bool {
        if let Some(when) = self.0.get(&(peer, door))
            && now.duration_since(*when) < TOLD_FOR
        {
            return false;
        }
        if self.0.len() >= TOLD_MAX {
            self.0.retain(|_, when| now.duration_since(*when) < TOLD_FOR);
        }
        if self.0.len() >= TOLD_MAX {
            self.0.clear();
        }
        self.0.insert((peer, door), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_news_once_a_minute_at_each_door_and_memory_is_bounded() {
        let mut told = Told::default();
        let peer: PeerIp = "203.0.113.9".parse().expect("an address");
        let now = Instant::now();
        assert!(told.is_news(peer, Door::Smtp, now));
        assert!(!told.is_news(peer, Door::Smtp, now + Duration::from_secs(59)));
        assert!(told.is_news(peer, Door::Pop3, now));
        assert!(told.is_news(peer, Door::Smtp, now + TOLD_FOR));
        for number in 0..u32::try_from(TOLD_MAX + 10).expect("fits") {
            told.is_news(PeerIp::new(std::net::Ipv4Addr::from(number).into()), Door::Smtp, now);
        }
        assert!(told.0.len() <= TOLD_MAX);
    }
}
