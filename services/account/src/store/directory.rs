//! What the mail path reads: each question is one statement, so that rows and version are of one moment.

use postern_mail::DomainName;
use postern_proto::account::v1::{
    ActivityState, DomainIdentity, DomainState, LoginIdentity, MailboxIdentity,
};
use sqlx::{PgExecutor, PgPool, Row as _, postgres::PgRow};

use super::{domains::read_rule, number, read};
use crate::{
    error::{AccountError, Doing as _},
    resolver::{DomainRow, ForwardRow, HostedDomain, Question, Snapshot},
};

/// Kinds of rows in the answer of `SNAPSHOT`.
const MAILBOX: i16 = 1;
const FORWARD: i16 = 2;

/// $1: canonical addresses, with and without their tags. $2: their domains.
const SNAPSHOT: &str = "\
    select 1::smallint as kind, login as name, mailbox_id as number, null::bigint as hosted_box, null::smallint as state, \
        null::smallint as action, null::text as target, null::text[] as targets, false as keep_copy \
    from mailboxes where login = any($1) and removed_time is null \
    union all \
    select 2::smallint, address, 0, null, null, null, null, targets, keep_copy from forwards where address = any($1) \
    union all \
    select 3::smallint, v.domain, v.version, d.default_mailbox_id, d.state, d.default_action, d.default_target, null, false \
    from versions v left join domains d on d.domain = v.domain where v.domain = any($2)";

/// Reads every row that can matter to these questions.
pub(crate) async fn snapshot(pool: &PgPool, questions: &[Question]) -> Result<Snapshot, AccountError> {
    let (names, domains) = keys(questions);
    let rows = read!(sqlx::query(SNAPSHOT).bind(&names).bind(&domains).fetch_all(pool));
    assemble(&rows.doing("resolve an address")?)
}

/// The same within a write.
pub(crate) async fn snapshot_in(
    executor: impl PgExecutor<'_>,
    questions: &[Question],
) -> Result<Snapshot, AccountError> {
    let (names, domains) = keys(questions);
    let rows = sqlx::query(SNAPSHOT).bind(&names).bind(&domains).fetch_all(executor).await;
    assemble(&rows.doing("resolve an address")?)
}

fn keys(questions: &[Question]) -> (Vec<&str>, Vec<&str>) {
    let mut names = Vec::with_capacity(questions.len());
    for question in questions {
        names.push(question.exact.as_str());
        names.extend(question.without_tag.as_deref());
    }
    let mut domains: Vec<_> = questions.iter().map(Question::domain).collect();
    // A domain or user that is asked for many times is read once.
    for keys in [&mut names, &mut domains] {
        keys.sort_unstable();
        keys.dedup();
    }
    (names, domains)
}

fn assemble(rows: &[PgRow]) -> Result<Snapshot, AccountError> {
    const DOING: &str = "read what an address leads to";
    let mut snapshot = Snapshot::default();
    for row in rows {
        let name: String = row.try_get("name").doing(DOING)?;
        match row.try_get::<i16, _>("kind").doing(DOING)? {
            MAILBOX => {
                snapshot.mailboxes.insert(name, row.try_get("number").doing(DOING)?);
            }
            FORWARD => {
                let targets = row.try_get("targets").doing(DOING)?;
                let keep_copy = row.try_get("keep_copy").doing(DOING)?;
                snapshot.forwards.insert(name, ForwardRow { targets, keep_copy });
            }
            _ => {
                let version = row.try_get("number").doing(DOING)?;
                let default_mailbox_id: Option<i64> = row.try_get("hosted_box").doing(DOING)?;
                let hosted = default_mailbox_id.map(|id| hosted(row, id)).transpose()?;
                snapshot.domains.insert(name, DomainRow { version, hosted });
            }
        }
    }
    Ok(snapshot)
}

fn hosted(row: &PgRow, default_mailbox_id: i64) -> Result<HostedDomain, AccountError> {
    const DOING: &str = "read a domain";
    let state = DomainState::try_from(number(row, "state").doing(DOING)?)
        .map_err(|_| AccountError::Stored("an unknown domain state is stored"))?;
    let default_rule = read_rule(number(row, "action").doing(DOING)?, row.try_get("target").doing(DOING)?)?;
    Ok(HostedDomain { state, default_mailbox_id, default_rule })
}

