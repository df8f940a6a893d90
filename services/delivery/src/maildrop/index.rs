//! The listing of a box: (uid, size), oldest first, in pages that Postgres packs. A box may hold a million messages.
//!
//! Each page is one statement of its own: no transaction stays open while a slow gateway takes the pages. What is
//! delivered meanwhile may stand at the end; nothing can be deleted, for the box is locked.

use std::{sync::Arc, vec};

use postern_mail::limits;
use sqlx::{Row as _, postgres::PgRow};

use super::{
    Form,
    listings::{Listing, Listings, Stamp},
};
use crate::store::Store;

/// Messages of one page.
const PAGE_MAX: usize = 65_536;

/// A page behind a uid, and the box as it is at this moment; no page when the box is as it was when its listing was kept.
const PAGE: &str = "
WITH box AS MATERIALIZED (
    SELECT last_delete_token, usage_version, message_count, used_bytes,
        (usage_version, message_count, used_bytes) = ($5, $6, $7) AS is_kept
    FROM mailboxes WHERE mailbox_id = $1
)
SELECT (SELECT generation FROM store) AS generation,
    box.last_delete_token, box.usage_version, box.message_count, box.used_bytes, box.is_kept,
    page.uids, page.sizes, plain.uids AS plain_uids, plain.sizes AS plain_sizes
FROM (SELECT array_agg(uid) AS uids, array_agg(size_bytes) AS sizes FROM (
    SELECT uid, size_bytes FROM entries
    WHERE mailbox_id = $1 AND uid > $4 AND NOT coalesce((SELECT is_kept FROM box), false) ORDER BY uid LIMIT $2
) AS entry) AS page
CROSS JOIN (SELECT array_agg(uid) AS uids, array_agg(plain_size_bytes) AS sizes FROM (
    SELECT uid, plain_size_bytes FROM entries
    WHERE $3 AND mailbox_id = $1 AND uid > $4 AND plain_size_bytes IS NOT NULL
        AND NOT coalesce((SELECT is_kept FROM box), false) ORDER BY uid LIMIT $2
) AS entry) AS plain
LEFT JOIN box ON true";

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
    of: Asked,
    left: Left,
}

/// Whose listing it is, and in which form.
#[derive(Clone, Debug)]
struct Asked {
    store: Store,
    listings: Listings,
    mailbox_id: i64,
    form: Form,
}

/// Where the next page comes from.
#[derive(Debug)]
enum Left {
    Kept(vec::IntoIter<Arc<IndexPage>>),
    /// Behind this uid; what was read so far, unless the box changed meanwhile.
    Stored(i64, Option<Listing>),
    Nothing,
}

impl Index {
    /// The next page, `None` after the last.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn next(&mut self) -> Result<Option<Arc<IndexPage>>, sqlx::Error> {
        let (after, read) = match &mut self.left {
            Left::Kept(pages) => return Ok(pages.next()),
            Left::Stored(after, read) => (*after, read.take()),
            Left::Nothing => return Ok(None),
        };
        let row = self.of.ask(after, Stamp::NONE).await?;
        let (stamp, page) = (stamp(&row)?, Arc::new(page(&row)?));
        self.left = self.of.go_on(read.filter(|read| read.stamp == stamp), &page);
        Ok((!page.uids.is_empty()).then_some(page))
    }
}

impl Asked {
    async fn ask(&self, after: i64, kept: Stamp) -> Result<PgRow, sqlx::Error> {
        let ask = || {
            sqlx::query(PAGE)
                .bind(self.mailbox_id)
                .bind(PAGE_MAX as i64)
                .bind(self.form == Form::Plain)
                .bind(after)
                .bind(kept.usage_version)
                .bind(kept.message_count)
                .bind(kept.used_bytes)
        };
        self.store.read_one(ask).await
    }

    /// Behind this page: a page that is not full is the last one, and then the listing is whole.
    fn go_on(&self, mut read: Option<Listing>, page: &Arc<IndexPage>) -> Left {
        if let Some(read) = &mut read {
            read.pages.push(Arc::clone(page));
        }
        match page.uids.last() {
            Some(last) if page.uids.len() == PAGE_MAX => Left::Stored(*last, read),
            _ => {
                if let Some(whole) = read {
                    self.listings.keep(self.mailbox_id, self.form, whole);
                }
                Left::Nothing
            }
        }
    }
}

/// The head and the first page, in one statement.
pub(super) async fn open(
    store: &Store,
    listings: &Listings,
    mailbox_id: i64,
    form: Form,
) -> Result<(Head, Arc<IndexPage>, Index), sqlx::Error> {
    let of = Asked { store: store.clone(), listings: listings.clone(), mailbox_id, form };
    let kept = listings.get(mailbox_id, form);
    let row = of.ask(i64::MIN, kept.as_ref().map_or(Stamp::NONE, |kept| kept.stamp)).await?;
    let head = Head {
        last_delete_token: row.try_get::<Option<i64>, _>("last_delete_token")?.unwrap_or(0),
        generation: row.try_get::<i32, _>("generation")?.cast_unsigned(),
    };
    if let Some(kept) = kept.filter(|_| matches!(row.try_get("is_kept"), Ok(Some(true)))) {
        let mut pages = kept.pages.clone().into_iter();
        let first = pages.next().unwrap_or_default();
        return Ok((head, first, Index { of, left: Left::Kept(pages) }));
    }
    let (stamp, page) = (stamp(&row)?, Arc::new(page(&row)?));
    let left = of.go_on((stamp != Stamp::NONE).then(|| Listing { stamp, pages: Vec::new() }), &page);
    Ok((head, page, Index { of, left }))
}

/// [`Stamp::NONE`]: nothing was ever delivered to it.
fn stamp(row: &PgRow) -> Result<Stamp, sqlx::Error> {
    let column =
        |name: &str| -> Result<i64, sqlx::Error> { Ok(row.try_get::<Option<i64>, _>(name)?.unwrap_or(-1)) };
    Ok(Stamp {
        usage_version: column("usage_version")?,
        message_count: column("message_count")?,
        used_bytes: column("used_bytes")?,
    })
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
