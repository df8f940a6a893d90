//! What the mail path reads: each question is one statement, so that rows and version are of one moment.

use std::collections::HashSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use postern_mail::{
    DomainName,
    rewritten_sender::{SenderKey, day_of},
};
use postern_mesh::clock::unix_seconds;
use postern_proto::account::v1::{
    ActivityState, AppPasswordHash, DomainIdentity, DomainState, LoginIdentity, MailboxIdentity,
};
use sqlx::{PgConnection, PgPool, Row as _, postgres::PgRow};

use super::{Tx, domains::read_rule, mail_keys, number, read};
use crate::{
    error::{AccountError, Doing as _},
    resolver::{AutoresponderRow, DomainRow, ForwardRow, HostedDomain, ListRow, Question, Snapshot},
};

/// Kinds of rows in the answer of `SNAPSHOT`.
const MAILBOX: i16 = 1;
const FORWARD: i16 = 2;
const LIST: i16 = 4;
const AUTORESPONDER: i16 = 5;
const FULL: i16 = 6;

/// $1: canonical addresses, with and without their tags. $2: their domains. $3: the lists that they, or the commands among
/// them, may belong to.
const SNAPSHOT: &str = "\
    select 1::smallint as kind, login as name, mailbox_id as number, null::bigint as hosted_box, null::smallint as state, \
        null::text as alias_of, null::smallint as action, null::text as target, null::text[] as targets, false as flag \
    from mailboxes where login = any($1) and removed_time is null \
    union all \
    select 6::smallint, login, mailbox_id, null, null, null, null, null, null, false from mailboxes \
    where over_quota and removed_time is null and login = any($1 || array(select login from domains where domain = any($2))) \
    union all \
    select 2::smallint, address, 0, null, null, null, null, null, targets, keep_copy from forwards where address = any($1) \
    union all \
    select 3::smallint, v.domain, v.version, d.default_mailbox_id, d.state, d.alias_of, d.default_action, d.default_target, null, false \
    from versions v left join domains d on d.domain = v.domain where v.domain = any($2) \
    union all \
    select 4::smallint, address, list_id, null, null, null, null, owner, array[listserv], listserv <> '' \
    from lists where address = any($3) and removed_time is null \
    union all \
    select 5::smallint, address, autoresponder_id, null, null, null, null, null, null, coalesce(start_time <= now(), true) \
    from autoresponders where address = any($1) and coalesce(end_time > now(), true)";

/// Reads every row that can matter to these questions.
pub(crate) async fn snapshot(pool: &PgPool, questions: &[Question]) -> Result<Snapshot, AccountError> {
    let mut asked = questions.to_vec();
    loop {
        let Keys { names, domains, lists } = Keys::of(&asked);
        let rows = read!(sqlx::query(SNAPSHOT).bind(&names).bind(&domains).bind(&lists).fetch_all(pool));
        let mut snapshot = assemble(&rows.doing("resolve an address")?)?;
        if !ask_at_home(&mut asked, questions, &snapshot) {
            if questions.iter().any(|question| question.rewritten.is_some()) {
                snapshot.sender_keys = marks(pool).await?;
                snapshot.today = today();
            }
            return Ok(snapshot);
        }
    }
}

/// The keys that rewritten senders are checked with. They are asked for with bounces only.
async fn marks(pool: &PgPool) -> Result<Vec<SenderKey>, AccountError> {
    let keys = mail_keys::sender_keys(pool).await?;
    Ok(keys.iter().map(|key| SenderKey::new(&key.secret)).collect())
}

fn today() -> u64 {
    day_of(unix_seconds())
}

