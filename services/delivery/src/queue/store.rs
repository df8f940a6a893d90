//! The queue in Postgres. Times are the database's own `now()`: the clocks of replicas may differ.
//!
//! States of a row: 1 waits, 2 leased to a replica until `lease_until`, 3 held. A row leaves the table only when its
//! message was taken by a host, was bounced, or was removed by an operator.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use postern_mail::{EmailAddress, MessageId};
use postern_smtp::dsn::{MessageDsn, Notify, RecipientDsn, ReturnContent};
use sqlx::{PgPool, Row as _, postgres::PgRow};
use uuid::Uuid;

use super::{LeasedRow, QueuedMessage, lanes::Lane, leases::Ticket, overdue::Walk, turns::Cursors};
use crate::{
    accept::{MessageFlags, QueueClass, StoredContent, return_code},
    outbound::Destination,
    store::{OwnConnection, PgQuery, begin_unhurried, in_time},
    trace::TraceState,
};

/// Life of a lease, seconds; renewed while the work goes on.
pub(super) const LEASE_SECONDS: f64 = 60.0;
/// Rows that one statement frees.
const REAP_MAX: i64 = 1000;

/// A row that is done with, and what its story says at the end.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) id: i64,
    /// `None`: it has no end of its own in the story (an errand).
    pub(crate) state: Option<TraceState>,
    /// The last word: host and reply, or why not.
    pub(crate) outcome: String,
    /// Whether it is one of a list's many copies.
    pub(crate) is_copy: bool,
}

impl Ended {
    /// Done with, and nothing is to be said.
    pub(crate) fn quietly(id: i64) -> Self {
        Self { id, state: None, outcome: String::new(), is_copy: false }
    }
}

/// What a worker writes about a row that is to be tried again.
#[derive(Clone, Debug)]
pub(super) struct Deferral {
    pub(super) id: i64,
    pub(super) pause: Duration,
    pub(super) outcome: String,
}

/// How many rows a poll may take.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// To the outside in all.
    pub(super) rows: usize,
    /// Copies of lists among them.
    pub(super) copies: usize,
    /// Posts to lists.
    pub(super) posts: usize,
    /// Other errands.
    pub(super) errands: usize,
    /// So many at most to each of these, 0: none.
    pub(super) domains: Vec<(String, usize)>,
    /// The same of copies of lists.
    pub(super) copies_domains: Vec<(String, usize)>,
    /// So many to any other.
    pub(super) of_each_domain: usize,
    /// No mail of these.
    pub(super) busy_customers: Vec<String>,
    /// No copies of lists of these.
    pub(super) busy_with_copies: Vec<String>,
    /// No posts of these.
    pub(super) posting_customers: Vec<String>,
}

impl Wanted {
    /// How many rows there were to be for this lane.
    pub(super) fn room_of(&self, lane: &Lane) -> usize {
        let of = |rooms: &[(String, usize)], to: &Destination| {
            let Destination::Domain(domain) = to else { return usize::MAX };
            let room = rooms.iter().find(|(name, _)| name == domain.as_str());
            room.map_or(self.of_each_domain, |(_, room)| *room)
        };
        match lane {
            Lane::Mail(to) => of(&self.domains, to),
            Lane::Copies(to) => of(&self.copies_domains, to),
            Lane::Post => self.posts,
            Lane::Errand => self.errands,
            Lane::Ending => usize::MAX,
        }
    }
}

/// A row that was not worked on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unworked {
    pub(super) id: i64,
    /// Nobody need look at it for so long; 0: it is as due as it was.
    pub(super) pause: Duration,
}

/// The queue of this replica.
#[derive(Clone, Debug)]
pub struct QueueStore {
    pool: PgPool,
    replica: Uuid,
    lifetime_seconds: f64,
    /// Age at which the sender is told that it takes long.
    delay_notice_seconds: Option<f64>,
    pub(super) cursors: Arc<Cursors>,
    pub(super) walk: Arc<Walk>,
}

