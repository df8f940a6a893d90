//! What the outside world took and what was cut, outside the system: how many copies of each message there may be at most.
//!
//! A copy may come twice only for an event that made its fate uncertain: the sender could not read our answer, the host hung up
//! after its 250, or a process or the database died between that 250 and the note of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

/// A message by its tag, and one place that it is to come to.
pub(crate) type Copy = (String, String);

/// A copy that the outside world took.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) at: Instant,
    pub(crate) copy: Copy,
    /// Why it may leave; `None`: nothing here allows it.
    pub(crate) reason: Option<&'static str>,
    /// The host hung up after its 250.
    pub(crate) unanswered: bool,
}

/// What a kill left in the queue.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    /// When work could go on: what was taken before was taken from those who died.
    pub(crate) back: Instant,
    pub(crate) unfinished: Vec<Copy>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Answers to the final dot that the sender could not read, or that said "later".
    pub(crate) unclear: BTreeMap<String, usize>,
    pub(crate) taken: Vec<Taken>,
    pub(crate) cuts: Vec<Cut>,
    /// What must come, and nothing else may.
    pub(crate) expected: BTreeSet<Copy>,
    /// Copies in boxes of the house.
    pub(crate) delivered: BTreeMap<Copy, usize>,
}

impl Ledger {
    /// Everything that is wrong; empty when I1, I2 and I6 hold.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for copy in &self.expected {
            let (count, most) = (self.count(copy), self.most(copy));
            if count == 0 || count > most {
                wrong.push(format!("I1, I2: {copy:?}: {count} copies, {most} at most"));
            }
        }
        for taken in &self.taken {
            if !self.expected.contains(&taken.copy) || taken.reason.is_none() {
                wrong.push(format!("I6: nothing lets {:?} leave", taken.copy));
            }
        }
        wrong
    }

    fn count(&self, copy: &Copy) -> usize {
        let outside = self.taken.iter().filter(|taken| taken.copy == *copy).count();
        outside + self.delivered.get(copy).copied().unwrap_or(0)
    }

    fn most(&self, copy: &Copy) -> usize {
        1 + self.unclear.get(&copy.0).copied().unwrap_or(0) + self.unanswered(copy) + self.cut_off(copy)
    }

    /// How often a host hung up after its 250.
    fn unanswered(&self, copy: &Copy) -> usize {
        self.taken.iter().filter(|taken| taken.copy == *copy && taken.unanswered).count()
    }

    /// How often it had been taken, and was in the queue all the same, when something was killed.
    fn cut_off(&self, copy: &Copy) -> usize {
        let mut events = 0;
        let mut before = None;
        for cut in &self.cuts {
            let since =
                |taken: &&Taken| before.is_none_or(|before| taken.at > before) && taken.at <= cut.back;
            let taken = self
                .taken
                .iter()
                .filter(since)
                .filter(|taken| taken.copy == *copy && !taken.unanswered)
                .count();
            let unfinished = cut.unfinished.iter().filter(|left| *left == copy).count();
            events += taken.min(unfinished);
            before = Some(cut.back);
        }
        events
    }
}

/// The ledger itself must catch what it is for.
#[test]
fn it_allows_a_second_copy_only_for_an_event_of_that_copy() {
    use std::time::Duration;

    let begin = Instant::now();
    let at = |seconds| begin + Duration::from_secs(seconds);
    let copy = ("post-1".to_owned(), "a@outside.test".to_owned());
    let other = ("post-1".to_owned(), "b@outside.test".to_owned());
    let taken = |seconds, unanswered| Taken {
        at: at(seconds),
        copy: copy.clone(),
        reason: Some("a list"),
        unanswered,
    };
    let ledger = |taken: Vec<Taken>, unfinished: &[&Copy]| Ledger {
        taken,
        cuts: vec![
            Cut { back: at(10), unfinished: unfinished.iter().map(|copy| (*copy).clone()).collect() },
            Cut { back: at(20), unfinished: unfinished.iter().map(|copy| (*copy).clone()).collect() },
        ],
        expected: BTreeSet::from([copy.clone()]),
        ..Ledger::default()
    };
    let is_good = |ledger: Ledger| ledger.wrong().is_empty();
    assert!(is_good(ledger(vec![taken(1, false)], &[])));
    assert!(!is_good(ledger(Vec::new(), &[])), "lost");
    assert!(!is_good(ledger(vec![taken(1, false), taken(11, false)], &[])), "twice for nothing");
    assert!(!is_good(ledger(vec![taken(1, false), taken(11, false)], &[&other])), "the kill met another one");
    assert!(
        is_good(ledger(vec![taken(1, false), taken(21, false)], &[&copy])),
        "it was not noted when it was killed"
    );
    assert!(!is_good(ledger(vec![taken(1, false), taken(21, false), taken(22, false)], &[&copy])));
    assert!(is_good(ledger(vec![taken(1, true), taken(2, false)], &[])), "its 250 was not sent");
    assert!(!is_good(ledger(vec![taken(1, true), taken(2, false), taken(3, false)], &[])));
    let doubted = |count| Ledger {
        unclear: BTreeMap::from([("post-1".to_owned(), count)]),
        ..ledger(vec![taken(1, false), taken(2, false)], &[])
    };
    assert!(is_good(doubted(1)), "sent again by its sender");
    assert!(!is_good(doubted(0)));
    let stranger = Taken { copy: other.clone(), ..taken(1, false) };
    assert!(!is_good(ledger(vec![taken(1, false), stranger], &[])), "nobody is to get that");
    let unowned = Taken { reason: None, ..taken(1, false) };
    assert!(!is_good(ledger(vec![unowned], &[])), "nothing lets it leave");
}
