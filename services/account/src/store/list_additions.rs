//! How far members are that are added in several calls, and which lines of them were not taken.

use postern_proto::account::v1::{AdditionState, MemberAddition, MemberLine, MemberLineOutcome};
use sqlx::{PgPool, Row as _, postgres::PgRow, types::Uuid};

use super::{Tx, customers::small, read, timestamp};
use crate::error::{AccountError, Doing as _};

/// Lines that are kept.
const LINES_MAX: i32 = 1000;
/// Which has not been heard of for so long has stopped: whoever sent it has gone.
const SILENT_SECONDS: f64 = 60.0;
/// Days that are kept.
const KEPT_DAYS: i32 = 30;
/// Additions of one list that are told.
const TOLD_MAX: i64 = 20;

/// What the calls belong to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addition {
    pub(crate) addition_id: Uuid,
    /// Lines of all its calls.
    pub(crate) total_count: i32,
}

/// Writes down what became of these lines; false: this is an addition to another list.
pub(crate) async fn note(
    tx: &mut Tx,
    list_id: i64,
    addition: Addition,
    lines: &[MemberLine],
) -> Result<bool, AccountError> {
    let count = |outcome| {
        let lines = lines.iter().filter(|line| line.outcome() == outcome).count();
        i32::try_from(lines).unwrap_or(i32::MAX)
    };
    let is_refused = |line: &&MemberLine| {
        !matches!(line.outcome(), MemberLineOutcome::Added | MemberLineOutcome::Duplicate)
    };
    let refused: Vec<_> = lines.iter().filter(is_refused).collect();
    let texts: Vec<&str> = refused.iter().map(|line| line.line.as_str()).collect();
    let outcomes: Vec<i16> = refused.iter().map(|line| small(line.outcome)).collect();
    let reasons: Vec<&str> = refused.iter().map(|line| line.reason.as_str()).collect();
    let noted = sqlx::query(
        "insert into list_additions as a (addition_id, list_id, total_count, done_count, added_count, duplicate_count, \
            refused_count, refused_lines, refused_outcomes, refused_reasons) \
         values ($1, $2, $3, $4, $5, $6, cardinality($7::text[]), ($7::text[])[:$10], ($8::smallint[])[:$10], \
            ($9::text[])[:$10]) \
         on conflict (addition_id) do update set done_count = a.done_count + excluded.done_count, \
            added_count = a.added_count + excluded.added_count, \
            duplicate_count = a.duplicate_count + excluded.duplicate_count, \
            refused_count = a.refused_count + excluded.refused_count, \
            refused_lines = (a.refused_lines || excluded.refused_lines)[:$10], \
            refused_outcomes = (a.refused_outcomes || excluded.refused_outcomes)[:$10], \
            refused_reasons = (a.refused_reasons || excluded.refused_reasons)[:$10], update_time = now() \
         where a.list_id = excluded.list_id",
    )
    .bind(addition.addition_id)
    .bind(list_id)
    .bind(addition.total_count)
    .bind(i32::try_from(lines.len()).unwrap_or(i32::MAX))
    .bind(count(MemberLineOutcome::Added))
    .bind(count(MemberLineOutcome::Duplicate))
    .bind(texts)
    .bind(outcomes)
    .bind(reasons)
    .bind(LINES_MAX)
    .execute(&mut **tx)
    .await
    .doing("note how far members are added")?;
    Ok(noted.rows_affected() > 0)
}

/// Of one list, newest first.
pub(crate) async fn of_list(pool: &PgPool, list_id: i64) -> Result<Vec<MemberAddition>, AccountError> {
    read!(
        sqlx::query(
            "select *, (extract(epoch from create_time) * 1000000)::bigint as begin_micros, \
                update_time < now() - make_interval(secs => $2) as is_silent \
             from list_additions where list_id = $1 and create_time > now() - make_interval(days => $3) \
             order by create_time desc, addition_id limit $4"
        )
        .bind(list_id)
        .bind(SILENT_SECONDS)
        .bind(KEPT_DAYS)
        .bind(TOLD_MAX)
        .try_map(told)
        .fetch_all(pool)
    )
    .doing("read how far members are added")
}

fn told(row: PgRow) -> Result<MemberAddition, sqlx::Error> {
    let (total_count, done_count): (i32, i32) = (row.try_get("total_count")?, row.try_get("done_count")?);
    let state = if done_count >= total_count {
        AdditionState::Done
    } else if row.try_get("is_silent")? {
        AdditionState::Stopped
    } else {
        AdditionState::Running
    };
    let lines: Vec<String> = row.try_get("refused_lines")?;
    let outcomes: Vec<i16> = row.try_get("refused_outcomes")?;
    let reasons: Vec<String> = row.try_get("refused_reasons")?;
    let refused = lines.into_iter().zip(outcomes).zip(reasons);
    Ok(MemberAddition {
        addition_id: row.try_get::<Uuid, _>("addition_id")?.to_string(),
        state: state.into(),
        total_count,
        done_count,
        added_count: row.try_get("added_count")?,
        duplicate_count: row.try_get("duplicate_count")?,
        refused_count: row.try_get("refused_count")?,
        refused_lines: refused
            .map(|((line, outcome), reason)| MemberLine { line, outcome: outcome.into(), reason })
            .collect(),
        begin_time: timestamp(&row, "begin_micros")?,
    })
}

/// Forgets what is older than the days that are kept.
pub(crate) async fn sweep(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query("delete from list_additions where create_time < now() - make_interval(days => $1)")
        .bind(KEPT_DAYS)
        .execute(pool)
        .await
        .map(drop)
}