impl QueueStore {
    /// The queue as the workers of `replica` see it; rows older than `lifetime` are given up.
    #[must_use]
    pub fn new(pool: PgPool, replica: Uuid, lifetime: Duration) -> Self {
        Self {
            pool,
            replica,
            lifetime_seconds: lifetime.as_secs_f64(),
            delay_notice_seconds: None,
            cursors: Arc::default(),
            walk: Arc::default(),
        }
    }

    /// The same, where the sender of a row that is older than `age` is told once that it takes long.
    #[must_use]
    pub fn telling_delays(self, age: Option<Duration>) -> Self {
        Self { delay_notice_seconds: age.map(|age| age.as_secs_f64()), ..self }
    }

    /// Of a row called `q`; $2 is its lifetime.
    pub(super) fn leased_columns(&self) -> String {
        let delay_due = self.delay_notice_seconds.map_or_else(
            || "false".to_owned(),
            |age| {
                format!(
                    "q.delay_notice_time IS NULL AND q.create_time + make_interval(secs => {age}) <= now()"
                )
            },
        );
        format!(
            "q.id, q.message_id, q.recipient, q.via, q.attempts, q.last_outcome, q.class, q.subject_id, q.note, \
             q.customer, q.notify, q.original_recipient, {delay_due} AS delay_due, \
             q.create_time + make_interval(secs => $2) <= now() AS expired"
        )
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Who holds the leases of this replica.
    pub(crate) fn replica(&self) -> Uuid {
        self.replica
    }

    /// How long a row is tried.
    pub(super) fn lifetime(&self) -> Duration {
        Duration::from_secs_f64(self.lifetime_seconds)
    }

    pub(super) fn lifetime_seconds(&self) -> f64 {
        self.lifetime_seconds
    }

    pub(super) fn delay_notice_seconds(&self) -> Option<f64> {
        self.delay_notice_seconds
    }

    /// Leases rows that are due: mail (but none of who is busy) and errands, no copies of lists.
    pub(super) async fn take_due(&self, wanted: &Wanted) -> Result<Vec<LeasedRow>, sqlx::Error> {
        let mut taken = if wanted.rows > 0 { self.take_due_mail(wanted).await? } else { Vec::new() };
        taken.extend(self.take_due_errands(wanted).await?);
        Ok(taken)
    }

    /// Frees the rows of workers that died, so that they are due at once; those that were to be ended are held.
    pub(super) async fn reap(&self) -> Result<u64, sqlx::Error> {
        let done = sqlx::query(
            "WITH dead AS MATERIALIZED (
                SELECT id FROM queue WHERE state = 2 AND lease_until < now() LIMIT $1 FOR UPDATE SKIP LOCKED)
            UPDATE queue q SET state = CASE WHEN q.ends_only THEN 3 ELSE 1 END, ends_only = false,
                lease_owner = NULL, lease_until = NULL, next_attempt_time = now()
            FROM dead WHERE q.id = dead.id",
        )
        .bind(REAP_MAX)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }

