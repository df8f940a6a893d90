//! One batch as one SQL statement: an implicit transaction, prepared once for each connection.
//!
//! Rows are locked in one order everywhere (new messages by id, mailboxes by id, old messages by id), so that commits
//! and closes of boxes cannot stand in each other's way.

use std::collections::{HashMap, HashSet};

use postern_mail::MessageId;
use postern_smtp::dsn::ReturnContent;
use sqlx::{PgConnection, PgPool, Row as _};
use uuid::Uuid;

use super::{AcceptUnit, BIRTH_LEASE, Committed, Job, StoredContent, delivery_prefix};
use crate::content::plain_copy_bytes;

/// A macro, because both statements begin alike and sqlx takes literals only.
///
/// Whether a message was stored before is told by its story: the message itself may have left or been read meanwhile. The question
/// is put as "which is the next one?", because that is answered by the index whatever the table was when the statement was planned:
/// a plan that reads a table of two pages would be kept while it grows by a thousand lines a second.
macro_rules! insert_sql {
    ($begin:literal, $unless:literal, $finish:literal) => {
        concat!(
            "WITH ",
            $begin,
            "new_messages AS (
                INSERT INTO messages (id, sender, prefix, content, blob_key, content_bytes, checksum,
                    references_count, flags, customer, login, peer_ip, envelope_id, return_content, traceparent)
                SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::bytea[], $5::text[], $6::bigint[],
                    $7::int[], $8::int[], $9::smallint[], $10::text[], $11::text[], $12::text[], $27::text[],
                    $28::smallint[], $39::text[]) AS m (id)
                WHERE (SELECT t.message_id FROM trace t WHERE t.message_id >= m.id
                    ORDER BY t.message_id LIMIT 1) IS DISTINCT FROM m.id ",
            $unless,
            " ORDER BY id
                ON CONFLICT (id) DO NOTHING
                RETURNING id, sender, customer, login, peer_ip,
                    content_bytes + octet_length(prefix) AS size_bytes
            ), new_entries AS (
                INSERT INTO entries (mailbox_id, size_bytes, message_id, prefix, plain_size_bytes)
                SELECT e.mailbox_id, e.size_bytes, e.message_id, e.prefix, e.plain_size_bytes
                FROM unnest($13::bigint[], $14::bigint[], $15::uuid[], $16::bytea[], $40::bigint[])
                    WITH ORDINALITY AS e (mailbox_id, size_bytes, message_id, prefix, plain_size_bytes, position)
                JOIN new_messages n ON n.id = e.message_id
                ORDER BY e.position
                RETURNING mailbox_id, size_bytes
            ), usage AS (
                INSERT INTO mailboxes AS m (mailbox_id, used_bytes, message_count)
                SELECT mailbox_id, sum(size_bytes)::bigint, count(*) FROM new_entries
                GROUP BY mailbox_id ORDER BY mailbox_id
                ON CONFLICT (mailbox_id) DO UPDATE SET used_bytes = m.used_bytes + excluded.used_bytes,
                    message_count = m.message_count + excluded.message_count,
                    usage_version = m.usage_version + 1
                RETURNING 1
            ), new_queue AS (
                INSERT INTO queue (message_id, recipient, recipient_domain, via, class, customer, subject_id,
                    note, notify, original_recipient, state, lease_owner, lease_until)
                SELECT q.message_id, q.recipient, q.recipient_domain, q.via, q.class, q.customer, q.subject_id,
                    q.note, q.notify, q.original_recipient, 2, $23, now() + $24 * interval '1 second'
                FROM unnest($17::uuid[], $18::text[], $19::text[], $20::text[], $21::smallint[], $22::text[],
                    $25::bigint[], $26::text[], $29::smallint[], $30::text[])
                    WITH ORDINALITY AS q (message_id, recipient, recipient_domain, via, class, customer,
                        subject_id, note, notify, original_recipient, position)
                JOIN new_messages n ON n.id = q.message_id
                ORDER BY q.position
                RETURNING id, message_id
            ), story AS (
                INSERT INTO trace (message_id, recipient, via, sender, customer, mailbox_id, submit_customer,
                    submit_mailbox_id, login, peer_ip, size_bytes, state, outcome, outcome_time)
                SELECT t.message_id, t.recipient, t.via, n.sender, t.customer, t.mailbox_id, n.customer,
                    t.submit_mailbox_id, n.login, n.peer_ip, n.size_bytes, t.state, t.outcome,
                    CASE WHEN t.outcome <> '' THEN now() END
                FROM unnest($31::uuid[], $32::text[], $33::text[], $34::text[], $35::bigint[], $36::bigint[],
                    $37::smallint[], $38::text[])
                    AS t (message_id, recipient, via, customer, mailbox_id, submit_mailbox_id, state, outcome)
                JOIN new_messages n ON n.id = t.message_id
            )",
            $finish,
            "SELECT id AS message_id, NULL::bigint AS queue_id FROM new_messages
            UNION ALL SELECT message_id, id FROM new_queue"
        )
    };
}

