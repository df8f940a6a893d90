//! How members' copies fare, told to account in batches: which were taken by a host, which came back for good. Never waited for;
//! what is lost with this process costs a count.

use std::{collections::HashMap, time::Duration};

use postern_mail::EmailAddress;
use postern_mesh::shutdown::Shutdown;
use postern_proto::account::v1::ReportListCopiesRequest;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout_at},
};

use super::{
    ListDirectory,
    probe::Probes,
    senders::{PROBE_TAG, probe_of},
};
use crate::{accept::QueueClass, queue::LeasedRow};

/// Fates that wait to be told.
const WAITING_MAX: usize = 10_000;
/// Of one list, in one call.
const TOLD_MAX: usize = 500;
/// So long fates are gathered.
const GATHER_FOR: Duration = Duration::from_secs(1);
/// Attempts to tell, with a pause.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(2);

/// What became of a member's copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Delivered(String),
    /// By address, or by `h` and digits.
    Bounced(String),
    /// By the probe's token.
    ProbeBounced(String),
}

/// Where fates are told. Clones are the same place.
#[derive(Clone, Debug)]
pub(crate) struct CopyFates(mpsc::Sender<(i64, Fate)>);

impl CopyFates {
    /// The place, and what waits there for [`tell`].
    pub(crate) fn new() -> (Self, mpsc::Receiver<(i64, Fate)>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self(sender), receiver)
    }

    /// A row of the queue has ended; of other rows than copies nothing is told.
    pub(crate) fn of_row(&self, row: &LeasedRow, delivered: bool) {
        let Some(list_id) = row.subject_id.filter(|_| row.class == QueueClass::ListCopy) else { return };
        let member = || {
            let noted = row.note.as_deref().and_then(|note| note.parse::<EmailAddress>().ok());
            noted.unwrap_or_else(|| row.recipient.clone()).to_string()
        };
        let fate = match (probe_of(row.note.as_deref()), delivered) {
            (Some(_), true) => return,
            (Some(token), false) => Fate::ProbeBounced(token.to_owned()),
            (None, true) => Fate::Delivered(member()),
            (None, false) => Fate::Bounced(member()),
        };
        self.put(list_id, fate);
    }

    /// A report came back to `<list>-bounces+<tag>`.
    pub(crate) fn of_report(&self, list_id: i64, tag: &str) {
        let lower = tag.to_ascii_lowercase();
        let fate = match lower.strip_prefix(PROBE_TAG) {
            Some(token) if !token.contains('=') => Fate::ProbeBounced(token.to_owned()),
            _ => match tag.rsplit_once('=') {
                Some((local, domain)) => Fate::Bounced(format!("{local}@{domain}")),
                None => Fate::Bounced(lower),
            },
        };
        self.put(list_id, fate);
    }

    fn put(&self, list_id: i64, fate: Fate) {
        if self.0.try_send((list_id, fate)).is_err() {
            metrics::counter!("postern_list_fates_lost_total").increment(1);
        }
    }
}

/// Tells account what waits, until shutdown.
pub(crate) async fn tell(
    mut waiting: mpsc::Receiver<(i64, Fate)>,
    lists: ListDirectory,
    probes: Probes,
    shutdown: Shutdown,
) {
    loop {
        let first = tokio::select! {
            first = waiting.recv() => first,
            () = shutdown.triggered() => None,
        };
        let Some((list_id, fate)) = first else { return };
        let mut reports: HashMap<i64, ReportListCopiesRequest> = HashMap::new();
        let mut count = 1;
        add(&mut reports, list_id, fate);
        let until = Instant::now() + GATHER_FOR;
        while count < TOLD_MAX
            && let Ok(Some((list_id, fate))) = timeout_at(until, waiting.recv()).await
        {
            add(&mut reports, list_id, fate);
            count += 1;
        }
        for report in reports.into_values() {
            tell_one(&lists, &probes, report).await;
        }
    }
}

fn add(reports: &mut HashMap<i64, ReportListCopiesRequest>, list_id: i64, fate: Fate) {
    let report = reports
        .entry(list_id)
        .or_insert_with(|| ReportListCopiesRequest { list_id, ..ReportListCopiesRequest::default() });
    match fate {
        Fate::Delivered(member) => report.delivered.push(member),
        Fate::Bounced(member) => report.bounced.push(member),
        Fate::ProbeBounced(token) => report.bounced_probes.push(token),
    }
}

async fn tell_one(lists: &ListDirectory, probes: &Probes, report: ReportListCopiesRequest) {
    for attempt in 1..=ATTEMPTS {
        match lists.account.clone().report_list_copies(report.clone()).await {
            Ok(answer) => {
                for probe in answer.into_inner().probes {
                    probes.send(report.list_id, &probe).await;
                }
                return;
            }
            Err(status) if attempt == ATTEMPTS => {
                tracing::warn!(
                    list_id = report.list_id,
                    error = status.message(),
                    "how copies of a list fared is not counted"
                );
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn l_05_who_is_meant_by_a_report() {
        let (fates, mut waiting) = CopyFates::new();
        for (tag, fate) in [
            ("anna=home.test", Fate::Bounced("anna@home.test".to_owned())),
            ("anna+a=b=home.test", Fate::Bounced("anna+a=b@home.test".to_owned())),
            ("h0123abcdef", Fate::Bounced("h0123abcdef".to_owned())),
            ("probe-abcd", Fate::ProbeBounced("abcd".to_owned())),
            ("probe-x=home.test", Fate::Bounced("probe-x@home.test".to_owned())),
        ] {
            fates.of_report(7, tag);
            assert_eq!(waiting.recv().await, Some((7, fate)), "{tag}");
        }
    }
}
