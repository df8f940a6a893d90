//! The snapshot of a box that a session works on, kept small: 12 octets for a message, one bit more once something is
//! marked deleted. Numbers never shift while the session lives (RFC 1939 section 5).

use std::{fmt, num::NonZeroU32};

use thiserror::Error;

/// Number of a message in this session, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MessageNumber(NonZeroU32);

impl MessageNumber {
    /// `None` for 0.
    #[must_use]
    pub(crate) fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// From 1.
    #[must_use]
    pub(crate) fn get(self) -> u32 {
        self.0.get()
    }

    fn index(self) -> usize {
        self.get() as usize - 1
    }
}

impl fmt::Display for MessageNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a number means no message now.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoMessage {
    /// Above the last number.
    #[error("there is no message of this number")]
    OutOfRange,
    /// Marked by DELE in this session.
    #[error("it is marked deleted in this session")]
    MarkedDeleted,
}

/// One message of the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Number in this session.
    pub(crate) number: MessageNumber,
    /// For ever.
    pub(crate) uid: u64,
    /// Octets as RETR sends them, without dot-stuffing (RFC 1939 section 11).
    pub(crate) size_bytes: u64,
}

/// What the store said is no snapshot.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("the snapshot of the box makes no sense")]
pub(crate) struct BadSnapshot;

/// Messages of a box as they were at login, and which of them are marked deleted.
#[derive(Debug, Default)]
pub(crate) struct Maildrop {
    uids: Vec<u64>,
    /// `u32::MAX` stands for "see `large`".
    sizes: Vec<u32>,
    /// Index and size of messages of 4 GiB and more, ascending.
    large: Vec<(u32, u64)>,
    total_bytes: u64,
    /// One bit for each message; empty until the first DELE.
    deleted: Vec<u64>,
    deleted_count: u32,
    deleted_bytes: u64,
}

impl Maildrop {
    /// Adds a packed chunk of the snapshot: uids as differences, and sizes.
    ///
    /// # Errors
    /// When lengths differ, uids do not ascend, or a sum overflows.
    pub(crate) fn extend(&mut self, uid_deltas: &[u64], sizes_bytes: &[u64]) -> Result<(), BadSnapshot> {
        if uid_deltas.len() != sizes_bytes.len() {
            return Err(BadSnapshot);
        }
        self.uids.reserve(uid_deltas.len());
        self.sizes.reserve(sizes_bytes.len());
        for (delta, size) in uid_deltas.iter().zip(sizes_bytes) {
            let uid = match self.uids.last() {
                Some(_) if *delta == 0 => return Err(BadSnapshot),
                last => last.copied().unwrap_or(0).checked_add(*delta).ok_or(BadSnapshot)?,
            };
            let index = u32::try_from(self.uids.len()).map_err(|_| BadSnapshot)?;
            self.total_bytes = self.total_bytes.checked_add(*size).ok_or(BadSnapshot)?;
            match u32::try_from(*size) {
                Ok(small) if small != u32::MAX => self.sizes.push(small),
                _ => {
                    self.sizes.push(u32::MAX);
                    self.large.push((index, *size));
                }
            }
            self.uids.push(uid);
        }
        Ok(())
    }

    /// The snapshot is complete: gives spare memory back.
    pub(crate) fn seal(&mut self) {
        self.uids.shrink_to_fit();
        self.sizes.shrink_to_fit();
        self.large.shrink_to_fit();
    }

    /// Messages that are not marked deleted (RFC 1939 section 5, STAT).
    #[must_use]
    pub(crate) fn count(&self) -> u32 {
        self.last_number() - self.deleted_count
    }

    /// Octets of those.
    #[must_use]
    pub(crate) fn total_bytes(&self) -> u64 {
        self.total_bytes - self.deleted_bytes
    }

    /// The highest number.
    #[must_use]
    pub(crate) fn last_number(&self) -> u32 {
        // `extend` refuses what does not fit.
        u32::try_from(self.uids.len()).unwrap_or(u32::MAX)
    }

    /// The message of this number, unless it is marked deleted.
    ///
    /// # Errors
    /// Out of range, or marked.
    pub(crate) fn message(&self, number: MessageNumber) -> Result<Message, NoMessage> {
        let uid = *self.uids.get(number.index()).ok_or(NoMessage::OutOfRange)?;
        if self.is_deleted(number.index()) {
            return Err(NoMessage::MarkedDeleted);
        }
        Ok(Message { number, uid, size_bytes: self.size(number.index()) })
    }

    /// Unmarked messages whose number is greater than `after`, in order.
    pub(crate) fn messages_after(&self, after: u32) -> impl Iterator<Item = Message> {
        (after..self.last_number())
            .filter_map(|index| MessageNumber::new(index + 1))
            .filter_map(|number| self.message(number).ok())
    }

    /// Marks a message deleted (RFC 1939 section 5, DELE).
    ///
    /// # Errors
    /// Out of range, or marked already.
    pub(crate) fn delete(&mut self, number: MessageNumber) -> Result<(), NoMessage> {
        let message = self.message(number)?;
        if self.deleted.is_empty() {
            self.deleted = vec![0; self.uids.len().div_ceil(64)];
        }
        if let Some(word) = self.deleted.get_mut(number.index() / 64) {
            *word |= 1 << (number.index() % 64);
            self.deleted_count += 1;
            self.deleted_bytes += message.size_bytes;
        }
        Ok(())
    }

    /// Takes all marks away (RFC 1939 section 5, RSET).
    pub(crate) fn reset(&mut self) {
        self.deleted = Vec::new();
        self.deleted_count = 0;
        self.deleted_bytes = 0;
    }