    /// Leases held rows whose time is over: holding stops attempts, not the five days.
    pub(super) async fn take_expired_held(&self) -> Result<Vec<LeasedRow>, sqlx::Error> {
        let statement = format!(
            "WITH old AS MATERIALIZED (
                SELECT id FROM queue WHERE state = 3 AND create_time + make_interval(secs => $2) <= now()
                LIMIT $4 FOR UPDATE SKIP LOCKED)
            UPDATE queue q SET state = 2, ends_only = true, lease_owner = $1,
                lease_until = now() + make_interval(secs => $3)
            FROM old WHERE q.id = old.id RETURNING {}, true AS held",
            self.leased_columns()
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(self.replica)
            .bind(self.lifetime_seconds)
            .bind(LEASE_SECONDS)
            .bind(REAP_MAX)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.iter().filter_map(leased_row).collect())
    }

    /// Leases rows whatever their state, for an operator who removes them. From then on they do not leave, whatever comes between.
    pub(crate) async fn seize(&self, ids: &[i64]) -> Result<Vec<LeasedRow>, sqlx::Error> {
        self.lease_to_end(ids, "ends_only = true,", "true").await
    }

    /// Leases those of these rows for which `condition` holds, to be ended and not tried. `set`: what else is set of them.
    pub(super) async fn lease_to_end(
        &self,
        ids: &[i64],
        set: &'static str,
        condition: &'static str,
    ) -> Result<Vec<LeasedRow>, sqlx::Error> {
        let statement = format!(
            "UPDATE queue q SET state = 2, {set} lease_owner = $1, lease_until = now() + make_interval(secs => $3)
            WHERE q.id = ANY($4) AND {condition} RETURNING {}, true AS held",
            self.leased_columns()
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(self.replica)
            .bind(self.lifetime_seconds)
            .bind(LEASE_SECONDS)
            .bind(ids)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.iter().filter_map(leased_row).collect())
    }

    /// Renews leases; gives those that are still ours.
    pub(super) async fn renew(&self, ids: &[i64]) -> Result<Vec<i64>, sqlx::Error> {
        sqlx::query_scalar(
            "UPDATE queue SET lease_until = now() + make_interval(secs => $3)
            WHERE id = ANY($2) AND state = 2 AND lease_owner = $1 RETURNING id",
        )
        .bind(self.replica)
        .bind(ids)
        .bind(LEASE_SECONDS)
        .fetch_all(&self.pool)
        .await
    }

    /// Those of these rows that are ours for another half minute at least; leases that would end before are renewed.
    pub(super) async fn confirm(&self, ids: &[i64]) -> Result<Vec<i64>, sqlx::Error> {
        sqlx::query_scalar(
            "WITH ours AS MATERIALIZED (
                SELECT id, lease_until >= now() + make_interval(secs => $3 / 2) AS is_fresh FROM queue
                WHERE id = ANY($2) AND state = 2 AND lease_owner = $1 AND lease_until > now()),
            renewed AS (
                UPDATE queue q SET lease_until = now() + make_interval(secs => $3) FROM ours o
                WHERE q.id = o.id AND NOT o.is_fresh AND q.state = 2 AND q.lease_owner = $1 RETURNING q.id)
            SELECT id FROM ours WHERE is_fresh UNION ALL SELECT id FROM renewed",
        )
        .bind(self.replica)
        .bind(ids)
        .bind(LEASE_SECONDS)
        .fetch_all(&self.pool)
        .await
    }

    /// Gives rows back that were not worked on. They keep their place among those that are due.
    pub(super) async fn give_back(&self, rows: &[Unworked]) -> Result<(), sqlx::Error> {
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let pauses: Vec<f64> = rows.iter().map(|row| row.pause.as_secs_f64()).collect();
        // One that is forgotten is due again when its lease ends.
        let mut transaction = begin_unhurried(&self.pool).await?;
        sqlx::query(
            "UPDATE queue q SET state = CASE WHEN q.ends_only THEN 3 ELSE 1 END, ends_only = false,
                lease_owner = NULL, lease_until = NULL,
                next_attempt_time = CASE WHEN r.pause > 0 THEN now() + make_interval(secs => r.pause)
                    ELSE q.next_attempt_time END
            FROM unnest($2::bigint[], $3::double precision[]) AS r (id, pause)
            WHERE q.id = r.id AND q.state = 2 AND q.lease_owner = $1",
        )
        .bind(self.replica)
        .bind(ids)
        .bind(pauses)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await
    }

    /// Ends rows: their messages are done with as far as these recipients go. Whoever did it before did it for all.
    pub(crate) async fn finish(&self, ended: &[Ended]) -> Result<(), sqlx::Error> {
        if ended.is_empty() {
            return Ok(());
        }
        finishing(ended).execute(&self.pool).await.map(drop)
    }

    /// The same by the connection of who does nothing else. `unhurried` for copies of lists: ten thousand of them, each beside others'
    /// mail at the disk. A crash of the database may send a member the last copy twice.
    pub(super) async fn finish_by(
        &self,
        connection: &mut OwnConnection,
        ended: &[Ended],
    ) -> Result<(), sqlx::Error> {
        if ended.is_empty() {
            return Ok(());
        }
        connection.execute(finishing(ended)).await
    }

    /// A connection for the ends of rows.
    pub(super) fn hurried(&self) -> OwnConnection {
        OwnConnection::beside(&self.pool)
    }

    /// A connection for what waits for no disk.
    pub(super) fn unhurried(&self) -> OwnConnection {
        OwnConnection::unhurried_beside(&self.pool)
    }

    /// Those of these rows whose sender was not told yet that it takes long; from now on it was.
    pub(super) async fn claim_delay_notices(&self, ids: &[i64]) -> Result<Vec<i64>, sqlx::Error> {
        let statement = sqlx::query_scalar(
            "UPDATE queue SET delay_notice_time = now() WHERE id = ANY($1) AND delay_notice_time IS NULL
            RETURNING id",
        );
        in_time(statement.bind(ids).fetch_all(&self.pool)).await
    }

    /// Writes down attempts that failed for now. One that is forgotten is made again when its lease ends.
    pub(super) async fn defer(
        &self,
        unhurried: &mut OwnConnection,
        deferrals: &[Deferral],
    ) -> Result<(), sqlx::Error> {
        let ids: Vec<i64> = deferrals.iter().map(|d| d.id).collect();
        let pauses: Vec<f64> = deferrals.iter().map(|d| d.pause.as_secs_f64()).collect();
        let outcomes: Vec<&str> = deferrals.iter().map(|d| d.outcome.as_str()).collect();
        // An operator may have held it meanwhile: then only the outcome is noted.
        let statement = sqlx::query(
            "WITH deferred AS (
                UPDATE queue q SET attempts = q.attempts + 1, last_outcome = d.outcome,
                    next_attempt_time = now() + make_interval(secs => d.pause),
                    state = CASE WHEN q.state = 2 AND NOT q.ends_only THEN 1 ELSE 3 END, ends_only = false,
                    lease_owner = NULL, lease_until = NULL
                FROM unnest($2::bigint[], $3::double precision[], $4::text[]) AS d(id, pause, outcome)
                WHERE q.id = d.id AND q.id = ANY($2) AND ((q.state = 2 AND q.lease_owner = $1) OR q.state = 3)
                RETURNING q.message_id, q.recipient, d.outcome)
            INSERT INTO trace_attempts (message_id, recipient, outcome)
            SELECT message_id, recipient, outcome FROM deferred",
        )
        .bind(self.replica)
        .bind(ids)
        .bind(pauses)
        .bind(outcomes);
        unhurried.execute(statement).await
    }

    /// Reads a message that is to leave; `None` when it is not there.
    pub(crate) async fn message(&self, id: MessageId) -> Result<Option<QueuedMessage>, sqlx::Error> {
        let row = sqlx::query(
            "SELECT sender, prefix, flags, customer, content_bytes, checksum, content, blob_key, envelope_id, return_content, traceparent,
                (extract(epoch FROM accept_time) * 1000)::bigint AS accept_millis
            FROM messages WHERE id = $1",
        )
        .bind(id.as_uuid())
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| queued_message(id, &row)).transpose()
    }
}

