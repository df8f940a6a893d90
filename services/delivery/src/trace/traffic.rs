//! How much comes in and goes out in each hour, by customer and domain: summed up in memory by the accept path and added
//! to the table every few seconds. A crash loses what was not added yet.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;

use crate::{
    accept::AcceptUnit,
    store::{Store, begin_unhurried, in_time},
};

use super::TraceState;

const HOUR_SECONDS: i64 = 3600;

/// In the order of the key, as every replica does it: two of them cannot stand in each other's way.
const ADD: &str = "
INSERT INTO traffic AS t (customer, domain, hour, received_count, received_bytes, sent_count, sent_bytes)
SELECT n.customer, n.domain, to_timestamp(n.hour), n.received_count, n.received_bytes, n.sent_count, n.sent_bytes
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
    AS n (customer, domain, hour, received_count, received_bytes, sent_count, sent_bytes)
ORDER BY n.customer, n.domain, n.hour
ON CONFLICT (customer, domain, hour) DO UPDATE SET received_count = t.received_count + excluded.received_count,
    received_bytes = t.received_bytes + excluded.received_bytes, sent_count = t.sent_count + excluded.sent_count,
    sent_bytes = t.sent_bytes + excluded.sent_bytes";

/// Customer, domain, and the hour's begin in seconds of the Unix epoch.
type Place = (String, String, i64);

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    received: (i64, i64),
    sent: (i64, i64),
}

/// Sums that are not added yet. Clones are the same ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traffic(Arc<Mutex<BTreeMap<Place, Sum>>>);

impl Traffic {
    /// Counts what was just committed.
    pub(crate) fn count<'a>(&self, units: impl IntoIterator<Item = &'a AcceptUnit>) {
        let now = Timestamp::now().as_second();
        let hour = now - now.rem_euclid(HOUR_SECONDS);
        // Sums are whole whatever their holder did.
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for unit in units {
            let message = &unit.message;
            let bytes = message.content_bytes.cast_signed();
            let lines = unit.story.lines.iter().filter(|line| line.state != TraceState::PassedOn);
            for line in lines {
                let ours = line.via.as_deref().unwrap_or(&line.recipient);
                if let (Some(customer), Some(domain)) = (&line.customer, domain_of(ours)) {
                    let sum = sums.entry((customer.clone(), domain, hour)).or_default();
                    sum.received = (sum.received.0 + 1, sum.received.1 + bytes);
                }
                let sender = message.login.as_deref().and_then(domain_of);
                let sender = sender.or_else(|| Some(message.sender.address()?.domain().to_string()));
                if let (Some(customer), Some(domain)) = (&message.customer, sender) {
                    let sum = sums.entry((customer.clone(), domain, hour)).or_default();
                    sum.sent = (sum.sent.0 + 1, sum.sent.1 + bytes);
                }
            }
        }
    }

    /// Adds everything that waits; what fails waits on.
    pub(super) async fn write(&self, store: &Store) -> Result<(), sqlx::Error> {
        let taken = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if taken.is_empty() {
            return Ok(());
        }
        let outcome = in_time(add(store, &taken)).await;
        if outcome.is_err() {
            let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for (place, old) in taken {
                let sum = sums.entry(place).or_default();
                sum.received = (sum.received.0 + old.received.0, sum.received.1 + old.received.1);
                sum.sent = (sum.sent.0 + old.sent.0, sum.sent.1 + old.sent.1);
            }
        }
        outcome
    }
}

async fn add(store: &Store, sums: &BTreeMap<Place, Sum>) -> Result<(), sqlx::Error> {
    let (mut customers, mut domains, mut hours) = (Vec::new(), Vec::new(), Vec::new());
    let mut numbers: [Vec<i64>; 4] = Default::default();
    for ((customer, domain, hour), sum) in sums {
        customers.push(customer.as_str());
        domains.push(domain.as_str());
        hours.push(*hour);
        for (column, number) in
            numbers.iter_mut().zip([sum.received.0, sum.received.1, sum.sent.0, sum.sent.1])
        {
            column.push(number);
        }
    }
    let mut transaction = begin_unhurried(store.pool()).await?;
    let mut query = sqlx::query(ADD).bind(customers).bind(domains).bind(hours);
    for column in numbers {
        query = query.bind(column);
    }
    query.execute(&mut *transaction).await?;
    transaction.commit().await
}

fn domain_of(address: &str) -> Option<String> {
    Some(address.rsplit_once('@')?.1.to_ascii_lowercase())
}