const INSERT: &str = insert_sql!("", "", " ");

/// The same, and the queue rows that a bounce or an answer ends with it. Whose rows are not all leased to us any more is not stored:
/// somebody else ended them, or will, and says so.
const INSERT_AND_FINISH: &str = insert_sql!(
    "owned AS MATERIALIZED (
        SELECT id FROM queue WHERE id = ANY ($41) AND state = 2 AND lease_owner = $23 ORDER BY id FOR UPDATE
    ), lost AS MATERIALIZED (
        SELECT f.message_id FROM unnest($41::bigint[], $44::uuid[]) AS f (id, message_id)
        LEFT JOIN owned o ON o.id = f.id WHERE o.id IS NULL
    ), ",
    "AND NOT EXISTS (SELECT FROM lost l WHERE l.message_id = m.id)",
    ", finished AS (
        DELETE FROM queue q USING unnest($41::bigint[], $44::uuid[]) AS f (id, message_id)
        JOIN new_messages n ON n.id = f.message_id
        WHERE q.id = f.id
        RETURNING q.id, q.message_id, q.recipient
    ), ended AS (
        UPDATE trace t SET state = 4, outcome = e.outcome, outcome_time = now()
        FROM finished f JOIN unnest($42::bigint[], $43::text[]) AS e (id, outcome) ON e.id = f.id
        WHERE t.message_id = f.message_id AND t.recipient = f.recipient
    ), freed AS (
        SELECT message_id, count(*)::int AS rows FROM finished GROUP BY message_id
    ), held AS (
        SELECT m.id, m.references_count, f.rows FROM messages m JOIN freed f ON f.message_id = m.id
        WHERE (SELECT count(*) FROM usage) >= 0
        ORDER BY m.id FOR UPDATE OF m
    ), lowered AS (
        UPDATE messages m SET references_count = m.references_count - h.rows
        FROM held h WHERE m.id = h.id AND h.references_count > h.rows
    ), removed AS (
        DELETE FROM messages m USING held h WHERE m.id = h.id AND h.references_count <= h.rows
    ) "
);

/// Writes all jobs in one transaction. The outcome has one list for each job, one element for each of its units.
///
/// Blobs of messages that end here are left to the sweep.
pub(super) async fn write(
    connection: &mut PgConnection,
    jobs: &[Job],
    lease_owner: Uuid,
) -> Result<Vec<Vec<Committed>>, sqlx::Error> {
    let units: Vec<&AcceptUnit> = jobs.iter().flat_map(|job| &job.units).collect();
    let mut committed = write_units(connection, &units, lease_owner).await?.into_iter();
    Ok(jobs.iter().map(|job| committed.by_ref().take(job.units.len()).collect()).collect())
}