fn finishing(ended: &[Ended]) -> PgQuery<'static> {
    let ids: Vec<i64> = ended.iter().map(|ended| ended.id).collect();
    let states: Vec<Option<i16>> = ended.iter().map(|ended| ended.state.map(TraceState::code)).collect();
    let outcomes: Vec<&str> = ended.iter().map(|ended| ended.outcome.as_str()).collect();
    // Messages are locked in one order, so that two replicas cannot stand in each other's way. A large content's
    // blob has no owner afterwards; the sweep takes it.
    sqlx::query(
        "WITH gone AS (
            DELETE FROM queue q USING unnest($1::bigint[], $2::smallint[], $3::text[]) AS e (id, state, outcome)
            WHERE q.id = e.id AND q.id = ANY($1)
            RETURNING q.message_id, q.recipient, e.state, e.outcome),
        told AS (
            UPDATE trace t SET state = g.state, outcome = g.outcome, outcome_time = now() FROM gone g
            WHERE g.state IS NOT NULL AND t.message_id = g.message_id AND t.recipient = g.recipient),
        counted AS (SELECT message_id, count(*)::integer AS ended FROM gone GROUP BY message_id),
        held AS MATERIALIZED (
            SELECT m.id, m.references_count, c.ended FROM messages m JOIN counted c ON c.message_id = m.id
            ORDER BY m.id FOR UPDATE OF m),
        lowered AS (
            UPDATE messages m SET references_count = m.references_count - h.ended
            FROM held h WHERE m.id = h.id AND h.references_count > h.ended)
        DELETE FROM messages m USING held h WHERE m.id = h.id AND h.references_count <= h.ended",
    )
    .bind(ids)
    .bind(states)
    .bind(outcomes)
}

