//! Expansion in Postgres. Each step is one transaction and begins with the post's own queue row: who does not hold its
//! lease any more, or is behind its cursor, writes nothing.
//!
//! States of a post's row: `note` NULL: its copy is not made, the row holds the original. `note` set: the row holds the
//! copy, and members from that page on have not got it. The last batch removes the row.

use std::collections::BTreeMap;

use postern_mail::{EmailAddress, MessageId, ReversePath};
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::senders::copy_sender;
use crate::{
    accept::{AcceptUnit, QueueClass, delivery_prefix, write_units},
    content::plain_copy_bytes,
    queue::QueueStore,
    route::{PlannedEntry, PlannedErrand, PlannedRemote},
    store::begin_unhurried,
    trace::TraceState,
};

/// One place that a copy goes to, for a member.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Box {
        entry: PlannedEntry,
        member: EmailAddress,
        /// Whose box it is.
        owner: Option<String>,
    },
    Remote {
        remote: PlannedRemote,
        member: EmailAddress,
        /// Whose forward led there; `None`: the member is outside.
        owner: Option<String>,
    },
    /// A list in the list.
    List(PlannedErrand),
}

impl Target {
    /// By what it is known when another member leads to it too.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Box { entry, .. } => format!("box:{}", entry.mailbox_id),
            Self::Remote { remote, .. } => remote.recipient.canonical().to_string(),
            Self::List(errand) => list_key(errand.subject_id),
        }
    }
}

fn list_key(list_id: i64) -> String {
    format!("list:{list_id}")
}

/// What all copies of a post share.
#[derive(Clone, Debug)]
pub(super) struct CopyMessage {
    pub(super) id: MessageId,
    /// The list.
    pub(super) list: EmailAddress,
    /// `<list>-bounces`.
    pub(super) bounces: EmailAddress,
    /// Prefix and content, octets.
    pub(super) size_bytes: u64,
    /// The same in plain form; `None`: it is as it is stored.
    pub(super) plain_bytes: Option<u64>,
    /// Number of the list.
    pub(super) list_id: i64,
    /// Login of the list's owner.
    pub(super) customer: Option<String>,
}

/// One batch.
pub(super) struct Batch<'a> {
    pub(super) row_id: i64,
    pub(super) copy: &'a CopyMessage,
    /// The cursor as it was read.
    pub(super) from: &'a str,
    /// The cursor behind it; `None`: it is the last one.
    pub(super) to: Option<&'a str>,
    /// By their keys.
    pub(super) targets: BTreeMap<String, Target>,
    /// The fields of a member's own copy, each ending with CRLF.
    pub(super) own_fields: &'a (dyn Fn(&EmailAddress) -> String + Send + Sync),
}

/// What a batch wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) entries: usize,
    pub(super) queue: usize,
}

/// Stores the copy and hangs the post's row on it. False: the row is not ours any more, or has its copy.
pub(super) async fn begin(
    store: &QueueStore,
    row_id: i64,
    list_id: i64,
    original: MessageId,
    copy: &AcceptUnit,
) -> Result<bool, sqlx::Error> {
    let id = copy.message.id.as_uuid();
    let mut transaction = store.pool().begin().await?;
    let parent: Option<Uuid> = sqlx::query_scalar(
        "UPDATE queue SET message_id = $3, note = '', parent = coalesce(parent, $3)
        WHERE id = $1 AND state = 2 AND lease_owner = $2 AND note IS NULL RETURNING parent",
    )
    .bind(row_id)
    .bind(store.replica())
    .bind(id)
    .fetch_optional(&mut *transaction)
    .await?
    .flatten();
    let Some(parent) = parent else { return Ok(false) };
    write_units(&mut transaction, &[copy], store.replica()).await?;
    refer(&mut transaction, copy.message.id, 1).await?;
    refer(&mut transaction, original, -1).await?;
    fresh(&mut transaction, parent, &[list_key(list_id)]).await?;
    transaction.commit().await?;
    Ok(true)
}

/// How many copies of lists became due lately and wait for a sender, counted up to `most`. Those that are due for longer may wait for
/// hosts that take none: they say nothing about the others.
pub(super) async fn copies_wait(store: &QueueStore, most: i64) -> Result<i64, sqlx::Error> {
    // Found by the index of due copies.
    sqlx::query_scalar(
        "SELECT count(*) FROM (
            SELECT FROM queue WHERE state = 1 AND class = 2
                AND next_attempt_time > now() - interval '30 seconds' AND next_attempt_time <= now()
            ORDER BY next_attempt_time LIMIT $1) w",
    )
    .bind(most)
    .fetch_one(store.pool())
    .await
}

