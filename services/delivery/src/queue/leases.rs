//! Which rows this replica is working on, so that their leases are renewed and their work can be stopped.
//!
//! A row that waits here is known by a ticket. Who stops it takes the ticket away, so that the job it waits in does not do it, also
//! when the row came back meanwhile and waits in another job.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::LeasedRow;
use crate::outbound::Transit;

/// How the work on a job can be stopped.
#[derive(Debug, Default)]
pub(super) struct JobControl {
    pub(super) transit: Transit,
    pub(super) stopped: CancellationToken,
}

/// One taking-up of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

#[derive(Debug)]
struct TakenUp {
    ticket: Ticket,
    /// When its lease was asked for, the last time that it was given.
    leased: Instant,
    /// When it was known to be ours: taken up, or found so by the last question whether it still is.
    confirmed: Instant,
    /// When that question was put.
    asked: Option<Instant>,
    /// It is a copy of a list.
    is_copy: bool,
    /// `None`: it waits.
    control: Option<Arc<JobControl>>,
}

#[derive(Debug, Default)]
struct Rows {
    by_id: HashMap<i64, TakenUp>,
    last_ticket: u64,
}

/// All rows at work here, waiting ones included.
#[derive(Debug, Default)]
pub(super) struct Leases {
    rows: Mutex<Rows>,
}

impl Leases {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a row up whose lease was asked for at `leased`; `None` when it is at work already.
    pub(super) fn begin(&self, id: i64, is_copy: bool, leased: Instant) -> Option<Ticket> {
        let mut rows = self.rows();
        if rows.by_id.contains_key(&id) {
            return None;
        }
        rows.last_ticket += 1;
        let ticket = Ticket(rows.last_ticket);
        let taken = TakenUp { ticket, leased, confirmed: leased, asked: None, is_copy, control: None };
        rows.by_id.insert(id, taken);
        Some(ticket)
    }

    /// Leaves those of these rows that may be worked on; from now on they are stopped by `control`.
    pub(super) fn start(&self, leased: &mut Vec<LeasedRow>, control: &Arc<JobControl>) {
        let mut rows = self.rows();
        leased.retain(|row| match rows.by_id.get_mut(&row.id) {
            Some(taken) if taken.ticket == row.ticket => {
                taken.control = Some(Arc::clone(control));
                true
            }
            _ => false,
        });
    }

    /// Forgets rows that waited; leaves those that nobody has stopped.
    pub(super) fn give_up(&self, leased: &mut Vec<LeasedRow>) {
        let mut rows = self.rows();
        leased.retain(|row| {
            let is_ours = rows.by_id.get(&row.id).is_some_and(|taken| taken.ticket == row.ticket);
            if is_ours {
                rows.by_id.remove(&row.id);
            }
            is_ours
        });
    }

    /// The work on these rows is written down.
    pub(super) fn end(&self, ids: impl IntoIterator<Item = i64>) {
        let mut rows = self.rows();
        for id in ids {
            rows.by_id.remove(&id);
        }
    }

    /// The leases of these rows were renewed by a question of that time.
    pub(super) fn renewed(&self, ids: impl IntoIterator<Item = i64>, asked: Instant) {
        let mut rows = self.rows();
        for id in ids {
            if let Some(taken) = rows.by_id.get_mut(&id) {
                taken.leased = asked;
            }
        }
    }

    /// What is to be asked before work on these rows begins: nothing when all of them were ours within `age`. Else those that were
    /// not, and with copies of lists others of them that wait here and will be asked for soon, `most` in all.
    pub(super) fn doubtful(&self, begun: &[LeasedRow], age: Duration, most: usize) -> Vec<(i64, Ticket)> {
        let mut rows = self.rows();
        let now = Instant::now();
        let is_old = |since: Instant| now.saturating_duration_since(since) > age;
        let (mut doubtful, mut are_copies) = (Vec::new(), false);
        for row in begun {
            if let Some(taken) = rows.by_id.get_mut(&row.id).filter(|taken| is_old(taken.confirmed)) {
                taken.asked = Some(now);
                are_copies |= taken.is_copy;
                doubtful.push((row.id, taken.ticket));
            }
        }
        if are_copies {
            let soon = rows.by_id.iter_mut().filter(|(_, taken)| {
                let is_asked = taken.asked.is_some_and(|at| !is_old(at));
                taken.is_copy && taken.control.is_none() && is_old(taken.confirmed) && !is_asked
            });
            for (id, taken) in soon.take(most.saturating_sub(doubtful.len())) {
                taken.asked = Some(now);
                doubtful.push((*id, taken.ticket));
            }
        }
        doubtful
    }