pub(super) fn leased_row(row: &PgRow) -> Option<LeasedRow> {
    match try_leased_row(row) {
        Ok(row) => Some(row),
        Err(error) => {
            // Its lease runs out; an operator sees it in the list.
            tracing::error!(%error, "a queue row cannot be understood");
            None
        }
    }
}

fn try_leased_row(row: &PgRow) -> Result<LeasedRow, sqlx::Error> {
    let recipient: String = row.try_get("recipient")?;
    let via: Option<String> = row.try_get("via")?;
    let message_id: Uuid = row.try_get("message_id")?;
    Ok(LeasedRow {
        id: row.try_get("id")?,
        ticket: Ticket::default(),
        message_id: message_id.try_into().map_err(decode)?,
        recipient: parsed(&recipient)?,
        via: via.as_deref().map(parsed).transpose()?,
        class: QueueClass::from_code(row.try_get("class")?).ok_or_else(|| decode("an unknown class"))?,
        subject_id: row.try_get("subject_id")?,
        note: row.try_get("note")?,
        attempts: row.try_get::<i32, _>("attempts")?.try_into().unwrap_or_default(),
        expired: row.try_get("expired")?,
        held: row.try_get("held")?,
        customer: row.try_get("customer")?,
        dsn: RecipientDsn {
            notify: row
                .try_get::<Option<i16>, _>("notify")?
                .and_then(|bits| Notify::from_bits(u8::try_from(bits).ok()?)),
            original_recipient: row.try_get("original_recipient")?,
        },
        delay_due: row.try_get("delay_due")?,
        last_outcome: row.try_get("last_outcome")?,
        message: None,
    })
}

fn queued_message(id: MessageId, row: &PgRow) -> Result<QueuedMessage, sqlx::Error> {
    let sender: String = row.try_get("sender")?;
    let content: Option<Vec<u8>> = row.try_get("content")?;
    let blob_key: Option<String> = row.try_get("blob_key")?;
    let content = match (content, blob_key) {
        (Some(content), _) => StoredContent::Inline(Bytes::from(content)),
        (None, Some(key)) => StoredContent::Blob { key },
        (None, None) => return Err(decode("a message without content")),
    };
    let millis: i64 = row.try_get("accept_millis")?;
    Ok(QueuedMessage {
        id,
        sender: sender.parse().map_err(decode)?,
        prefix: Bytes::from(row.try_get::<Vec<u8>, _>("prefix")?),
        content,
        content_bytes: row.try_get::<i64, _>("content_bytes")?.try_into().unwrap_or_default(),
        checksum: row.try_get::<i32, _>("checksum")?.cast_unsigned(),
        flags: MessageFlags::from_bits(row.try_get("flags")?),
        accept_time: Timestamp::from_millisecond(millis).map_err(decode)?,
        dsn: MessageDsn {
            return_content: match row.try_get::<Option<i16>, _>("return_content")? {
                Some(code) if code == return_code(ReturnContent::Full) => Some(ReturnContent::Full),
                Some(_) => Some(ReturnContent::Headers),
                None => None,
            },
            envelope_id: row.try_get("envelope_id")?,
        },
        customer: row.try_get("customer")?,
        traceparent: row.try_get("traceparent")?,
    })
}

fn parsed(text: &str) -> Result<EmailAddress, sqlx::Error> {
    text.parse().map_err(decode)
}

fn decode(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}