/// Whose login this canonical one is.
pub(crate) async fn login(pool: &PgPool, login: &str) -> Result<Option<LoginIdentity>, AccountError> {
    read!(
        sqlx::query(
            "select m.login, m.mailbox_id, m.address, m.domain, v.version, c.login as customer, \
             coalesce(m.password_phc, c.password_phc) as phc, m.credential_version, m.state, c.state as customer_state, \
             d.state as domain_state, d.grant_ttl_seconds, d.auth_only \
             from mailboxes m join domains d on d.domain = m.domain join versions v on v.domain = m.domain \
             join customers c on c.customer_id = m.customer_id where m.login = $1 and m.removed_time is null",
        )
        .bind(login)
        .try_map(|row| login_identity(&row))
        .fetch_optional(pool)
    )
    .doing("look up a login")
}

/// What a mailbox is or was.
pub(crate) async fn mailbox(pool: &PgPool, mailbox_id: i64) -> Result<Option<MailboxIdentity>, AccountError> {
    read!(
        sqlx::query(
            "select m.mailbox_id, m.address, m.domain, v.version, c.login as customer, m.credential_version, m.state, \
             c.state as customer_state, m.removed_time is not null as removed, coalesce(d.auth_only, false) as auth_only \
             from mailboxes m join versions v on v.domain = m.domain \
             join customers c on c.customer_id = m.customer_id left join domains d on d.domain = m.domain \
             where m.mailbox_id = $1",
        )
        .bind(mailbox_id)
        .try_map(|row: PgRow| {
            let domain: String = row.try_get("domain")?;
            Ok(MailboxIdentity {
                mailbox_id: row.try_get("mailbox_id")?,
                address: shown_address(row.try_get("address")?, &domain),
                domain_version: row.try_get("version")?,
                customer: row.try_get("customer")?,
                credential_version: row.try_get("credential_version")?,
                state: activity(&row)?,
                removed: row.try_get("removed")?,
                auth_only: row.try_get("auth_only")?,
                domain,
                ..MailboxIdentity::default()
            })
        })
        .fetch_optional(pool)
    )
    .doing("look up a mailbox")
}

/// What a hosted domain is.
pub(crate) async fn domain(pool: &PgPool, name: &DomainName) -> Result<Option<DomainIdentity>, AccountError> {
    read!(
        sqlx::query(
            "select d.domain, v.version, c.login as customer, d.state, d.sender_policy, d.allowed_senders \
             from domains d join versions v on v.domain = d.domain join customers c on c.customer_id = d.customer_id \
             where d.domain = $1",
        )
        .bind(name.as_str())
        .try_map(|row: PgRow| {
            Ok(DomainIdentity {
                name: row.try_get("domain")?,
                domain_version: row.try_get("version")?,
                customer: row.try_get("customer")?,
                state: number(&row, "state")?,
                sender_policy: number(&row, "sender_policy")?,
                allowed_senders: row.try_get("allowed_senders")?,
                ..DomainIdentity::default()
            })
        })
        .fetch_optional(pool)
    )
    .doing("look up a domain")
}

fn login_identity(row: &PgRow) -> Result<LoginIdentity, sqlx::Error> {
    let domain: String = row.try_get("domain")?;
    Ok(LoginIdentity {
        login: row.try_get("login")?,
        mailbox_id: row.try_get("mailbox_id")?,
        address: shown_address(row.try_get("address")?, &domain),
        domain_version: row.try_get("version")?,
        customer: row.try_get("customer")?,
        password_phc: row.try_get("phc")?,
        credential_version: row.try_get("credential_version")?,
        state: activity(row)?,
        domain_state: number(row, "domain_state")?,
        grant_ttl_seconds: row.try_get("grant_ttl_seconds")?,
        auth_only: row.try_get("auth_only")?,
        domain,
        ..LoginIdentity::default()
    })
}

/// A mailbox is active only if its customer is.
fn activity(row: &PgRow) -> Result<i32, sqlx::Error> {
    let active = i32::from(ActivityState::Active);
    let both = number(row, "state")? == active && number(row, "customer_state")? == active;
    Ok(if both { active } else { ActivityState::Suspended.into() })
}

/// A default box has no address; postmaster leads to it.
fn shown_address(address: String, domain: &str) -> String {
    if address.is_empty() { format!("postmaster@{domain}") } else { address }
}
