//! Answers that we give by ourselves: of autoresponders, and about a list's commands.
//!
//! The walk: an errand of the queue -> `automatic` (may it be answered at all?) -> `autoreply` or `lists` (what to say)
//! -> `letter` (the octets) -> here: routed like any mail, with the null sender, and committed together with the end of
//! the errand and the note of whom we answered. So one errand gives one answer, whenever this process dies.

mod automatic;
mod letter;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use postern_mail::{EmailAddress, ReversePath};
use postern_mesh::{directory::Directory, trace_context};
use postern_proto::delivery::v1::Submitter;
use postern_smtp::dsn::MessageDsn;
use sqlx::{PgConnection, Row as _};

use crate::{
    accept::{
        AcceptUnit, MessageFlags, NewMessage, NewQueueRow, QueueClass, StoredContent, hop_field, write_units,
    },
    content::plain_bytes_of,
    owners,
    queue::{ErrandOutcome, LeasedRow, QueueHandle, QueueStore, born},
    route,
    store::in_time,
    trace,
};

pub(crate) use automatic::answerable;
pub(crate) use letter::Letter;

/// Shortest pause between two answers to one address.
const PAUSE_MIN: Duration = Duration::from_secs(3600);
/// Answers about one subject in an hour.
const ANSWERS_PER_HOUR: i64 = 100;
/// Whom we answered is known for so long: longer than any interval.
const REMEMBERED_DAYS: i32 = 366;

/// What kind of answer it is, as `answers.kind` holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerKind {
    /// Of an autoresponder.
    Autoreply = 1,
    /// A word about a list's commands.
    ListWord = 2,
}

/// The right to answer somebody once in an interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) kind: AnswerKind,
    /// The autoresponder or list.
    pub(crate) subject_id: i64,
    /// Of its text.
    pub(crate) version: i64,
    pub(crate) interval: Duration,
}

/// What became of an answer.
enum Outcome {
    /// It is committed; ids of its queue rows.
    Given(Vec<i64>),
    /// The claim does not hold; nothing was written.
    TooSoon,
    /// The errand is in other hands by now; nothing was written.
    NotOurs,
}

/// Gives answers.
#[derive(Clone)]
pub(crate) struct Answers {
    pub(crate) store: QueueStore,
    pub(crate) directory: Directory,
    pub(crate) mail_host: Arc<str>,
}

impl Answers {
    /// Accepts an answer and ends the errand with it. Without a claim it is always given.
    pub(crate) async fn give(
        &self,
        row: &LeasedRow,
        letter: &Letter<'_>,
        customer: &str,
        claim: Option<Claim>,
        queue: &QueueHandle,
    ) -> ErrandOutcome {
        // It is our own mail: it may leave. What it would set off by itself (autoresponders, lists) it does not.
        let ourselves = Submitter::default();
        let to = std::slice::from_ref(letter.to);
        let plan = match route::plan(&self.directory, to, Some(&ourselves), &[]).await {
            Ok(plan) => plan,
            Err(status) => return ErrandOutcome::Deferred(status.message().to_owned()),
        };
        if plan.entries.is_empty() && plan.queue.is_empty() {
            return ErrandOutcome::Finished("the sender cannot be reached");
        }
        let mut unit = self.unit(row, letter, customer, plan);
        owners::name(&self.directory, &mut unit.queue).await;
        let routed = trace::Routed {
            recipients: to,
            entries: &unit.entries,
            queue: &unit.queue,
            ..trace::Routed::default()
        };
        unit.story = trace::begin(&self.directory, routed).await;
        match in_time(self.commit(&unit, letter.to, claim)).await {
            Ok(Outcome::Given(queue_ids)) => {
                metrics::counter!("postern_answers_total").increment(1);
                tracing::info!(queue_id = %row.message_id, answer = %unit.message.id, to = %letter.to, from = %letter.from, "answered");
                queue.offer(born(&unit.message, &unit.queue, &queue_ids));
                ErrandOutcome::Ended
            }
            Ok(Outcome::TooSoon) => ErrandOutcome::Finished("answered already, or answers too much"),
            Ok(Outcome::NotOurs) => ErrandOutcome::Stopped,
            // Whether it was committed or not: together with the end of the errand, or not at all.
            Err(error) => ErrandOutcome::Deferred(format!("the answer cannot be committed: {error}")),
        }
    }

