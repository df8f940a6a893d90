//! What must be remembered over a restart, so that an authority is not asked more often than it wants: failures by host, and when
//! orders were placed.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::whole_file;

/// Within the folder of what is ours.
const FILE: &str = "state.json";
/// Whoever may read the keys may read this.
const MODE: u32 = 0o640;
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// How long after a failure there is a next try: `first`, doubled by each further failure in a row, at most `longest`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) first: Duration,
    pub(super) longest: Duration,
}

impl Patience {
    fn after(self, times: u32) -> SignedDuration {
        let factor = 1_u32.checked_shl(times.saturating_sub(1)).unwrap_or(u32::MAX);
        let pause = self.first.saturating_mul(factor).min(self.longest.max(self.first));
        SignedDuration::try_from(pause).unwrap_or(SignedDuration::MAX)
    }
}

/// Who has to do something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// The host's name does not lead here, so that nothing was ordered.
    NotHere,
    /// The authority refused, could not prove the host, or was away.
    #[default]
    Refused,
}

/// Failures in a row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trouble {
    pub(crate) kind: Kind,
    /// The last one, in words.
    pub(crate) why: String,
    /// When that was.
    pub(crate) at: Timestamp,
    pub(crate) times: u32,
    /// Not tried again before.
    pub(crate) again: Timestamp,
}

/// The whole of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Memory {
    /// When orders were placed, within the last hour.
    orders: Vec<Timestamp>,
    /// The authority itself: away, or it has had enough of us.
    pub(crate) authority: Option<Trouble>,
    pub(crate) hosts: BTreeMap<String, Trouble>,
}

