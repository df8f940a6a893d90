//! The course of an import: written down while it runs, at most once a second, and when it ends. What cannot be written is no
//! reason to stop it.

use std::time::{Duration, Instant};

use postern_mail::Reason;
use sqlx::{Row as _, postgres::PgRow};
use uuid::Uuid;

use super::{Refusal, Report};
use crate::store::Store;

/// Between two notes.
const NOTED_EVERY: Duration = Duration::from_secs(1);
/// Who has not been heard of for so long has stopped without a word: its replica went down.
const SILENT_SECONDS: f64 = 180.0;
/// Days that are kept.
const KEPT_DAYS: i32 = 30;
/// Old ones that each new one takes away.
const SWEPT_MAX: i64 = 1000;
/// Courses of one box that are told.
const TOLD_MAX: i64 = 20;

const RUNNING: i16 = 1;
const DONE: i16 = 2;
const STOPPED: i16 = 3;

/// What is known of an import before its first message.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Chosen by who imports.
    pub import_id: Uuid,
    /// The box.
    pub mailbox_id: i64,
    /// For people.
    pub file_name: String,
    /// Octets of the file, about; 0: not known.
    pub total_bytes: i64,
}

/// An import as it is written down. Times are microseconds of the Unix epoch.
#[derive(Clone, Debug)]
pub struct Told {
    /// As it began.
    pub opening: Opening,
    /// postern.delivery.v1.ImportState
    pub state: i16,
    /// Octets that came so far.
    pub read_bytes: i64,
    /// What became of the messages so far; the reasons by their names.
    pub counts: (i64, i64, i64),
    /// The first that were refused.
    pub refusals: Vec<Refusal<String>>,
    /// Why it stopped early; empty: it did not.
    pub reason: String,
    /// When it began.
    pub begin_micros: i64,
    /// When it ended.
    pub end_micros: Option<i64>,
}

/// One that runs.
#[derive(Debug)]
pub struct Course {
    store: Store,
    import_id: Uuid,
    read_bytes: i64,
    noted_at: Instant,
}

impl Course {
    /// Writes down that it begins; `None`: there was one of this id.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn begin(store: &Store, opening: &Opening) -> Result<Option<Self>, sqlx::Error> {
        sqlx::query(
            "WITH old AS (
                SELECT import_id FROM imports WHERE begin_time < now() - make_interval(days => $1)
                ORDER BY begin_time LIMIT $2)
            DELETE FROM imports i USING old WHERE i.import_id = old.import_id",
        )
        .bind(KEPT_DAYS)
        .bind(SWEPT_MAX)
        .execute(store.pool())
        .await?;
        let begun = sqlx::query(
            "INSERT INTO imports (import_id, mailbox_id, file_name, state, total_bytes) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT DO NOTHING",
        )
        .bind(opening.import_id)
        .bind(opening.mailbox_id)
        .bind(&opening.file_name)
        .bind(RUNNING)
        .bind(opening.total_bytes)
        .execute(store.pool())
        .await?;
        let course = Self {
            store: store.clone(),
            import_id: opening.import_id,
            read_bytes: 0,
            noted_at: Instant::now(),
        };
        Ok((begun.rows_affected() == 1).then_some(course))
    }

    /// So many octets more came; now and then it is written down how far it is.
    pub async fn came(&mut self, octets: usize, report: &Report) {
        self.read_bytes = self.read_bytes.saturating_add(i64::try_from(octets).unwrap_or(i64::MAX));
        if self.noted_at.elapsed() >= NOTED_EVERY {
            self.write(report, RUNNING, "").await;
            self.noted_at = Instant::now();
        }
    }

    /// It ended; with a reason it stopped early.
    pub async fn end(self, report: &Report, stopped: Option<Reason>) {
        let state = if stopped.is_some() { STOPPED } else { DONE };
        self.write(report, state, stopped.map_or("", Reason::name)).await;
    }

    async fn write(&self, report: &Report, state: i16, reason: &str) {
        let refusals = &report.refusals;
        let indexes: Vec<i64> = refusals.iter().map(|refusal| refusal.index).collect();
        let reasons: Vec<&str> = refusals.iter().map(|refusal| refusal.reason.name()).collect();
        let names: Vec<&str> = refusals.iter().map(|refusal| refusal.name.as_str()).collect();
        let written = sqlx::query(
            "UPDATE imports SET state = $2, read_bytes = $3, imported_count = $4, duplicate_count = $5,
                refused_count = $6, refused_indexes = $7, refused_reasons = $8, reason = $9, refused_names = $11,
                update_time = now(),
                end_time = CASE WHEN $2 = $10 THEN NULL ELSE now() END
            WHERE import_id = $1",
        )
        .bind(self.import_id)
        .bind(state)
        .bind(self.read_bytes)
        .bind(report.imported)
        .bind(report.duplicates)
        .bind(report.refused)
        .bind(indexes)
        .bind(reasons)
        .bind(reason)
        .bind(RUNNING)
        .bind(names)
        .execute(self.store.pool())
        .await;
        if let Err(error) = written {
            tracing::warn!(%error, import = %self.import_id, "how far an import is cannot be written down now");
        }
    }
}