    /// Uids of what is marked deleted, ascending.
    #[must_use]
    pub(crate) fn deleted_uids(&self) -> Vec<u64> {
        if self.deleted_count == 0 {
            return Vec::new();
        }
        self.uids
            .iter()
            .enumerate()
            .filter(|(index, _)| self.is_deleted(*index))
            .map(|(_, uid)| *uid)
            .collect()
    }

    fn is_deleted(&self, index: usize) -> bool {
        self.deleted.get(index / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    fn size(&self, index: usize) -> u64 {
        match self.sizes.get(index) {
            Some(&u32::MAX) => {
                let found = self.large.binary_search_by_key(&index, |(at, _)| *at as usize);
                found.ok().and_then(|at| self.large.get(at)).map_or(0, |(_, size)| *size)
            }
            Some(small) => u64::from(*small),
            None => 0,
        }
    }
}

/// Unique id of a message over all sessions (RFC 1939 section 7): `<uid>.<generation>`, both in base 36, so 1 to 21
/// characters of `[0-9a-z.]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uidl {
    /// For ever.
    pub(crate) uid: u64,
    /// Raised when a backup was restored.
    pub(crate) generation: u32,
}

impl fmt::Display for Uidl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        base36(self.uid, f)?;
        f.write_str(".")?;
        base36(u64::from(self.generation), f)
    }
}

fn base36(mut value: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const DIGITS: [char; 36] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j',
        'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z',
    ];
    // 36^13 > 2^64.
    let mut text = ['0'; 13];
    let mut begin = text.len() - 1;
    for (at, slot) in text.iter_mut().enumerate().rev() {
        *slot = DIGITS[(value % 36) as usize];
        begin = at;
        value /= 36;
        if value == 0 {
            break;
        }
    }
    text[begin..].iter().try_for_each(|digit| write!(f, "{digit}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn number(n: u32) -> MessageNumber {
        MessageNumber::new(n).unwrap()
    }

    fn maildrop(sizes: &[u64]) -> Maildrop {
        let mut maildrop = Maildrop::default();
        maildrop.extend(&vec![3; sizes.len()], sizes).unwrap();
        maildrop.seal();
        maildrop
    }

    #[test]
    fn a_million_messages_take_at_most_16_octets_each() {
        let mut maildrop = Maildrop::default();
        for _ in 0..250 {
            maildrop.extend(&[7; 4000], &[1200; 4000]).unwrap();
        }
        maildrop.seal();
        maildrop.delete(number(1)).unwrap();
        let octets =
            maildrop.uids.capacity() * 8 + maildrop.sizes.capacity() * 4 + maildrop.deleted.capacity() * 8;
        assert!(octets <= 16_000_000, "{octets}");
        assert_eq!(maildrop.message(number(1_000_000)).unwrap().uid, 7_000_000);
    }

    #[test]
    fn sizes_of_4_gib_and_more_are_kept() {
        let sizes = [5, u64::from(u32::MAX) - 1, u64::from(u32::MAX), 1 << 40, 6];
        let maildrop = maildrop(&sizes);
        let kept: Vec<u64> = maildrop.messages_after(0).map(|m| m.size_bytes).collect();
        assert_eq!(kept, sizes);
        assert_eq!(maildrop.total_bytes(), sizes.iter().sum::<u64>());
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(Maildrop::default().extend(&[1, 2], &[1]), Err(BadSnapshot));
        assert_eq!(Maildrop::default().extend(&[1, 0], &[1, 1]), Err(BadSnapshot));
        assert_eq!(Maildrop::default().extend(&[1, u64::MAX], &[1, 1]), Err(BadSnapshot));
        assert_eq!(Maildrop::default().extend(&[1, 1], &[u64::MAX, 1]), Err(BadSnapshot));
    }

    #[test]
    fn p_68_a_uidl_is_1_to_70_visible_characters() {
        for (uid, generation, text) in
            [(0, 0, "0.0"), (35, 1, "z.1"), (36, 36, "10.10"), (u64::MAX, u32::MAX, "3w5e11264sgsf.1z141z3")]
        {
            assert_eq!(Uidl { uid, generation }.to_string(), text);
        }
    }

    proptest! {
        /// Against a plain model: STAT, LIST and what QUIT deletes always agree (I8).
        #[test]
        fn marks_agree_with_a_plain_set(
            sizes in prop::collection::vec(0u64..10_000, 0..200),
            actions in prop::collection::vec((0u8..10, 1u32..220), 0..300),
        ) {
            let mut maildrop = maildrop(&sizes);
            let mut model = BTreeSet::new();
            for (action, n) in actions {
                if action == 0 {
                    maildrop.reset();
                    model.clear();
                    continue;
                }
                let expected = n as usize <= sizes.len() && model.insert(n);
                if n as usize > sizes.len() { model.remove(&n); }
                prop_assert_eq!(maildrop.delete(number(n)).is_ok(), expected);
                let left: Vec<Message> = maildrop.messages_after(0).collect();
                prop_assert_eq!(left.len(), maildrop.count() as usize);
                prop_assert_eq!(left.iter().map(|m| m.size_bytes).sum::<u64>(), maildrop.total_bytes());
                prop_assert!(left.iter().all(|m| !model.contains(&m.number.get())));
                let uids: Vec<u64> = model.iter().map(|n| u64::from(*n) * 3).collect();
                prop_assert_eq!(maildrop.deleted_uids(), uids);
            }
        }
    }
}
