//! What DNS said of each record of a domain.

use postern_proto::account::v1::DnsFinding;
use sqlx::{PgPool, Row as _, postgres::PgRow};

use super::{Tx, customers::small, number, read};
use crate::error::{AccountError, Doing as _};

/// As the last check found it, in the order a person should mend it.
pub(crate) async fn of(pool: &PgPool, domain: &str) -> Result<Vec<DnsFinding>, AccountError> {
    read!(
        sqlx::query(
            "select purpose, name, record_type, found, expected, ttl_seconds, verdict, needed, advice \
             from dns_findings where domain = $1 order by position"
        )
        .bind(domain)
        .try_map(finding)
        .fetch_all(pool)
    )
    .doing("read what DNS said of a domain")
}

fn finding(row: PgRow) -> Result<DnsFinding, sqlx::Error> {
    Ok(DnsFinding {
        purpose: number(&row, "purpose")?,
        name: row.try_get("name")?,
        record_type: row.try_get("record_type")?,
        found: row.try_get("found")?,
        expected: row.try_get("expected")?,
        ttl_seconds: row.try_get::<Option<i64>, _>("ttl_seconds")?.and_then(|ttl| u32::try_from(ttl).ok()),
        verdict: number(&row, "verdict")?,
        needed: row.try_get("needed")?,
        advice: row.try_get("advice")?,
    })
}

/// Writes all of them anew, for the owner that was checked; false: the domain has gone, or is somebody else's by now.
pub(crate) async fn replace(
    tx: &mut Tx,
    domain: &str,
    customer: &str,
    findings: &[DnsFinding],
) -> Result<bool, AccountError> {
    let theirs = sqlx::query(
        "select from domains d join customers c using (customer_id) where d.domain = $1 and c.login = $2 \
         for no key update of d",
    )
    .bind(domain)
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await
    .doing("lock a domain for what DNS said")?;
    if theirs.is_none() {
        return Ok(false);
    }
    sqlx::query("delete from dns_findings where domain = $1")
        .bind(domain)
        .execute(&mut **tx)
        .await
        .doing("forget what DNS said before")?;
    for (position, finding) in (0_i16..).zip(findings) {
        sqlx::query(
            "insert into dns_findings (domain, position, purpose, name, record_type, found, expected, ttl_seconds, \
             verdict, needed, advice) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(domain)
        .bind(position)
        .bind(small(finding.purpose))
        .bind(&finding.name)
        .bind(&finding.record_type)
        .bind(&finding.found)
        .bind(&finding.expected)
        .bind(finding.ttl_seconds.map(i64::from))
        .bind(small(finding.verdict))
        .bind(finding.needed)
        .bind(&finding.advice)
        .execute(&mut **tx)
        .await
        .doing("write what DNS said")?;
    }
    Ok(true)
}