/// Writes units as part of whatever transaction the connection is in; one outcome for each of them.
pub(crate) async fn write_units(
    connection: &mut PgConnection,
    units: &[&AcceptUnit],
    lease_owner: Uuid,
) -> Result<Vec<Committed>, sqlx::Error> {
    let messages = MessageColumns::of(units);
    let entries = EntryColumns::of(units);
    let queue = QueueColumns::of(units);
    let (finished, finished_by): (Vec<i64>, Vec<Uuid>) = units
        .iter()
        .flat_map(|unit| unit.finished_queue_ids.iter().map(|id| (*id, unit.message.id.as_uuid())))
        .unzip();
    let statement = if finished.is_empty() { INSERT } else { INSERT_AND_FINISH };
    let lines = StoryColumns::of(units);
    let mut query = sqlx::query(statement)
        .bind(&messages.ids)
        .bind(&messages.senders)
        .bind(&messages.prefixes)
        .bind(&messages.contents)
        .bind(&messages.blob_keys)
        .bind(&messages.content_bytes)
        .bind(&messages.checksums)
        .bind(&messages.references)
        .bind(&messages.flags)
        .bind(&messages.customers)
        .bind(&messages.logins)
        .bind(&messages.peers)
        .bind(&entries.mailbox_ids)
        .bind(&entries.sizes)
        .bind(&entries.message_ids)
        .bind(&entries.prefixes)
        .bind(&queue.message_ids)
        .bind(&queue.recipients)
        .bind(&queue.domains)
        .bind(&queue.vias)
        .bind(&queue.classes)
        .bind(&queue.customers)
        .bind(lease_owner)
        .bind(BIRTH_LEASE.as_secs_f64())
        .bind(&queue.subject_ids)
        .bind(&queue.notes)
        .bind(&messages.envelope_ids)
        .bind(&messages.return_contents)
        .bind(&queue.notifies)
        .bind(&queue.original_recipients)
        .bind(&lines.message_ids)
        .bind(&lines.recipients)
        .bind(&lines.vias)
        .bind(&lines.customers)
        .bind(&lines.mailbox_ids)
        .bind(&lines.submit_mailbox_ids)
        .bind(&lines.states)
        .bind(&lines.outcomes)
        .bind(&messages.traceparents)
        .bind(&entries.plain_sizes);
    if !finished.is_empty() {
        let (ids, outcomes): (Vec<i64>, Vec<&str>) = units
            .iter()
            .flat_map(|unit| &unit.story.endings)
            .map(|(id, outcome)| (*id, outcome.as_str()))
            .unzip();
        query = query.bind(finished).bind(ids).bind(outcomes).bind(finished_by);
    }
    let rows = query.fetch_all(connection).await?;

    let mut inserted: HashMap<Uuid, Vec<i64>> = HashMap::with_capacity(messages.ids.len());
    for row in rows {
        let ids = inserted.entry(row.try_get(0)?).or_default();
        ids.extend(row.try_get::<Option<i64>, _>(1)?);
    }
    Ok(units.iter().map(|unit| committed(&mut inserted, unit.message.id)).collect())
}

fn committed(inserted: &mut HashMap<Uuid, Vec<i64>>, id: MessageId) -> Committed {
    match inserted.remove(&id.as_uuid()) {
        Some(mut queue_ids) => {
            // Ids were given in the order of the unit's rows.
            queue_ids.sort_unstable();
            Committed { queue_ids, repeated: false }
        }
        None => Committed { queue_ids: Vec::new(), repeated: true },
    }
}

/// Looks up which jobs are stored, over another connection. A job is stored when its first message is: it is one
/// transaction.
pub(super) async fn look_up(pool: &PgPool, jobs: &[Job]) -> Result<Vec<Option<Vec<Committed>>>, sqlx::Error> {
    let firsts: Vec<Option<Uuid>> =
        jobs.iter().map(|job| job.units.first().map(|unit| unit.message.id.as_uuid())).collect();
    let ids: Vec<Uuid> = firsts.iter().flatten().copied().collect();
    // The message may have left or been read already; its story stays.
    let found: Vec<Uuid> = sqlx::query_scalar(
        "SELECT id FROM messages WHERE id = ANY ($1) UNION SELECT message_id FROM trace WHERE message_id = ANY ($1)",
    )
    .bind(ids)
    .fetch_all(pool)
    .await?;
    let found: HashSet<Uuid> = found.into_iter().collect();
    let stored = |job: &Job| {
        // The workers find its queue rows when their birth lease ends.
        job.units.iter().map(|_| Committed { queue_ids: Vec::new(), repeated: true }).collect()
    };
    Ok(jobs
        .iter()
        .zip(firsts)
        .map(|(job, first)| first.filter(|id| found.contains(id)).map(|_| stored(job)))
        .collect())
}

/// As `messages.return_content` holds it.
pub(crate) fn return_code(content: ReturnContent) -> i16 {
    match content {
        ReturnContent::Full => 1,
        ReturnContent::Headers => 2,
    }
}

#[derive(Default)]
struct MessageColumns<'a> {
    ids: Vec<Uuid>,
    senders: Vec<String>,
    prefixes: Vec<&'a [u8]>,
    contents: Vec<Option<&'a [u8]>>,
    blob_keys: Vec<Option<&'a str>>,
    content_bytes: Vec<i64>,
    checksums: Vec<i32>,
    references: Vec<i32>,
    flags: Vec<i16>,
    customers: Vec<Option<&'a str>>,
    logins: Vec<Option<&'a str>>,
    peers: Vec<Option<String>>,
    envelope_ids: Vec<Option<&'a str>>,
    return_contents: Vec<Option<i16>>,
    traceparents: Vec<Option<&'a str>>,
}