/// The same within a write.
pub(crate) async fn snapshot_in(
    connection: &mut PgConnection,
    questions: &[Question],
) -> Result<Snapshot, AccountError> {
    let mut asked = questions.to_vec();
    loop {
        let Keys { names, domains, lists } = Keys::of(&asked);
        let rows =
            sqlx::query(SNAPSHOT).bind(&names).bind(&domains).bind(&lists).fetch_all(&mut *connection).await;
        let snapshot = assemble(&rows.doing("resolve an address")?)?;
        if !ask_at_home(&mut asked, questions, &snapshot) {
            return Ok(snapshot);
        }
    }
}

/// What was asked under a second name is to be looked up in the domain that it stands for, too: all in one statement, so
/// that it is of one moment. True when there is something to ask that was not asked yet.
fn ask_at_home(asked: &mut Vec<Question>, questions: &[Question], snapshot: &Snapshot) -> bool {
    let mut home: Vec<_> = questions.iter().filter_map(|question| question.at_home(snapshot)).collect();
    home.retain(|question| !asked.iter().any(|known| known.exact == question.exact));
    let is_more = !home.is_empty();
    asked.append(&mut home);
    is_more
}

/// What `SNAPSHOT` looks up.
struct Keys<'q> {
    names: Vec<&'q str>,
    domains: Vec<&'q str>,
    lists: Vec<&'q str>,
}

impl<'q> Keys<'q> {
    fn of(questions: &'q [Question]) -> Self {
        let mut names = Vec::with_capacity(questions.len());
        for question in questions {
            names.push(question.exact.as_str());
            names.extend(question.without_tag.as_deref());
        }
        let commands = questions.iter().filter_map(|question| question.command.as_ref());
        let mut lists: Vec<_> =
            names.iter().copied().chain(commands.map(|(list, _)| list.as_str())).collect();
        let mut domains: Vec<_> = questions.iter().map(Question::domain).collect();
        // A domain or user that is asked for many times is read once.
        for keys in [&mut names, &mut domains, &mut lists] {
            keys.sort_unstable();
            keys.dedup();
        }
        Self { names, domains, lists }
    }
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
            FULL => {
                snapshot.full.insert(row.try_get("number").doing(DOING)?);
            }
            FORWARD => {
                let targets = row.try_get("targets").doing(DOING)?;
                let keep_copy = row.try_get("flag").doing(DOING)?;
                snapshot.forwards.insert(name, ForwardRow { targets, keep_copy });
            }
            LIST => {
                snapshot.lists.insert(name, list(row).doing(DOING)?);
            }
            AUTORESPONDER => {
                let autoresponder_id = row.try_get("number").doing(DOING)?;
                let started = row.try_get("flag").doing(DOING)?;
                snapshot.autoresponders.insert(name, AutoresponderRow { autoresponder_id, started });
            }
            _ => {
                let version = row.try_get("number").doing(DOING)?;
                let state: Option<i16> = row.try_get("state").doing(DOING)?;
                let hosted = state.map(|_| hosted(row)).transpose()?;
                snapshot.domains.insert(name, DomainRow { version, hosted });
            }
        }
    }
    Ok(snapshot)
}

fn list(row: &PgRow) -> Result<ListRow, sqlx::Error> {
    let handed_over: bool = row.try_get("flag")?;
    let listserv: Vec<String> = row.try_get("targets")?;
    Ok(ListRow {
        list_id: row.try_get("number")?,
        owner: row.try_get("target")?,
        listserv: listserv.into_iter().next().filter(|_| handed_over),
    })
}

/// Which of these domains are hosted here.
pub(crate) async fn hosted_among(tx: &mut Tx, names: &[&str]) -> Result<HashSet<String>, AccountError> {
    let hosted = sqlx::query_scalar("select domain from domains where domain = any($1)").bind(names);
    Ok(hosted.fetch_all(&mut **tx).await.doing("look for domains")?.into_iter().collect())
}

