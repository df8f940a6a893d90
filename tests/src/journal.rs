//! The harness's own ledger, outside the system: what was promised for each message, and where its copies ended.
//! After the faults it decides whether anything was lost or doubled (invariants I1 to I4).

use std::collections::{BTreeMap, BTreeSet};

/// What the sender last knew of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The final dot was never sent: it must not exist.
    Partial,
    /// 250 to the final dot: it must exist.
    Accepted,
    /// 4xx to the final dot, or the connection was lost after it: it may exist (window W1).
    Ambiguous,
    /// 5xx: it must not exist.
    Refused,
}

/// One message to one or more places.
#[derive(Clone, Debug)]
pub struct Record {
    /// What is known of it.
    pub fact: Fact,
    /// Places it must reach: addresses of boxes, or outside addresses.
    pub places: Vec<String>,
}

/// The ledger.
#[derive(Default)]
pub struct Journal {
    records: BTreeMap<String, Record>,
    /// (tag, place) -> copies seen there in the end, or deleted by a session whose QUIT was answered.
    copies: BTreeMap<(String, String), usize>,
    /// Outside copies whose reply our side may not have read (window W2).
    ambiguous_outside: BTreeSet<String>,
}

/// What is wrong after the faults; empty when all invariants hold.
#[derive(Debug, Default)]
pub struct Findings {
    /// I1: accepted, and absent at a place.
    pub lost: Vec<(String, String)>,
    /// I2: more copies than ambiguous events explain.
    pub doubled: Vec<(String, String, usize)>,
    /// I3: refused or never completed, and yet there.
    pub ghosts: Vec<(String, String)>,
}

impl Findings {
    /// True when nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty() && self.ghosts.is_empty()
    }
}

impl Journal {
    /// Notes what a sender knows.
    pub fn sent(&mut self, tag: &str, fact: Fact, places: &[&str]) {
        let places = places.iter().map(|s| (*s).to_owned()).collect();
        self.records.insert(tag.to_owned(), Record { fact, places });
    }

    /// Notes a copy at a place.
    pub fn found(&mut self, tag: &str, place: &str) {
        *self.copies.entry((tag.to_owned(), place.to_owned())).or_default() += 1;
    }

    /// Notes that a delivery to the outside was cut by a fault of ours.
    pub fn outside_is_ambiguous(&mut self, tag: &str) {
        self.ambiguous_outside.insert(tag.to_owned());
    }

    /// Messages with a 250.
    pub fn accepted_count(&self) -> usize {
        self.records.values().filter(|r| r.fact == Fact::Accepted).count()
    }

    /// Messages whose outcome the sender does not know.
    pub fn ambiguous_count(&self) -> usize {
        self.records.values().filter(|r| r.fact == Fact::Ambiguous).count()
    }

    /// Compares what was promised with what is there.
    pub fn verify(&self) -> Findings {
        let mut findings = Findings::default();
        for (tag, record) in &self.records {
            for place in &record.places {
                let copies = self.copies.get(&(tag.clone(), place.clone())).copied().unwrap_or(0);
                match record.fact {
                    Fact::Accepted if copies == 0 => findings.lost.push((tag.clone(), place.clone())),
                    Fact::Partial | Fact::Refused if copies > 0 => {
                        findings.ghosts.push((tag.clone(), place.clone()));
                    }
                    _ => {}
                }
                let allowed = if self.ambiguous_outside.contains(tag) { 2 } else { 1 };
                if copies > allowed {
                    findings.doubled.push((tag.clone(), place.clone(), copies));
                }
            }
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ledger itself must catch what it is for, else it proves nothing.
    #[test]
    fn it_catches_losses_doubles_and_ghosts() {
        let mut journal = Journal::default();
        journal.sent("kept", Fact::Accepted, &["a", "b"]);
        journal.found("kept", "a");
        journal.found("kept", "b");
        journal.sent("maybe", Fact::Ambiguous, &["a"]);
        assert!(journal.verify().is_clean());

        journal.sent("gone", Fact::Accepted, &["a"]);
        assert_eq!(journal.verify().lost, [("gone".to_owned(), "a".to_owned())]);
        journal.found("gone", "a");
        journal.found("gone", "a");
        assert_eq!(journal.verify().doubled, [("gone".to_owned(), "a".to_owned(), 2)]);
        journal.sent("half", Fact::Partial, &["a"]);
        journal.found("half", "a");
        assert_eq!(journal.verify().ghosts, [("half".to_owned(), "a".to_owned())]);
    }
}