    /// Of what was asked at `asked` these rows are ours. Others that wait do not begin; what has begun asks for itself.
    pub(super) fn confirmed(&self, doubtful: &[(i64, Ticket)], ours: &[i64], asked: Instant) {
        let mut rows = self.rows();
        for (id, ticket) in doubtful {
            let Some(taken) = rows.by_id.get_mut(id).filter(|taken| taken.ticket == *ticket) else {
                continue;
            };
            if ours.contains(id) {
                taken.confirmed = asked;
            } else if taken.control.is_none() {
                rows.by_id.remove(id);
            }
        }
    }

    /// Rows whose leases are so old.
    pub(super) fn older_than(&self, age: Duration) -> Vec<i64> {
        let rows = self.rows();
        let old = rows.by_id.iter().filter(|(_, taken)| taken.leased.elapsed() > age);
        old.map(|(id, _)| *id).collect()
    }

    /// All rows at work.
    pub(super) fn ids(&self) -> Vec<i64> {
        self.rows().by_id.keys().copied().collect()
    }

    /// True when the row is at work here.
    pub(super) fn contains(&self, id: i64) -> bool {
        self.rows().by_id.contains_key(&id)
    }

    /// Stops the work on these rows unless the host may have the mail already; gives those that go on. What waits does not begin.
    pub(super) fn stop(&self, ids: &[i64]) -> Vec<i64> {
        let mut rows = self.rows();
        let mut go_on = Vec::new();
        for id in ids {
            match rows.by_id.get(id).map(|taken| taken.control.as_ref()) {
                Some(Some(control)) if control.transit.is_dot_sent() => go_on.push(*id),
                Some(Some(control)) => control.stopped.cancel(),
                Some(None) => drop(rows.by_id.remove(id)),
                None => {}
            }
        }
        go_on
    }
}

#[cfg(test)]
mod tests {
    use postern_mail::MessageId;
    use postern_smtp::dsn::RecipientDsn;

    use super::*;
    use crate::accept::QueueClass;

    fn taken_up(leases: &Leases, id: i64) -> LeasedRow {
        LeasedRow {
            id,
            ticket: leases.begin(id, false, Instant::now()).expect("not at work yet"),
            message_id: MessageId::new(),
            recipient: "b@far.test".parse().expect("address"),
            via: None,
            class: QueueClass::Mail,
            subject_id: None,
            note: None,
            attempts: 0,
            expired: false,
            held: false,
            customer: None,
            dsn: RecipientDsn::default(),
            delay_due: false,
            last_outcome: String::new(),
            message: None,
        }
    }

    #[test]
    fn a_row_is_taken_up_once() {
        let leases = Leases::default();
        assert!(leases.begin(1, false, Instant::now()).is_some());
        assert!(leases.begin(1, false, Instant::now()).is_none());
        leases.end([1]);
        assert!(leases.begin(1, false, Instant::now()).is_some());
        assert_eq!(leases.ids(), [1]);
    }

    #[test]
    fn what_is_not_sent_yet_can_be_stopped() {
        let leases = Leases::default();
        let mut rows = vec![taken_up(&leases, 1)];
        let control = Arc::new(JobControl::default());
        leases.start(&mut rows, &control);
        assert_eq!(rows.len(), 1);
        assert_eq!(leases.stop(&[1, 2]), Vec::<i64>::new());
        assert!(control.stopped.is_cancelled());
    }

