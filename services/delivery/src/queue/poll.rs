//! When it is looked for what is due: at once where more is known to wait, else after pauses that grow while nothing is found (pure).

use std::time::Duration;

use tokio::{task::Id, time::Instant};

use super::{store::Wanted, upkeep::Found};
use crate::accept::QueueClass;

/// Pause between polls that find nothing: from the first to the last, doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Rows that are held grow old slowly.
const LOOK_AT_HELD_EVERY: Duration = Duration::from_secs(60);

/// The poll that is under way, and what the ones before it found.
pub(super) struct Poll {
    pub(super) under_way: Option<Id>,
    /// Mail waits for room here, as the last poll that asked for some found.
    pub(super) more_mail: bool,
    /// Copies of lists came with the last poll that asked for some: there may be more.
    more_copies: bool,
    /// They are not asked for before.
    copies_next: Instant,
    /// Another one follows at once.
    again: bool,
    next: Instant,
    pause: Duration,
    held_next: Instant,
}

impl Poll {
    /// None yet: the first one is due.
    pub(super) fn first(now: Instant) -> Self {
        Self {
            under_way: None,
            more_mail: false,
            more_copies: false,
            copies_next: now,
            again: false,
            next: now,
            pause: PAUSE_MIN,
            held_next: now,
        }
    }

    /// One is due, and another one behind that which is under way.
    pub(super) fn at_once(&mut self, now: Instant) {
        self.again = true;
        self.pause = PAUSE_MIN;
        self.next = now;
    }

    /// When one is due whatever is known of what waits.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// Whether copies of lists are to be asked for, should there be room for them.
    pub(super) fn wants_copies(&self, now: Instant) -> bool {
        self.more_copies && now >= self.copies_next
    }

    /// When the next one is due at the latest. `copies_have_room`: when room comes later, something happens in the loop.
    pub(super) fn next(&self, copies_have_room: impl FnOnce() -> bool) -> Instant {
        if self.more_copies && copies_have_room() { self.next.min(self.copies_next) } else { self.next }
    }

    /// One begins. Gives whether it looks at held rows, too.
    pub(super) fn begins(&mut self, wanted: &Wanted, now: Instant) -> bool {
        self.again = false;
        self.more_mail &= wanted.rows == 0;
        self.more_copies &= wanted.copies == 0;
        let held_too = now >= self.held_next;
        if held_too {
            self.held_next = now + LOOK_AT_HELD_EVERY;
        }
        held_too
    }

    /// It has ended. That copies came is no sign of other work: more of them are asked for when these have left, or there is room for
    /// others.
    pub(super) fn ended(&mut self, found: &Found, now: Instant) {
        self.under_way = None;
        self.more_mail |= found.more_mail;
        self.more_copies |= found.more_copies;
        self.copies_next = now + PAUSE_MIN;
        if self.again {
            return self.at_once(now);
        }
        let found_some = found.rows.iter().any(|row| row.class != QueueClass::ListCopy);
        self.pause = if found_some { PAUSE_MIN } else { (self.pause * 2).min(PAUSE_MAX) };
        self.next = now + self.pause;
    }
}