/// Writes one batch. `None`: the row is not ours any more, or somebody is further; nothing was written.
///
/// A batch that only fills the queue is on the disk later: members and cursor are one, so that what a crash of the database forgets is
/// written again. What is put into boxes is on the disk before anybody can see it: a mail program may have read the number that it was
/// given, and the sequence would give the same one to another message (I7).
pub(super) async fn write(store: &QueueStore, batch: &Batch<'_>) -> Result<Option<Written>, sqlx::Error> {
    let fills_boxes = batch.targets.values().any(|target| matches!(target, Target::Box { .. }));
    let mut transaction = match fills_boxes {
        true => store.pool().begin().await?,
        false => begin_unhurried(store.pool()).await?,
    };
    let row = sqlx::query(
        "UPDATE queue SET note = coalesce($4, note)
        WHERE id = $1 AND state = 2 AND lease_owner = $2 AND note = $3 RETURNING parent",
    )
    .bind(batch.row_id)
    .bind(store.replica())
    .bind(batch.from)
    .bind(batch.to)
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let parent: Uuid = row.try_get(0)?;
    let keys: Vec<String> = batch.targets.keys().cloned().collect();
    let fresh = fresh(&mut transaction, parent, &keys).await?;
    let targets: Vec<&Target> = fresh.iter().filter_map(|key| batch.targets.get(key)).collect();
    let written = Written {
        entries: add_entries(&mut transaction, batch, &targets).await?,
        queue: add_rows(&mut transaction, batch.copy, parent, &targets).await?,
    };
    add_story(&mut transaction, batch.copy, &targets).await?;
    let mut references = i32::try_from(written.entries + written.queue).unwrap_or(i32::MAX);
    if batch.to.is_none() {
        end(&mut transaction, batch.row_id, parent).await?;
        references -= 1;
    }
    refer(&mut transaction, batch.copy.id, references).await?;
    transaction.commit().await?;
    Ok(Some(written))
}

/// Removes the post's row, and with the last of its family the memory of who got it.
async fn end(connection: &mut PgConnection, row_id: i64, parent: Uuid) -> Result<(), sqlx::Error> {
    // Two lists in one list that end at once: one of them is last.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1::text, 0))")
        .bind(parent)
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM queue WHERE id = $1").bind(row_id).execute(&mut *connection).await?;
    sqlx::query(
        "DELETE FROM post_recipients WHERE parent = $1 AND NOT EXISTS (SELECT FROM queue WHERE parent = $1)",
    )
    .bind(parent)
    .execute(connection)
    .await
    .map(drop)
}

/// Those keys that have not got this post yet; from now on they have.
async fn fresh(
    connection: &mut PgConnection,
    parent: Uuid,
    keys: &[String],
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "INSERT INTO post_recipients (parent, recipient) SELECT $1, k FROM unnest($2::text[]) AS k ORDER BY k
        ON CONFLICT DO NOTHING RETURNING recipient",
    )
    .bind(parent)
    .bind(keys)
    .fetch_all(connection)
    .await
}

/// Changes the count of a message's references; without any it goes.
async fn refer(connection: &mut PgConnection, message: MessageId, by: i32) -> Result<(), sqlx::Error> {
    let left: Option<i32> = sqlx::query_scalar(
        "UPDATE messages SET references_count = references_count + $2 WHERE id = $1 RETURNING references_count",
    )
    .bind(message.as_uuid())
    .bind(by)
    .fetch_optional(&mut *connection)
    .await?;
    if left.is_some_and(|left| left <= 0) {
        // A large content's blob has no owner afterwards; the sweep takes it.
        sqlx::query("DELETE FROM messages WHERE id = $1").bind(message.as_uuid()).execute(connection).await?;
    }
    Ok(())
}

async fn add_entries(
    connection: &mut PgConnection,
    batch: &Batch<'_>,
    targets: &[&Target],
) -> Result<usize, sqlx::Error> {
    let copy = batch.copy;
    let (mut ids, mut sizes, mut prefixes, mut plain_sizes) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for target in targets {
        let Target::Box { entry, member, .. } = target else { continue };
        let sender = ReversePath::Address(copy_sender(&copy.bounces, member));
        let prefix = delivery_prefix(&sender, &entry.delivered_to) + &(batch.own_fields)(member);
        let prefix = prefix.into_bytes();
        ids.push(entry.mailbox_id);
        sizes.push((copy.size_bytes + prefix.len() as u64).cast_signed());
        let plain_size = plain_copy_bytes(&prefix, copy.size_bytes, copy.plain_bytes);
        plain_sizes.push(plain_size.map(u64::cast_signed));
        prefixes.push(prefix);
    }
    if ids.is_empty() {
        return Ok(0);
    }
    sqlx::query(
        "WITH new_entries AS (
            INSERT INTO entries (mailbox_id, size_bytes, message_id, prefix, plain_size_bytes)
            SELECT e.mailbox_id, e.size_bytes, $1, e.prefix, e.plain_size_bytes
            FROM unnest($2::bigint[], $3::bigint[], $4::bytea[], $5::bigint[])
                AS e (mailbox_id, size_bytes, prefix, plain_size_bytes)
            ORDER BY e.mailbox_id
            RETURNING mailbox_id, size_bytes
        )
        INSERT INTO mailboxes AS m (mailbox_id, used_bytes, message_count)
        SELECT mailbox_id, sum(size_bytes)::bigint, count(*) FROM new_entries
        GROUP BY mailbox_id ORDER BY mailbox_id
        ON CONFLICT (mailbox_id) DO UPDATE SET used_bytes = m.used_bytes + excluded.used_bytes,
            message_count = m.message_count + excluded.message_count,
            usage_version = m.usage_version + 1",
    )
    .bind(copy.id.as_uuid())
    .bind(&ids)
    .bind(&sizes)
    .bind(&prefixes)
    .bind(&plain_sizes)
    .execute(connection)
    .await?;
    Ok(ids.len())
}