    #[test]
    fn what_was_stopped_while_it_waited_does_not_begin() {
        let leases = Leases::default();
        let (first, second) = (taken_up(&leases, 1), taken_up(&leases, 2));
        assert_eq!(leases.stop(&[1]), Vec::<i64>::new());
        assert_eq!(leases.ids(), [2], "nor is it renewed");
        // It comes back before the first job had its turn, and waits in another one.
        let again = taken_up(&leases, 1);
        let control = Arc::new(JobControl::default());
        let started = |row: &LeasedRow| {
            let mut rows = vec![row.clone()];
            leases.start(&mut rows, &control);
            rows.len()
        };
        assert_eq!((started(&first), started(&second), started(&again)), (0, 1, 1));
    }

    #[test]
    fn what_is_given_up_leaves_others_alone() {
        let leases = Leases::default();
        let stale = taken_up(&leases, 1);
        leases.stop(&[1]);
        let _again = taken_up(&leases, 1);
        let mut rows = vec![stale, taken_up(&leases, 2)];
        leases.give_up(&mut rows);
        assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [2]);
        assert_eq!(leases.ids(), [1]);
    }

    #[test]
    fn one_question_is_for_all_copies_that_wait() {
        let leases = Leases::default();
        let second = Duration::from_secs(1);
        let before = Instant::now().checked_sub(2 * second).expect("the machine runs for a while");
        let fresh = taken_up(&leases, 1);
        let row = |id: i64, is_copy: bool| {
            let ticket = leases.begin(id, is_copy, before).expect("not at work yet");
            LeasedRow { id, ticket, ..fresh.clone() }
        };
        let copies: Vec<LeasedRow> = (2..=6).map(|id| row(id, true)).collect();
        let mail = [row(7, false), row(8, false)];
        let ids = |doubtful: &[(i64, Ticket)]| {
            let mut ids: Vec<i64> = doubtful.iter().map(|(id, _)| *id).collect();
            ids.sort_unstable();
            ids
        };
        let asked = |row: &LeasedRow| leases.doubtful(std::slice::from_ref(row), second, 4);
        assert!(asked(&fresh).is_empty(), "it was ours a moment ago");
        assert_eq!(ids(&asked(&mail[0])), [7], "mail asks for itself");
        let first = asked(&copies[0]);
        assert!(first.len() == 4 && ids(&first).contains(&2) && !ids(&first).contains(&7), "{first:?}");
        let missed = copies.iter().find(|row| !ids(&first).contains(&row.id)).expect("one of five");
        assert_eq!(ids(&asked(missed)), [missed.id], "for the others it is being asked");

        // The first one is nobody's any more, nor is another one that waits; a third was given up and came back meanwhile.
        let control = Arc::new(JobControl::default());
        leases.start(&mut vec![copies[0].clone()], &control);
        let others: Vec<i64> = ids(&first).into_iter().filter(|id| *id != 2).collect();
        leases.give_up(&mut vec![copies[usize::try_from(others[1] - 2).expect("an index")].clone()]);
        leases.begin(others[1], true, before).expect("given up");
        leases.confirmed(&first, &[others[2]], Instant::now());
        assert!(!control.stopped.is_cancelled() && leases.contains(2), "it has begun");
        assert!(!leases.contains(others[0]), "it does not begin");
        assert!(leases.contains(others[1]), "it is another taking-up");
        let again = |id: i64| asked(&copies[usize::try_from(id - 2).expect("an index")]);
        assert!(again(others[2]).is_empty() && !again(others[1]).is_empty());
    }

    #[test]
    fn leases_grow_old_until_they_are_renewed() {
        let leases = Leases::default();
        let minute = Duration::from_secs(60);
        let before = Instant::now().checked_sub(minute).expect("the machine runs for a minute");
        leases.begin(1, false, before).expect("not at work yet");
        leases.begin(2, false, before).expect("not at work yet");
        leases.begin(3, false, Instant::now()).expect("not at work yet");
        leases.renewed([2], Instant::now());
        assert_eq!(leases.older_than(Duration::from_secs(40)), [1]);
    }
}
