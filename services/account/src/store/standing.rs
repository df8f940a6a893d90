//! What stands at an address, of all kinds: one address is one thing.

use postern_mail::{EmailAddress, rewritten_sender::is_rewritten};
use sqlx::Row as _;

use super::Tx;
use crate::{
    error::{AccountError, Doing as _},
    list_addresses::{command_of, commands},
};

/// What a new thing at an address is going to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Newcomer {
    Mailbox,
    Forward,
    List,
    Autoresponder,
}

impl Newcomer {
    /// A mailbox may carry a forward that comes later, and an autoresponder stands beside either, or alone.
    fn stands_beside(self, kind: i16) -> bool {
        matches!(
            (self, kind),
            (Self::Forward, MAILBOX)
                | (Self::Autoresponder, MAILBOX | FORWARD)
                | (Self::Mailbox | Self::Forward, AUTORESPONDER)
        )
    }
}

const MAILBOX: i16 = 1;
const FORWARD: i16 = 2;
const LIST: i16 = 3;
const AUTORESPONDER: i16 = 4;

/// $1: canonical addresses.
const STANDING: &str = "\
    select 1::smallint as kind, login as name from mailboxes where removed_time is null and login = any($1) \
    union all select 2::smallint, address from forwards where address = any($1) \
    union all select 3::smallint, address from lists where removed_time is null and address = any($1) \
    union all select 4::smallint, address from autoresponders where address = any($1) order by kind, name";

/// $1: domain, $2 and $3: from where to where.
const TAGGED: &str = "\
    select 1::smallint as kind, address as name from mailboxes \
    where removed_time is null and domain = $1 and address >= $2 and address < $3 \
    union all select 2::smallint, address from forwards where domain = $1 and address >= $2 and address < $3 \
    union all select 4::smallint, address from autoresponders where domain = $1 and address >= $2 and address < $3 \
    order by kind, name";

/// Refuses an address where something stands that the newcomer cannot stand beside; says what. The lock of its domain is
/// held; the address is canonical.
pub(crate) async fn refuse_taken(
    tx: &mut Tx,
    address: &EmailAddress,
    newcomer: Newcomer,
) -> Result<(), AccountError> {
    if is_rewritten(address.local()) {
        return Err(AccountError::Precondition(format!(
            "{address} has the form of a rewritten sender (SRS): mail to it is led back to who sent it"
        )));
    }
    for (kind, name) in standing(tx, &[address.to_string()]).await? {
        if !newcomer.stands_beside(kind) {
            return Err(AccountError::AlreadyExists(format!("{name} is {} already", shown(kind))));
        }
    }
    if let Some((list, _)) = command_of(address)
        && standing(tx, std::slice::from_ref(&list)).await?.iter().any(|(kind, _)| *kind == LIST)
    {
        return Err(AccountError::AlreadyExists(format!(
            "{address} is a command address of the mailing list {list}"
        )));
    }
    if newcomer == Newcomer::List { refuse_taken_commands(tx, address).await } else { Ok(()) }
}

/// A list needs its command addresses too, with whatever tag.
async fn refuse_taken_commands(tx: &mut Tx, list: &EmailAddress) -> Result<(), AccountError> {
    let mut taken = standing(tx, &commands(list)).await?;
    for command in commands(list) {
        let local = command.strip_suffix(&format!("@{}", list.domain())).unwrap_or(&command);
        // What has a tag lies between `+` and the character after it, quoted or not.
        for quote in ["", "\""] {
            taken.extend(tagged(tx, list, &format!("{quote}{local}+"), &format!("{quote}{local},")).await?);
        }
    }
    match taken.first() {
        None => Ok(()),
        Some((kind, name)) => Err(AccountError::AlreadyExists(format!(
            "{name} is {}, but belongs to a mailing list {list}: remove it first",
            shown(*kind)
        ))),
    }
}

async fn standing(tx: &mut Tx, addresses: &[String]) -> Result<Vec<(i16, String)>, AccountError> {
    let rows = sqlx::query(STANDING)
        .bind(addresses)
        .try_map(|row: sqlx::postgres::PgRow| Ok((row.try_get("kind")?, row.try_get("name")?)));
    rows.fetch_all(&mut **tx).await.doing("look what stands at an address")
}

async fn tagged(
    tx: &mut Tx,
    list: &EmailAddress,
    from: &str,
    to: &str,
) -> Result<Vec<(i16, String)>, AccountError> {
    let rows = sqlx::query(TAGGED)
        .bind(list.domain().as_str())
        .bind(from)
        .bind(to)
        .try_map(|row: sqlx::postgres::PgRow| Ok((row.try_get("kind")?, row.try_get("name")?)));
    rows.fetch_all(&mut **tx).await.doing("look what stands at an address")
}

fn shown(kind: i16) -> &'static str {
    match kind {
        MAILBOX => "a mailbox",
        FORWARD => "a forward",
        LIST => "a mailing list",
        _ => "an autoresponder",
    }
}