/// Rows are born waiting: any replica may take them.
async fn add_rows(
    connection: &mut PgConnection,
    copy: &CopyMessage,
    parent: Uuid,
    targets: &[&Target],
) -> Result<usize, sqlx::Error> {
    let (mut recipients, mut domains, mut vias) = (Vec::new(), Vec::new(), Vec::new());
    let (mut classes, mut subjects, mut notes, mut parents) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for target in targets {
        let recipient = match target {
            Target::Box { .. } => continue,
            Target::Remote { remote, member, .. } => {
                vias.push(remote.via.as_ref().map(ToString::to_string));
                classes.push(QueueClass::ListCopy.code());
                subjects.push(Some(copy.list_id));
                notes.push((*member != remote.recipient).then(|| member.to_string()));
                parents.push(None);
                &remote.recipient
            }
            Target::List(errand) => {
                vias.push(None);
                classes.push(errand.class.code());
                subjects.push(Some(errand.subject_id));
                notes.push(None);
                parents.push(Some(parent));
                &errand.recipient
            }
        };
        recipients.push(recipient.to_string());
        domains.push(recipient.domain().to_string());
    }
    if recipients.is_empty() {
        return Ok(0);
    }
    sqlx::query(
        "INSERT INTO queue (message_id, customer, recipient, recipient_domain, via, class, subject_id, note, parent)
        SELECT $1, $2, * FROM unnest($3::text[], $4::text[], $5::text[], $6::smallint[], $7::bigint[], $8::text[],
            $9::uuid[])",
    )
    .bind(copy.id.as_uuid())
    .bind(&copy.customer)
    .bind(&recipients)
    .bind(&domains)
    .bind(&vias)
    .bind(&classes)
    .bind(&subjects)
    .bind(&notes)
    .bind(&parents)
    .execute(connection)
    .await?;
    Ok(recipients.len())
}

/// A line of the copy's story for each place, as acceptance writes it for other mail; how rows of the queue end is added to it later.
async fn add_story(
    connection: &mut PgConnection,
    copy: &CopyMessage,
    targets: &[&Target],
) -> Result<(), sqlx::Error> {
    if targets.is_empty() {
        return Ok(());
    }
    let (mut recipients, mut vias, mut owners) = (Vec::new(), Vec::new(), Vec::new());
    let (mut mailbox_ids, mut states) = (Vec::new(), Vec::new());
    for target in targets {
        let (recipient, via, owner, mailbox_id, state) = match target {
            Target::Box { entry, owner, .. } => (
                entry.delivered_to.clone(),
                None,
                owner.as_deref(),
                Some(entry.mailbox_id),
                TraceState::Delivered,
            ),
            Target::Remote { remote, owner, .. } => {
                let via = remote.via.as_ref();
                (remote.recipient.to_string(), via, owner.as_deref(), None, TraceState::Queued)
            }
            Target::List(errand) => {
                (errand.recipient.to_string(), None, copy.customer.as_deref(), None, TraceState::PassedOn)
            }
        };
        recipients.push(recipient);
        vias.push(via.unwrap_or(&copy.list).to_string());
        owners.push(owner);
        mailbox_ids.push(mailbox_id);
        states.push(state.code());
    }
    sqlx::query(
        "INSERT INTO trace (message_id, sender, submit_customer, size_bytes, recipient, via, customer, mailbox_id, state)
        SELECT $1, $2, $3, $4, * FROM unnest($5::text[], $6::text[], $7::text[], $8::bigint[], $9::smallint[])",
    )
    .bind(copy.id.as_uuid())
    .bind(copy.bounces.to_string())
    .bind(&copy.customer)
    .bind(copy.size_bytes.cast_signed())
    .bind(&recipients)
    .bind(&vias)
    .bind(&owners)
    .bind(&mailbox_ids)
    .bind(&states)
    .execute(connection)
    .await
    .map(drop)
}