fn hosted(row: &PgRow) -> Result<HostedDomain, AccountError> {
    const DOING: &str = "read a domain";
    let alias_of = row.try_get("alias_of").doing(DOING)?;
    let default_mailbox_id: Option<i64> = row.try_get("hosted_box").doing(DOING)?;
    let default_mailbox_id = default_mailbox_id.unwrap_or_default();
    let state = DomainState::try_from(number(row, "state").doing(DOING)?)
        .map_err(|_| AccountError::Stored("an unknown domain state is stored"))?;
    let default_rule = read_rule(number(row, "action").doing(DOING)?, row.try_get("target").doing(DOING)?)?;
    Ok(HostedDomain { state, alias_of, default_mailbox_id, default_rule })
}

/// Whether a code is needed besides the password; only panel sessions ask for it.
macro_rules! second_factor {
    () => {
        "exists (select from second_factors f where f.confirm_time is not null and \
         (case when m.default_box then f.customer_id = m.customer_id else f.mailbox_id = m.mailbox_id end))"
    };
}

/// `$for_panel` chooses between two statements.
macro_rules! select_logins {
    ($for_panel:expr, $domain_state:literal, $rest:literal) => {
        if $for_panel {
            select_logins!(@ second_factor!(), $domain_state, $rest)
        } else {
            select_logins!(@ "false", $domain_state, $rest)
        }
    };
    (@ $second_factor:expr, $domain_state:literal, $rest:literal) => {
        concat!(
            "select m.login, m.mailbox_id, m.address, m.domain, v.version, c.login as customer, \
             coalesce(m.password_phc, c.password_phc) as phc, m.credential_version, m.state, c.state as customer_state, \
             m.default_box, array(select a.app_password_id || ' ' || a.protocol || ' ' || encode(a.secret_sha256, 'base64') \
             from app_passwords a where a.mailbox_id = m.mailbox_id order by a.app_password_id)::text[] as app_passwords, \
             ",
            $second_factor,
            " as second_factor, ",
            $domain_state,
            " as domain_state, d.grant_ttl_seconds, d.auth_only, d.plaintext_login \
             from mailboxes m join domains d on d.domain = m.domain join versions v on v.domain = m.domain \
             join customers c on c.customer_id = m.customer_id ",
            $rest
        )
    };
}

/// Whose login this canonical one is; its second factor is told for a panel session only.
pub(crate) async fn login(
    pool: &PgPool,
    login: &str,
    for_panel: bool,
) -> Result<Option<LoginIdentity>, AccountError> {
    let statement = select_logins!(for_panel, "d.state", "where m.login = $1 and m.removed_time is null");
    let found =
        read!(sqlx::query(statement).bind(login).try_map(|row| login_identity(&row)).fetch_optional(pool));
    match found.doing("look up a login")? {
        Some(identity) => Ok(Some(identity)),
        None => login_under_second_name(pool, login, for_panel).await,
    }
}

/// `user@alias` is the login `user@target`, and works while both names are in service.
async fn login_under_second_name(
    pool: &PgPool,
    login: &str,
    for_panel: bool,
) -> Result<Option<LoginIdentity>, AccountError> {
    let Some((local, domain)) = login.rsplit_once('@') else { return Ok(None) };
    let statement = select_logins!(
        for_panel,
        "case when a.state = 2 then d.state else a.state end",
        "join domains a on a.alias_of = m.domain \
         where a.domain = $2 and m.login = $1 || '@' || a.alias_of and m.removed_time is null"
    );
    read!(
        sqlx::query(statement)
            .bind(local)
            .bind(domain)
            .try_map(|row| login_identity(&row))
            .fetch_optional(pool)
    )
    .doing("look up a login under a second name")
}

