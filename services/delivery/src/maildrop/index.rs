//! The listing of a box: (uid, size), oldest first, in pages that Postgres packs. A box may hold a million messages.
//!
//! Each page is one statement of its own: no transaction stays open while a slow gateway takes the pages. What is
//! delivered meanwhile may stand at the end; nothing can be deleted, for the box is locked.

use postern_mail::limits;
use sqlx::{Row as _, postgres::PgRow};

use super::Form;
use crate::store::Store;

/// Messages of one page.
const PAGE_MAX: usize = 65_536;

const FIRST: &str = "
SELECT (SELECT generation FROM store) AS generation,
    (SELECT last_delete_token FROM mailboxes WHERE mailbox_id = $1) AS last_delete_token,
    page.uids, page.sizes, plain.uids AS plain_uids, plain.sizes AS plain_sizes
FROM (SELECT array_agg(uid) AS uids, array_agg(size_bytes) AS sizes FROM (
    SELECT uid, size_bytes FROM entries WHERE mailbox_id = $1 ORDER BY uid LIMIT $2
) AS entry) AS page,
(SELECT array_agg(uid) AS uids, array_agg(plain_size_bytes) AS sizes FROM (
    SELECT uid, plain_size_bytes FROM entries
    WHERE $3 AND mailbox_id = $1 AND plain_size_bytes IS NOT NULL ORDER BY uid LIMIT $2
) AS entry) AS plain";

const NEXT: &str = "
SELECT page.uids, page.sizes, plain.uids AS plain_uids, plain.sizes AS plain_sizes
FROM (SELECT array_agg(uid) AS uids, array_agg(size_bytes) AS sizes FROM (
    SELECT uid, size_bytes FROM entries WHERE mailbox_id = $1 AND uid > $4 ORDER BY uid LIMIT $2
) AS entry) AS page,
(SELECT array_agg(uid) AS uids, array_agg(plain_size_bytes) AS sizes FROM (
    SELECT uid, plain_size_bytes FROM entries
    WHERE $3 AND mailbox_id = $1 AND plain_size_bytes IS NOT NULL AND uid > $4 ORDER BY uid LIMIT $2
) AS entry) AS plain";

/// What a box remembers besides its messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) last_delete_token: i64,
    pub(super) generation: u32,
}

/// One page: uids ascending, and the size of each in octets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexPage {
    /// Unique ids.
    pub uids: Vec<i64>,
    /// Octets of each as RETR sends it.
    pub sizes_bytes: Vec<i64>,
}

/// The pages that follow.
#[derive(Debug)]
pub struct Index {
    store: Store,
    mailbox_id: i64,
    form: Form,
    /// Last uid given; `None` when the page before was the last one.
    after: Option<i64>,
}

impl Index {
    /// The next page, `None` after the last.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn next(&mut self) -> Result<Option<IndexPage>, sqlx::Error> {
        let Some(after) = self.after else { return Ok(None) };
        let is_plain = self.form == Form::Plain;
        let ask = || sqlx::query(NEXT).bind(self.mailbox_id).bind(PAGE_MAX as i64).bind(is_plain).bind(after);
        let row = self.store.read_one(ask).await?;
        let page = page(&row)?;
        self.after = last_of_full(&page);
        Ok((!page.uids.is_empty()).then_some(page))
    }
}

/// Reads the head and the first page in one statement.
pub(super) async fn open(
    store: &Store,
    mailbox_id: i64,
    form: Form,
) -> Result<(Head, IndexPage, Index), sqlx::Error> {
    let ask = || sqlx::query(FIRST).bind(mailbox_id).bind(PAGE_MAX as i64).bind(form == Form::Plain);
    let row = store.read_one(ask).await?;
    let head = Head {
        last_delete_token: row.try_get::<Option<i64>, _>("last_delete_token")?.unwrap_or(0),
        generation: row.try_get::<i32, _>("generation")?.cast_unsigned(),
    };
    let page = page(&row)?;
    let after = last_of_full(&page);
    Ok((head, page, Index { store: store.clone(), mailbox_id, form, after }))
}

fn last_of_full(page: &IndexPage) -> Option<i64> {
    if page.uids.len() < PAGE_MAX { None } else { page.uids.last().copied() }
}

/// Of the plain form only the few sizes differ, so these are put over those of the index.
fn page(row: &PgRow) -> Result<IndexPage, sqlx::Error> {
    let column = |name: &str| -> Result<Vec<i64>, sqlx::Error> {
        Ok(row.try_get::<Option<_>, _>(name)?.unwrap_or_default())
    };
    let (mut uids, mut sizes_bytes) = (column("uids")?, column("sizes")?);
    if !uids.is_sorted() {
        // array_agg takes rows as they come: ordered, though the standard does not promise it.
        let mut both: Vec<(i64, i64)> = uids.into_iter().zip(sizes_bytes).collect();
        both.sort_unstable();
        (uids, sizes_bytes) = both.into_iter().unzip();
    }
    for (uid, plain_size) in column("plain_uids")?.into_iter().zip(column("plain_sizes")?) {
        if let Ok(position) = uids.binary_search(&uid)
            && let Some(size) = sizes_bytes.get_mut(position)
        {
            *size = plain_size;
        }
    }
    Ok(IndexPage { uids, sizes_bytes })
}

const _: () = assert!(PAGE_MAX * 20 < 16 * limits::FRAME_MAX_BYTES, "a page fits into one gRPC message");