/// Imports into a box, newest first. One that has not been heard of for long has stopped.
///
/// # Errors
/// When the database is away.
pub async fn courses(store: &Store, mailbox_id: i64) -> Result<Vec<Told>, sqlx::Error> {
    let ask = || {
        sqlx::query(
            "SELECT import_id, mailbox_id, file_name, total_bytes, read_bytes, imported_count, duplicate_count,
                refused_count, refused_indexes, refused_reasons, refused_names, reason, is_silent, state,
                (extract(epoch FROM begin_time) * 1000000)::bigint AS begin_micros,
                (extract(epoch FROM CASE WHEN is_silent THEN update_time ELSE end_time END) * 1000000)::bigint
                    AS end_micros
            FROM (SELECT *, state = $2 AND update_time < now() - make_interval(secs => $3) AS is_silent FROM imports
                WHERE mailbox_id = $1 AND begin_time > now() - make_interval(days => $4)
                ORDER BY begin_time DESC LIMIT $5) i
            ORDER BY begin_time DESC",
        )
        .bind(mailbox_id)
        .bind(RUNNING)
        .bind(SILENT_SECONDS)
        .bind(KEPT_DAYS)
        .bind(TOLD_MAX)
    };
    store.read(ask).await?.iter().map(told).collect()
}

fn told(row: &PgRow) -> Result<Told, sqlx::Error> {
    let is_silent: bool = row.try_get("is_silent")?;
    let indexes: Vec<i64> = row.try_get("refused_indexes")?;
    let reasons: Vec<String> = row.try_get("refused_reasons")?;
    // Fewer than the others: it was written down before messages had names.
    let names: Vec<String> = row.try_get("refused_names")?;
    let names = names.into_iter().chain(std::iter::repeat(String::new()));
    let refusals = indexes.into_iter().zip(reasons).zip(names);
    Ok(Told {
        opening: Opening {
            import_id: row.try_get("import_id")?,
            mailbox_id: row.try_get("mailbox_id")?,
            file_name: row.try_get("file_name")?,
            total_bytes: row.try_get("total_bytes")?,
        },
        state: if is_silent { STOPPED } else { row.try_get("state")? },
        read_bytes: row.try_get("read_bytes")?,
        counts: (
            row.try_get("imported_count")?,
            row.try_get("duplicate_count")?,
            row.try_get("refused_count")?,
        ),
        refusals: refusals.map(|((index, reason), name)| Refusal { index, reason, name }).collect(),
        reason: if is_silent { Reason::Unavailable.name().to_owned() } else { row.try_get("reason")? },
        begin_micros: row.try_get("begin_micros")?,
        end_micros: row.try_get("end_micros")?,
    })
}