/// A customer whose own login opens no box, for a panel session.
pub(crate) async fn customer_login(
    pool: &PgPool,
    login: &str,
) -> Result<Option<LoginIdentity>, AccountError> {
    read!(
        sqlx::query(
            "select c.login, c.password_phc, c.credential_version, c.state, exists (select from second_factors f \
             where f.customer_id = c.customer_id and f.confirm_time is not null) as second_factor \
             from customers c where c.login = $1 and c.removed_time is null",
        )
        .bind(login)
        .try_map(|row: PgRow| {
            let login: String = row.try_get("login")?;
            Ok(LoginIdentity {
                customer: login.clone(),
                login,
                password_phc: row.try_get("password_phc")?,
                credential_version: row.try_get("credential_version")?,
                state: number(&row, "state")?,
                default_box: true,
                second_factor: row.try_get("second_factor")?,
                ..LoginIdentity::default()
            })
        })
        .fetch_optional(pool)
    )
    .doing("look up a customer's login")
}

/// What a mailbox is or was. The hourly limit is as set for its customer.
pub(crate) async fn mailbox(pool: &PgPool, mailbox_id: i64) -> Result<Option<MailboxIdentity>, AccountError> {
    read!(
        sqlx::query(
            "select m.mailbox_id, m.address, m.domain, v.version, c.login as customer, m.credential_version, m.state, \
             c.state as customer_state, m.removed_time is not null as removed, coalesce(d.auth_only, false) as auth_only, \
             m.default_box, l.messages_per_hour, coalesce(m.quota_bytes, l.mailbox_storage_bytes) as quota_bytes, m.over_quota \
             from mailboxes m join versions v on v.domain = m.domain \
             join customers c on c.customer_id = m.customer_id left join domains d on d.domain = m.domain \
             left join limits l on l.customer_id = m.customer_id where m.mailbox_id = $1",
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
                full: row.try_get("over_quota")?,
                quota_bytes: row.try_get("quota_bytes")?,
                customer_messages_per_hour: row.try_get("messages_per_hour")?,
                default_box: row.try_get("default_box")?,
                domain,
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
            "select d.domain, v.version, c.login as customer, d.state, d.sender_policy, d.allowed_senders, \
             coalesce(d.alias_of, '') as alias_of, coalesce(t.plaintext_login, d.plaintext_login) as plaintext_login, \
             coalesce(t.dmarc_handling, d.dmarc_handling) as dmarc_handling, \
             coalesce(t.spam_handling, d.spam_handling) as spam_handling, \
             coalesce(t.spam_mailbox, d.spam_mailbox) as spam_mailbox, \
             coalesce(t.grant_ttl_seconds, d.grant_ttl_seconds) as grant_ttl_seconds, \
             coalesce(t.auth_only, d.auth_only) as auth_only \
             from domains d join versions v on v.domain = d.domain join customers c on c.customer_id = d.customer_id \
             left join domains t on t.domain = d.alias_of \
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
                plaintext_login: row.try_get("plaintext_login")?,
                alias_of: row.try_get("alias_of")?,
                dmarc_handling: number(&row, "dmarc_handling")?,
                spam_handling: number(&row, "spam_handling")?,
                spam_mailbox: row.try_get("spam_mailbox")?,
                grant_ttl_seconds: row.try_get("grant_ttl_seconds")?,
                auth_only: row.try_get("auth_only")?,
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
        default_box: row.try_get("default_box")?,
        app_passwords: app_passwords(row)?,
        plaintext_login: row.try_get("plaintext_login")?,
        second_factor: row.try_get("second_factor")?,
        domain,
    })
}

/// Each as `id protocol hash`. What cannot be read opens nothing.
fn app_passwords(row: &PgRow) -> Result<Vec<AppPasswordHash>, sqlx::Error> {
    let texts: Vec<String> = row.try_get("app_passwords")?;
    let read = |text: &String| {
        let mut parts = text.splitn(3, ' ');
        Some(AppPasswordHash {
            app_password_id: parts.next()?.parse().ok()?,
            protocol: parts.next()?.parse().ok()?,
            secret_sha256: STANDARD.decode(parts.next()?).ok()?.into(),
        })
    };
    Ok(texts.iter().filter_map(read).collect())
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
