//! Where load balancers and POSTERN_PROXY_NETWORKS do not agree: nobody who comes over such a one is who one seems to be, or gets in.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use postern_mail::PeerIp;
use tokio::time::Instant;

/// What happened is told for so long after its last time.
const TOLD_FOR: Duration = Duration::from_secs(3600);

/// What does not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A PROXY header from a peer that is not listed: it is not believed.
    Unlisted,
    /// A listed peer that sends none: its connection is closed.
    Missing,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Unlisted, Self::Missing];

    fn name(self) -> &'static str {
        match self {
            Self::Unlisted => "unlisted",
            Self::Missing => "missing",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unlisted => "began with a PROXY header that is not believed, since POSTERN_PROXY_NETWORKS does not list who sent it",
            Self::Missing => "came from a network of POSTERN_PROXY_NETWORKS without a PROXY header, and were closed",
        })
    }
}

/// How often, and by whom last.
#[derive(Clone, Copy, Debug)]
struct Seen {
    count: u64,
    peer: PeerIp,
    last: Instant,
}

/// What was seen of it lately at the doors of this process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Disagreements(Arc<Mutex<[Option<Seen>; 2]>>);

impl Disagreements {
    /// Counts one; the first within an hour is logged.
    pub(crate) fn note(&self, kind: Kind, peer: PeerIp) {
        self.note_at(kind, peer, Instant::now());
    }

    fn note_at(&self, kind: Kind, peer: PeerIp, now: Instant) {
        metrics::counter!("postern_proxy_disagreements_total", "what" => kind.name()).increment(1);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(seen) = all.get_mut(kind as usize) else { return };
        match seen {
            Some(seen) if now.duration_since(seen.last) < TOLD_FOR => {
                *seen = Seen { count: seen.count + 1, peer, last: now };
            }
            _ => {
                tracing::warn!(%peer, "connections {kind}");
                *seen = Some(Seen { count: 1, peer, last: now });
            }
        }
    }

    /// For the operator: `Err` with what was seen within the last hour.
    ///
    /// # Errors
    /// When there was something.
    pub fn told(&self) -> Result<(), String> {
        self.told_at(Instant::now())
    }

    fn told_at(&self, now: Instant) -> Result<(), String> {
        let all = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told: Vec<String> = Kind::ALL
            .into_iter()
            .zip(all)
            .filter_map(|(kind, seen)| {
                Some((kind, seen.filter(|seen| now.duration_since(seen.last) < TOLD_FOR)?))
            })
            .map(|(kind, seen)| format!("{} connections, the last from {}, {kind}", seen.count, seen.peer))
            .collect();
        if told.is_empty() { Ok(()) } else { Err(told.join("; ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_within_an_hour_is_told() {
        let (seen, begin) = (Disagreements::default(), Instant::now());
        let told = |after: Duration| seen.told_at(begin + after).err().unwrap_or_default();
        let note = |kind, peer: &str, after: Duration| {
            seen.note_at(kind, peer.parse().expect("an address"), begin + after);
        };
        assert_eq!(told(Duration::ZERO), "");
        note(Kind::Unlisted, "10.1.2.2", Duration::ZERO);
        note(Kind::Unlisted, "10.1.2.3", Duration::ZERO);
        let said = told(Duration::ZERO);
        assert!(
            said.starts_with("2 connections, the last from 10.1.2.3, began with a PROXY header"),
            "{said}"
        );
        note(Kind::Missing, "10.1.2.4", TOLD_FOR / 2);
        let said = told(TOLD_FOR / 2);
        assert!(said.contains("; 1 connections, the last from 10.1.2.4, came from a network"), "{said}");
        let said = told(TOLD_FOR);
        assert!(!said.contains("10.1.2.3") && said.contains("10.1.2.4"), "an hour ago: {said}");
        assert_eq!(told(2 * TOLD_FOR), "");
        note(Kind::Missing, "10.1.2.5", 2 * TOLD_FOR);
        assert!(told(2 * TOLD_FOR).starts_with("1 connections"), "counted anew");
    }
}
