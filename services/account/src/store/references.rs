//! What names an address, under any name of its domain and with whatever tag: forwards, members and owners of lists, default
//! addresses. Each is found by an index, save targets with a tag, which are looked for among the forwards of the customer.

use postern_proto::account::v1::{Reference, ReferenceKind};
use sqlx::{Row as _, postgres::PgRow};

use super::{Tx, versions::DomainChange};
use crate::error::{AccountError, Doing as _};

/// References told at most: more nobody reads.
const REFERENCES_MAX: i64 = 1000;

/// $1: canonical addresses. $2: the customer whose things are told. $4: the domains of the addresses, each after its `@`. With a tag
/// they begin with $5 and lie before $6. Numbers as in `ReferenceKind`.
const REFERENCES: &str = "\
    select 1 as kind, f.address as name from forwards f join domains d on d.domain = f.domain \
    where f.target_keys && $1::text[] and d.customer_id = $2 and f.address <> all($1) \
    union \
    select 1, f.address from forwards f join domains d on d.domain = f.domain, unnest(f.target_keys) as named(target) \
    where d.customer_id = $2 and f.address <> all($1) \
    and target collate \"C\" >= $5 and target collate \"C\" < $6 and substring(target from position('@' in target)) = any($4) \
    union \
    select 2, l.address from list_members m join lists l on l.list_id = m.list_id join domains d on d.domain = l.domain \
    where l.removed_time is null and d.customer_id = $2 and (m.member = any($1) \
    or (m.member >= $5 and m.member < $6 and substring(m.member from position('@' in m.member)) = any($4))) \
    union \
    select 3, l.address from lists l join domains d on d.domain = l.domain \
    where (l.owner_key = any($1) or (l.listserv_key = any($1) and l.listserv_key <> '') \
    or (l.owner_key >= $5 and l.owner_key < $6 and substring(l.owner_key from position('@' in l.owner_key)) = any($4))) \
    and l.removed_time is null and l.address <> all($1) and d.customer_id = $2 \
    union \
    select 4, d.domain from domains d \
    where d.default_action = 4 and lower(d.default_target) = any($1) and d.customer_id = $2 \
    order by kind, name limit $3";

/// What of its customer names the address; what stands at the address itself is left out. The domain of the address is locked.
pub(crate) async fn to(
    tx: &mut Tx,
    address: &str,
    change: &DomainChange,
) -> Result<Vec<Reference>, AccountError> {
    let local = address.rsplit_once('@').map_or(address, |(local, _)| local);
    let domains: Vec<String> =
        std::iter::once(&change.domain).chain(change.aliases()).map(|domain| format!("@{domain}")).collect();
    let names: Vec<String> = domains.iter().map(|domain| format!("{local}{domain}")).collect();
    // `,` comes after `+`; what is quoted has no tag.
    let quoted = local.starts_with('"');
    let (from, to) =
        if quoted { (String::new(), String::new()) } else { (format!("{local}+"), format!("{local},")) };
    sqlx::query(REFERENCES)
        .bind(names)
        .bind(change.customer_id)
        .bind(REFERENCES_MAX)
        .bind(domains)
        .bind(from)
        .bind(to)
        .try_map(|row: PgRow| {
            let kind = ReferenceKind::try_from(row.try_get::<i32, _>("kind")?).unwrap_or_default();
            Ok(Reference { kind: kind.into(), name: row.try_get("name")? })
        })
        .fetch_all(&mut **tx)
        .await
        .doing("look what names an address")
}
