//! How many files come in at once: so many in all, of one customer, and of one person, so that whoever sends slowly keeps nobody
//! else's out.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use postern_mesh::identity::Caller;

/// Files at once: each has a thread and about half a megabyte.
const ALL_MAX: usize = 16;
const OF_CUSTOMER_MAX: usize = 6;
const OF_PERSON_MAX: usize = 2;

/// Who is counted: everybody, a customer with all its mailbox users, a person.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Whose {
    All,
    Customer(String),
    Person(String),
}

/// Counts files that are coming in. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(Arc<Mutex<HashMap<Whose, usize>>>);

/// The place of one file; free again when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    places: Places,
    whose: Vec<Whose>,
}

/// Why there is none. All of it is over after a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Busy {
    /// With files of others.
    All,
    /// With files of the same customer.
    Customer,
    /// With files of the same person.
    Person,
}

impl Places {
    /// A place for one more file.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn take(&self, caller: &Caller) -> Result<Turn, Busy> {
        let mut bounds = vec![
            (Whose::Person(caller.subject.clone()), OF_PERSON_MAX, Busy::Person),
            (Whose::All, ALL_MAX, Busy::All),
        ];
        // Staff act for nobody.
        if !caller.customer.is_empty() {
            bounds.push((Whose::Customer(caller.customer.clone()), OF_CUSTOMER_MAX, Busy::Customer));
        }
        let mut counts = self.counts();
        let full =
            bounds.iter().find(|(whose, most, _)| counts.get(whose).is_some_and(|count| count >= most));
        if let Some((_, _, busy)) = full {
            return Err(*busy);
        }
        let whose: Vec<_> = bounds.into_iter().map(|(whose, ..)| whose).collect();
        for whose in &whose {
            *counts.entry(whose.clone()).or_default() += 1;
        }
        Ok(Turn { places: self.clone(), whose })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Whose, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut counts = self.places.counts();
        for whose in &self.whose {
            if let Some(count) = counts.get_mut(whose) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(whose);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_keeps_the_places_of_others() {
        let places = Places::default();
        let user = |customer: &str, n: usize| Caller {
            subject: format!("u{n}@{customer}.test"),
            ..Caller::customer(customer, customer)
        };
        let of = |customer: &str, n: usize| places.take(&user(customer, n));
        let one = [of("a", 1), of("a", 1)];
        assert_eq!(of("a", 1).err(), Some(Busy::Person));
        let two: Vec<_> = (2..6).map(|n| of("a", n)).collect();
        assert!(one.iter().chain(&two).all(Result::is_ok));
        assert_eq!(of("a", 9).err(), Some(Busy::Customer));
        let others: Vec<_> = (0..10).map(|n| of(if n < 5 { "b" } else { "c" }, n)).collect();
        assert!(others.iter().all(Result::is_ok));
        assert_eq!(of("d", 1).err(), Some(Busy::All));
        drop(one);
        assert!(of("d", 1).is_ok() && of("a", 1).is_ok());
        drop((two, others));
        assert!(places.counts().is_empty(), "nothing is remembered");
    }
}