    fn unit(&self, row: &LeasedRow, letter: &Letter<'_>, customer: &str, plan: route::Plan) -> AcceptUnit {
        let now = Timestamp::now();
        let built = letter.build(&self.mail_host, now);
        let prefix = hop_field(&self.mail_host, letter.id, now);
        let message = NewMessage {
            id: letter.id,
            // RFC 3834 section 3.3: nothing may come back for it.
            sender: ReversePath::Null,
            plain_bytes: plain_bytes_of(prefix.as_bytes(), &built.octets),
            prefix: Bytes::from(prefix),
            content_bytes: built.octets.len() as u64,
            checksum: crc32c::crc32c(&built.octets),
            content: StoredContent::Inline(Bytes::from(built.octets)),
            flags: MessageFlags { smtp_utf8: built.smtp_utf8, ..MessageFlags::default() },
            customer: Some(customer.to_owned()).filter(|customer| !customer.is_empty()),
            login: None,
            peer_ip: None,
            dsn: MessageDsn::default(),
            traceparent: trace_context::current(),
        };
        let leaving = |remote| NewQueueRow::leaving(remote, QueueClass::Bounce);
        AcceptUnit {
            message,
            entries: plan.entries,
            queue: plan.queue.into_iter().map(leaving).collect(),
            finished_queue_ids: vec![row.id],
            story: trace::Story::default(),
        }
    }

    async fn commit(
        &self,
        unit: &AcceptUnit,
        to: &EmailAddress,
        claim: Option<Claim>,
    ) -> Result<Outcome, sqlx::Error> {
        let mut transaction = self.store.pool().begin().await?;
        if let Some(claim) = claim
            && !take(&mut transaction, &claim, to).await?
        {
            return Ok(Outcome::TooSoon);
        }
        let committed = write_units(&mut transaction, &[unit], self.store.replica()).await?;
        let Some(committed) = committed.into_iter().next().filter(|committed| !committed.repeated) else {
            return Ok(Outcome::NotOurs);
        };
        transaction.commit().await?;
        Ok(Outcome::Given(committed.queue_ids))
    }
}

/// Notes that somebody is answered now; false when it is too soon, or too much.
async fn take(connection: &mut PgConnection, claim: &Claim, to: &EmailAddress) -> Result<bool, sqlx::Error> {
    // One at a time for each subject: the cap is exact. Two numbers make a key apart from all other locks.
    sqlx::query("SELECT pg_advisory_xact_lock($1, hashint8($2))")
        .bind(claim.kind as i32)
        .bind(claim.subject_id)
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "DELETE FROM answers WHERE kind = $1 AND subject_id = $2
            AND answer_time < now() - make_interval(days => $3)",
    )
    .bind(claim.kind as i16)
    .bind(claim.subject_id)
    .bind(REMEMBERED_DAYS)
    .execute(&mut *connection)
    .await?;
    let row = sqlx::query(
        "WITH recent AS (
            SELECT count(*) AS count FROM answers
            WHERE kind = $1 AND subject_id = $2 AND answer_time > now() - interval '1 hour'
        ), taken AS (
            INSERT INTO answers AS a (kind, subject_id, version, recipient)
            SELECT $1, $2, $3, $4 FROM recent WHERE recent.count < $6
            ON CONFLICT (kind, subject_id, version, recipient) DO UPDATE SET answer_time = now()
                WHERE a.answer_time <= now() - make_interval(secs => $5)
            RETURNING 1
        ) SELECT count(*) FROM taken",
    )
    .bind(claim.kind as i16)
    .bind(claim.subject_id)
    .bind(claim.version)
    .bind(to.canonical().to_string())
    .bind(claim.interval.max(PAUSE_MIN).as_secs_f64())
    .bind(ANSWERS_PER_HOUR)
    .fetch_one(connection)
    .await?;
    Ok(row.try_get::<i64, _>(0)? > 0)
}
