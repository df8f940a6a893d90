//! Rows of the members of mailing lists: thousands in one statement.

use std::collections::HashSet;

use postern_mail::EmailAddress;
use postern_proto::account::v1::{ListMember, MemberOrigin};
use sqlx::{PgPool, Row as _, postgres::PgRow};

use super::{Tx, customers::small, list_bounces::FORGIVE_DAYS, number, optional_timestamp, read, timestamp};
use crate::{
    error::{AccountError, Doing as _},
    paging::Page,
};

/// A page, with the canonical form that it is ordered by.
pub(crate) async fn page(
    pool: &PgPool,
    list_id: i64,
    page: &Page,
) -> Result<Vec<(String, ListMember)>, AccountError> {
    let (from, until) = (page.from(), page.until());
    read!(
        sqlx::query(
            "select member, address, origin, (extract(epoch from create_time) * 1000000)::bigint as create_micros, \
             (extract(epoch from suspend_time) * 1000000)::bigint as suspend_micros, \
             case when delivered_time < now() - make_interval(days => $4) then 0 else bounce_count end as bounce_count \
             from list_members where list_id = $1 and member >= $2 and member < $5 order by list_id, member limit $3",
        )
        .bind(list_id)
        .bind(&from)
        .bind(page.limit())
        .bind(FORGIVE_DAYS)
        .bind(&until)
        .try_map(|row: PgRow| Ok((row.try_get("member")?, member(&row)?)))
        .fetch_all(pool)
    )
    .doing("list the members of a mailing list")
}

/// Adds those that are no members yet and returns their canonical forms.
pub(crate) async fn insert(
    tx: &mut Tx,
    list_id: i64,
    members: &[EmailAddress],
    origin: MemberOrigin,
) -> Result<HashSet<String>, AccountError> {
    let keys: Vec<_> = members.iter().map(|member| member.canonical().to_string()).collect();
    let shown: Vec<_> = members.iter().map(EmailAddress::to_string).collect();
    let domains: Vec<_> = members.iter().map(|member| member.domain().as_str()).collect();
    let added = sqlx::query_scalar(
        "insert into list_members (list_id, member, address, domain, origin) \
         select $1, line.member, line.address, line.domain, $5 \
         from unnest($2::text[], $3::text[], $4::text[]) line(member, address, domain) \
         on conflict do nothing returning member",
    )
    .bind(list_id)
    .bind(keys)
    .bind(shown)
    .bind(domains)
    .bind(small(origin.into()))
    .fetch_all(&mut **tx)
    .await;
    Ok(added.doing("add members to a mailing list")?.into_iter().collect())
}

/// Which of these canonical addresses are members.
pub(crate) async fn those_among(
    tx: &mut Tx,
    list_id: i64,
    keys: &[String],
) -> Result<HashSet<String>, AccountError> {
    let found = sqlx::query_scalar("select member from list_members where list_id = $1 and member = any($2)")
        .bind(list_id)
        .bind(keys)
        .fetch_all(&mut **tx)
        .await;
    Ok(found.doing("look for members of a mailing list")?.into_iter().collect())
}

/// Removes those that are members, and returns them in the spelling they were added with, and how they had come.
pub(crate) async fn remove(
    tx: &mut Tx,
    list_id: i64,
    members: &[EmailAddress],
) -> Result<Vec<(String, MemberOrigin)>, AccountError> {
    let keys: Vec<_> = members.iter().map(|member| member.canonical().to_string()).collect();
    sqlx::query("delete from list_members where list_id = $1 and member = any($2) returning address, origin")
        .bind(list_id)
        .bind(keys)
        .try_map(|row: PgRow| {
            let origin = MemberOrigin::try_from(number(&row, "origin")?).unwrap_or_default();
            Ok((row.try_get("address")?, origin))
        })
        .fetch_all(&mut **tx)
        .await
        .doing("remove members from a mailing list")
}

/// True when this canonical address is a member.
pub(crate) async fn is_member(tx: &mut Tx, list_id: i64, member: &str) -> Result<bool, AccountError> {
    sqlx::query_scalar("select exists (select from list_members where list_id = $1 and member = $2)")
        .bind(list_id)
        .bind(member)
        .fetch_one(&mut **tx)
        .await
        .doing("look for a member of a mailing list")
}

/// Members of these lists at domains that are hosted here: only they can lead on.
pub(crate) async fn inside(tx: &mut Tx, list_ids: &[i64]) -> Result<Vec<(i64, String)>, AccountError> {
    sqlx::query(
        "select m.list_id, m.member from list_members m join domains d on d.domain = m.domain \
         where m.list_id = any($1) order by m.list_id, m.member",
    )
    .bind(list_ids)
    .try_map(|row: PgRow| Ok((row.try_get(0)?, row.try_get(1)?)))
    .fetch_all(&mut **tx)
    .await
    .doing("read the members of a mailing list")
}

fn member(row: &PgRow) -> Result<ListMember, sqlx::Error> {
    Ok(ListMember {
        address: row.try_get("address")?,
        origin: number(row, "origin")?,
        create_time: timestamp(row, "create_micros")?,
        bounce_count: row.try_get("bounce_count")?,
        suspend_time: optional_timestamp(row, "suspend_micros")?,
    })
}