impl Memory {
    /// What was kept in a folder; nothing when there is no file.
    ///
    /// # Errors
    /// When the file cannot be read, or is none of ours.
    pub(crate) fn read(folder: &Path) -> io::Result<Self> {
        match fs::read_to_string(file(folder)) {
            Ok(text) => Ok(serde_json::from_str(&text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// # Errors
    /// When it cannot be written.
    pub(super) fn keep(&self, folder: &Path) -> io::Result<()> {
        whole_file::write(&file(folder), &format!("{}\n", serde_json::to_string_pretty(self)?), MODE)
    }

    /// Notes an order, and when the next one may be placed if there were as many as may be in an hour; nothing is noted then.
    pub(super) fn order(&mut self, now: Timestamp, per_hour: u32) -> Result<(), Timestamp> {
        // A clock that was set back must not close the door for longer than an hour.
        self.orders.retain(|order| *order > now - HOUR && *order <= now);
        let most = usize::try_from(per_hour).unwrap_or(usize::MAX);
        if self.orders.len() >= most {
            let first = self.orders.iter().min().copied().unwrap_or(now);
            return Err(first + HOUR);
        }
        self.orders.push(now);
        Ok(())
    }

    /// True when a host may be tried.
    pub(super) fn is_due(&self, host: &str, now: Timestamp) -> bool {
        self.hosts.get(host).is_none_or(|trouble| trouble.is_over(now))
    }

    /// True when the authority may be asked.
    pub(super) fn is_authority_due(&self, now: Timestamp) -> bool {
        self.authority.as_ref().is_none_or(|trouble| trouble.is_over(now))
    }

    /// A failure of a host; answers when it is tried again.
    pub(super) fn fail(
        &mut self,
        host: &str,
        kind: Kind,
        why: &str,
        now: Timestamp,
        patience: Patience,
        wanted: Option<Timestamp>,
    ) -> Timestamp {
        let trouble = self.hosts.entry(host.to_owned()).or_default();
        // Another cause begins from the start: who mended the DNS is not to wait for what went before.
        if trouble.kind != kind {
            *trouble = Trouble::default();
        }
        trouble.kind = kind;
        trouble.add(why, now, patience, wanted)
    }

    /// A host whose turn met a failure that was not its own: others come first, and it is not blamed.
    pub(super) fn put_off(&mut self, host: &str, why: &str, now: Timestamp, again: Timestamp) {
        let trouble = self.hosts.entry(host.to_owned()).or_default();
        (trouble.kind, trouble.at, trouble.again) = (Kind::Refused, now, again);
        why.clone_into(&mut trouble.why);
    }

    /// A failure of the authority; answers when it is asked again.
    pub(super) fn fail_authority(&mut self, why: &str, now: Timestamp, patience: Patience) -> Timestamp {
        self.authority.get_or_insert_default().add(why, now, patience, None)
    }
}

impl Trouble {
    fn add(&mut self, why: &str, now: Timestamp, patience: Patience, wanted: Option<Timestamp>) -> Timestamp {
        self.times = self.times.saturating_add(1);
        why.clone_into(&mut self.why);
        self.at = now;
        let again = now.saturating_add(patience.after(self.times)).unwrap_or(now);
        self.again = wanted.map_or(again, |wanted| wanted.max(again));
        self.again
    }

    /// Also when the clock was set back behind what was noted.
    fn is_over(&self, now: Timestamp) -> bool {
        self.again <= now || now < self.at
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { first: Duration::from_secs(600), longest: Duration::from_secs(86_400) };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    #[test]
    fn failures_are_tried_again_later_and_later_and_within_a_day() {
        let mut memory = Memory::default();
        let pauses: Vec<i64> = (0..12)
            .map(|_| {
                let again = memory.fail("mail.one.test", Kind::Refused, "no", at(0), PATIENCE, None);
                again.as_second() - at(0).as_second()
            })
            .collect();
        assert_eq!(pauses[..4], [600, 1200, 2400, 4800]);
        assert_eq!(pauses[8..], [86_400; 4]);
        assert!(!memory.is_due("mail.one.test", at(86_399)) && memory.is_due("mail.one.test", at(86_400)));
        // Others are not held up by it, and what the authority asks for counts when it is longer.
        assert!(memory.is_due("mail.two.test", at(0)));
        let again = memory.fail("mail.two.test", Kind::Refused, "limit", at(0), PATIENCE, Some(at(7200)));
        assert_eq!(again, at(7200));
        let again = memory.fail("mail.two.test", Kind::Refused, "limit", at(0), PATIENCE, Some(at(5)));
        assert_eq!(again, at(1200));
        // A cause of another kind begins anew.
        assert_eq!(memory.fail("mail.one.test", Kind::NotHere, "dns", at(0), PATIENCE, None), at(600));
        memory.put_off("mail.one.test", "the authority is away", at(0), at(60));
        assert!(memory.is_due("mail.one.test", at(60)));
        assert!(memory.is_due("mail.one.test", at(-1)), "a clock that was set back");
    }

    #[test]
    fn so_many_orders_in_an_hour_and_no_more() {
        let mut memory = Memory::default();
        assert_eq!(memory.order(at(0), 2), Ok(()));
        assert_eq!(memory.order(at(100), 2), Ok(()));
        assert_eq!(memory.order(at(200), 2), Err(at(3600)));
        assert_eq!(memory.order(at(3600), 2), Ok(()));
        assert_eq!(memory.order(at(3601), 2), Err(at(3700)));
        assert_eq!(memory.order(at(0), 2), Ok(()), "a clock that was set back");
    }

    #[test]
    fn it_is_kept_over_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Memory::read(folder.path()).expect("none"), Memory::default());
        let mut memory = Memory::default();
        memory.order(at(0), 5).expect("placed");
        memory.fail("mail.one.test", Kind::NotHere, "nowhere", at(0), PATIENCE, None);
        memory.fail_authority("away", at(0), PATIENCE);
        memory.keep(folder.path()).expect("kept");
        assert_eq!(Memory::read(folder.path()).expect("read"), memory);
        fs::write(file(folder.path()), "{").expect("written");
        assert!(Memory::read(folder.path()).is_err());
    }
}
