//! What names an address: forwards, members and owners of lists, default addresses. Each is found by its index.

use postern_proto::account::v1::{Reference, ReferenceKind};
use sqlx::{Row as _, postgres::PgRow};

use super::Tx;
use crate::error::{AccountError, Doing as _};

/// References told at most: more nobody reads.
const REFERENCES_MAX: i64 = 1000;

/// $1: canonical address. $2: the customer whose things are told. Numbers as in `ReferenceKind`.
const REFERENCES: &str = "\
    select 1 as kind, f.address as name from forwards f join domains d on d.domain = f.domain \
    where f.target_keys @> array[$1] and d.customer_id = $2 and f.address <> $1 \
    union all \
    select 2, l.address from list_members m join lists l on l.list_id = m.list_id join domains d on d.domain = l.domain \
    where m.member = $1 and l.removed_time is null and d.customer_id = $2 \
    union all \
    select 3, l.address from lists l join domains d on d.domain = l.domain \
    where (l.owner_key = $1 or (l.listserv_key = $1 and l.listserv_key <> '')) and l.removed_time is null \
    and l.address <> $1 and d.customer_id = $2 \
    union all \
    select 4, d.domain from domains d where d.default_action = 4 and lower(d.default_target) = $1 and d.customer_id = $2 \
    order by kind, name limit $3";

/// What of this customer names the address; what stands at the address itself is left out.
pub(crate) async fn to(tx: &mut Tx, address: &str, customer_id: i64) -> Result<Vec<Reference>, AccountError> {
    sqlx::query(REFERENCES)
        .bind(address)
        .bind(customer_id)
        .bind(REFERENCES_MAX)
        .try_map(|row: PgRow| {
            let kind = ReferenceKind::try_from(row.try_get::<i32, _>("kind")?).unwrap_or_default();
            Ok(Reference { kind: kind.into(), name: row.try_get("name")? })
        })
        .fetch_all(&mut **tx)
        .await
        .doing("look what names an address")
}