impl<'a> MessageColumns<'a> {
    fn of(units: &[&'a AcceptUnit]) -> Self {
        let mut columns = Self::default();
        for unit in units {
            let message = &unit.message;
            columns.ids.push(message.id.as_uuid());
            columns.senders.push(message.sender.to_string());
            columns.prefixes.push(&message.prefix);
            let (content, blob_key) = match &message.content {
                StoredContent::Inline(content) => (Some(&content[..]), None),
                StoredContent::Blob { key } => (None, Some(key.as_str())),
            };
            columns.contents.push(content);
            columns.blob_keys.push(blob_key);
            columns.content_bytes.push(message.content_bytes.cast_signed());
            columns.checksums.push(message.checksum.cast_signed());
            columns.references.push(unit.references());
            columns.flags.push(message.flags.bits());
            columns.customers.push(message.customer.as_deref());
            columns.logins.push(message.login.as_deref());
            columns.peers.push(message.peer_ip.map(|ip| ip.to_string()));
            columns.envelope_ids.push(message.dsn.envelope_id.as_deref());
            columns.return_contents.push(message.dsn.return_content.map(return_code));
            columns.traceparents.push(message.traceparent.as_deref());
        }
        columns
    }
}

#[derive(Default)]
struct EntryColumns {
    mailbox_ids: Vec<i64>,
    sizes: Vec<i64>,
    message_ids: Vec<Uuid>,
    prefixes: Vec<Vec<u8>>,
    plain_sizes: Vec<Option<i64>>,
}

impl EntryColumns {
    fn of(units: &[&AcceptUnit]) -> Self {
        let mut columns = Self::default();
        for unit in units {
            let message = &unit.message;
            for entry in &unit.entries {
                let prefix = delivery_prefix(&message.sender, &entry.delivered_to).into_bytes();
                let message_bytes = message.content_bytes + message.prefix.len() as u64;
                let size = prefix.len() as u64 + message_bytes;
                let plain_size = plain_copy_bytes(&prefix, message_bytes, message.plain_bytes);
                columns.mailbox_ids.push(entry.mailbox_id);
                columns.sizes.push(size.cast_signed());
                columns.message_ids.push(message.id.as_uuid());
                columns.prefixes.push(prefix);
                columns.plain_sizes.push(plain_size.map(u64::cast_signed));
            }
        }
        columns
    }
}

#[derive(Default)]
struct QueueColumns<'a> {
    message_ids: Vec<Uuid>,
    recipients: Vec<String>,
    domains: Vec<&'a str>,
    vias: Vec<Option<String>>,
    classes: Vec<i16>,
    customers: Vec<Option<&'a str>>,
    subject_ids: Vec<Option<i64>>,
    notes: Vec<Option<&'a str>>,
    notifies: Vec<Option<i16>>,
    original_recipients: Vec<Option<&'a str>>,
}

impl<'a> QueueColumns<'a> {
    fn of(units: &[&'a AcceptUnit]) -> Self {
        let mut columns = Self::default();
        for unit in units {
            for row in &unit.queue {
                columns.message_ids.push(unit.message.id.as_uuid());
                columns.recipients.push(row.recipient.to_string());
                columns.domains.push(row.recipient.domain().as_str());
                columns.vias.push(row.via.as_ref().map(ToString::to_string));
                columns.classes.push(row.class.code());
                columns.customers.push(row.customer.as_deref().or(unit.message.customer.as_deref()));
                columns.subject_ids.push(row.subject_id);
                columns.notes.push(row.note.as_deref());
                columns.notifies.push(row.dsn.notify.map(|notify| i16::from(notify.bits())));
                columns.original_recipients.push(row.dsn.original_recipient.as_deref());
            }
        }
        columns
    }
}

#[derive(Default)]
struct StoryColumns<'a> {
    message_ids: Vec<Uuid>,
    recipients: Vec<&'a str>,
    vias: Vec<Option<&'a str>>,
    customers: Vec<Option<&'a str>>,
    mailbox_ids: Vec<Option<i64>>,
    submit_mailbox_ids: Vec<Option<i64>>,
    states: Vec<i16>,
    outcomes: Vec<&'a str>,
}

impl<'a> StoryColumns<'a> {
    fn of(units: &[&'a AcceptUnit]) -> Self {
        let mut columns = Self::default();
        for unit in units {
            for line in &unit.story.lines {
                columns.message_ids.push(unit.message.id.as_uuid());
                columns.recipients.push(&line.recipient);
                columns.vias.push(line.via.as_deref());
                columns.customers.push(line.customer.as_deref());
                columns.mailbox_ids.push(line.mailbox_id);
                columns.submit_mailbox_ids.push(unit.story.submit_mailbox_id);
                columns.states.push(line.state.code());
                columns.outcomes.push(&line.outcome);
            }
        }
        columns
    }
}
