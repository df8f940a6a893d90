//! A batch of imported messages in one statement, with entries in their order. Its own ids make it harmless to do twice.

use std::collections::HashSet;

use postern_mail::Reason;
use sqlx::Row as _;
use uuid::Uuid;

use crate::{accept::StoredContent, store::Store};

/// A message that is complete and checked.
pub(super) struct Whole {
    pub(super) id: Uuid,
    pub(super) content: StoredContent,
    pub(super) content_bytes: u64,
    pub(super) checksum: u32,
    /// When it came, microseconds of the Unix epoch; `None`: now.
    pub(super) receive_micros: Option<i64>,
}

const KNOWN: &str = "SELECT id FROM messages WHERE id = ANY ($1)";

/// Locks as `accept` does: new messages by id, then the mailbox.
const WRITE: &str = "
WITH given AS (
    SELECT id, content, blob_key, content_bytes, checksum, position,
        CASE WHEN micros IS NULL THEN now() ELSE to_timestamp(micros / 1000000.0) END AS accept_time
    FROM unnest($2::uuid[], $3::bytea[], $4::text[], $5::bigint[], $6::int[], $7::bigint[])
        WITH ORDINALITY AS g (id, content, blob_key, content_bytes, checksum, micros, position)
), new_messages AS (
    INSERT INTO messages (id, accept_time, content_bytes, checksum, references_count, flags, sender, prefix, content, blob_key)
    SELECT id, accept_time, content_bytes, checksum, 1, 1, '', '', content, blob_key FROM given ORDER BY id
    ON CONFLICT (id) DO NOTHING
    RETURNING id
), new_entries AS (
    INSERT INTO entries (mailbox_id, size_bytes, message_id, accept_time, prefix)
    SELECT $1, g.content_bytes, g.id, g.accept_time, '' FROM given g JOIN new_messages n ON n.id = g.id
    ORDER BY g.position
    RETURNING size_bytes
), usage AS (
    INSERT INTO mailboxes AS m (mailbox_id, used_bytes, message_count)
    SELECT $1, sum(size_bytes)::bigint, count(*) FROM new_entries HAVING count(*) > 0
    ON CONFLICT (mailbox_id) DO UPDATE SET used_bytes = m.used_bytes + excluded.used_bytes,
        message_count = m.message_count + excluded.message_count, usage_version = m.usage_version + 1
)
SELECT id FROM new_messages";

/// Octets that a box holds.
pub(super) async fn used_bytes(store: &Store, mailbox_id: i64) -> Result<i64, sqlx::Error> {
    let ask = || {
        sqlx::query("SELECT (SELECT used_bytes FROM mailboxes WHERE mailbox_id = $1) AS used_bytes")
            .bind(mailbox_id)
    };
    Ok(store.read_one(ask).await?.try_get::<Option<i64>, _>("used_bytes")?.unwrap_or(0))
}

/// Those that are stored already.
pub(super) async fn known(store: &Store, ids: &[Uuid]) -> Result<HashSet<Uuid>, sqlx::Error> {
    let rows = store.read(|| sqlx::query(KNOWN).bind(ids)).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Writes what is not there yet; gives the ids that are new.
pub(super) async fn write(
    store: &Store,
    mailbox_id: i64,
    batch: &[Whole],
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let mut columns = Columns::default();
    for whole in batch {
        columns.add(whole);
    }
    let rows = sqlx::query(WRITE)
        .bind(mailbox_id)
        .bind(columns.ids)
        .bind(columns.contents)
        .bind(columns.blob_keys)
        .bind(columns.content_bytes)
        .bind(columns.checksums)
        .bind(columns.micros)
        .fetch_all(store.pool())
        .await?;
    store.changed().note([mailbox_id]);
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// What the database's failure means to whoever imports.
pub(super) fn reason_of(error: &sqlx::Error) -> Reason {
    match crate::store::Fault::of(error) {
        crate::store::Fault::Full => Reason::InsufficientStorage,
        _ => Reason::Unavailable,
    }
}

#[derive(Default)]
struct Columns<'w> {
    ids: Vec<Uuid>,
    contents: Vec<Option<&'w [u8]>>,
    blob_keys: Vec<Option<&'w str>>,
    content_bytes: Vec<i64>,
    checksums: Vec<i32>,
    micros: Vec<Option<i64>>,
}

impl<'w> Columns<'w> {
    fn add(&mut self, whole: &'w Whole) {
        let (content, blob_key) = match &whole.content {
            StoredContent::Inline(content) => (Some(&content[..]), None),
            StoredContent::Blob { key } => (None, Some(key.as_str())),
        };
        self.ids.push(whole.id);
        self.contents.push(content);
        self.blob_keys.push(blob_key);
        self.content_bytes.push(whole.content_bytes.cast_signed());
        self.checksums.push(whole.checksum.cast_signed());
        self.micros.push(whole.receive_micros);
    }
}
