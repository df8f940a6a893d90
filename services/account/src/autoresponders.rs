//! Autoresponders: an answer by itself, at an address with a mailbox, with a forward, or alone.

use std::time::Duration;

use postern_mail::{DomainName, EmailAddress};
use postern_mesh::{
    audit::{Action, Thing},
    identity::{Caller, Role},
};
use postern_proto::account::v1::Autoresponder;
use prost::Message as _;

use crate::{
    Account,
    error::{AccountError, Doing as _},
    fields::{self, invalid},
    forwards::enter_address,
    limits,
    paging::Page,
    store::{
        Store, Tx,
        audit::Deed,
        autoresponders::{self, AutoresponderSettings},
        standing::{self, Newcomer},
        versions::{self, DomainChange},
    },
};

/// How often it is looked whether one begins or ends: within a second everybody acts on it.
pub(crate) const TURNS_EVERY: Duration = Duration::from_millis(500);

/// Answers of one page, octets: a client takes 4 MiB in one message.
const PAGE_MAX_BYTES: usize = 2 * 1024 * 1024;

/// What is to be changed; `None` leaves it. Every field is checked.
#[derive(Default)]
pub(crate) struct AutoresponderUpdate {
    pub(crate) subject: Option<String>,
    pub(crate) text: Option<String>,
    /// `Some(None)`: at once.
    pub(crate) start_micros: Option<Option<i64>>,
    /// `Some(None)`: without an end.
    pub(crate) end_micros: Option<Option<i64>>,
    pub(crate) interval_seconds: Option<i64>,
}

/// What a call asks for: the first where one stands already, the second where there is none. Which of them counts is known
/// under the lock only.
pub(crate) struct Wanted {
    /// Empty: whatever is there.
    pub(crate) etag: String,
    pub(crate) update: Result<AutoresponderUpdate, AccountError>,
    /// `None`: nothing is created.
    pub(crate) new: Option<Result<AutoresponderSettings, AccountError>>,
}

impl Account {
    pub(crate) async fn autoresponder(
        &self,
        caller: &Caller,
        address: &EmailAddress,
    ) -> Result<Autoresponder, AccountError> {
        self.may_see_address(caller, address, || autoresponders::not_found(address)).await?;
        autoresponders::get(self.store.pool(), address).await
    }

    /// A page of a domain's, and the token of the next one.
    pub(crate) async fn autoresponders(
        &self,
        caller: &Caller,
        domain: &DomainName,
        page: &Page,
    ) -> Result<(Vec<Autoresponder>, String), AccountError> {
        self.may_see_domain(caller, domain).await?;
        let mut rows = autoresponders::page(self.store.pool(), domain, page).await?;
        if rows.is_empty() {
            self.domain(caller, domain).await?;
        }
        let size = Autoresponder::encoded_len;
        let next = page.finish_within(PAGE_MAX_BYTES, &mut rows, |a| &a.address, size);
        Ok((rows, next))
    }

    pub(crate) async fn set_autoresponder(
        &self,
        caller: &Caller,
        address: &EmailAddress,
        wanted: Wanted,
    ) -> Result<Autoresponder, AccountError> {
        let mut tx = self.store.begin(caller).await?;
        if wanted.new.is_some() && autoresponders::find_in(&mut tx, &address.to_string()).await?.is_none() {
            limits::room_at(&mut tx, &self.limits, address.domain(), limits::Kind::Autoresponders, 1).await?;
        }
        let change = enter_address(&mut tx, address).await?;
        let before = autoresponders::find_in(&mut tx, &address.to_string()).await?;
        match (&before, wanted.new) {
            (Some(before), _) => {
                if !wanted.etag.is_empty() && wanted.etag != before.etag {
                    return Err(AccountError::EtagMismatch(format!("the autoresponder at {address}")));
                }
                let settings = wanted.update?.settings(before)?;
                let same_text = settings.subject == before.subject && settings.text == before.text;
                let text_version = if same_text { before.text_version } else { change.version };
                autoresponders::update(&mut tx, address, &settings, text_version, change.version).await?;
            }
            (None, Some(new)) => add(&mut tx, address, &checked(new?)?, change.version, &change).await?,
            (None, None) => return Err(autoresponders::not_found(address)),
        }
        let after = found(&mut tx, address).await?;
        match &before {
            Some(before) => deed(&change, &after, Action::Update).changed(&mut tx, before, &after).await?,
            None => deed(&change, &after, Action::Create).created(&mut tx, &after).await?,
        }
        change.announce(&mut tx, &[]).await?;
        tx.commit().await.doing("commit an autoresponder")?;
        Ok(after)
    }

    /// Returns the audit entry that tells of it.
    pub(crate) async fn delete_autoresponder(
        &self,
        caller: &Caller,
        address: &EmailAddress,
    ) -> Result<i64, AccountError> {
        let mut tx = self.store.begin(caller).await?;
        let change = enter_address(&mut tx, address).await?;
        let before = found(&mut tx, address).await?;
        autoresponders::remove(&mut tx, &before.address).await?;
        let told = deed(&change, &before, Action::Delete);
        let audit_id = told.note::<Autoresponder, Autoresponder>(&mut tx, Some(&before), None).await?;
        change.announce(&mut tx, &[]).await?;
        tx.commit().await.doing("commit the removal of an autoresponder")?;
        Ok(audit_id)
    }

    /// What delivery must know, with the login of the owner; `None`: it was removed, or its time is not now.
    pub(crate) async fn look_up_autoresponder(
        &self,
        autoresponder_id: i64,
    ) -> Result<Option<(Autoresponder, String)>, AccountError> {
        autoresponders::look_up(self.store.pool(), autoresponder_id).await
    }
}

impl AutoresponderUpdate {
    /// What it will be.
    fn settings(self, before: &Autoresponder) -> Result<AutoresponderSettings, AccountError> {
        let before = settings_of(before)?;
        checked(AutoresponderSettings {
            subject: self.subject.unwrap_or(before.subject),
            text: self.text.unwrap_or(before.text),
            start_micros: self.start_micros.unwrap_or(before.start_micros),
            end_micros: self.end_micros.unwrap_or(before.end_micros),
            interval_seconds: self.interval_seconds.unwrap_or(before.interval_seconds),
        })
    }
}

/// The settings of one as the gRPC face shows it, each field checked.
pub(crate) fn settings_of(shown: &Autoresponder) -> Result<AutoresponderSettings, AccountError> {
    Ok(AutoresponderSettings {
        subject: fields::answer_subject("autoresponder.subject", &shown.subject)?,
        text: fields::answer_text("autoresponder.text", &shown.text)?,
        start_micros: fields::moment("autoresponder.start_time", shown.start_time.as_ref())?,
        end_micros: fields::moment("autoresponder.end_time", shown.end_time.as_ref())?,
        interval_seconds: fields::interval("autoresponder.interval_seconds", shown.interval_seconds)?,
    })
}

/// What only holds between fields.
fn checked(settings: AutoresponderSettings) -> Result<AutoresponderSettings, AccountError> {
    match (settings.start_micros, settings.end_micros) {
        (Some(start), Some(end)) if end <= start => {
            invalid("autoresponder.end_time", "must be after start_time")
        }
        _ => Ok(settings),
    }
}

/// Adds one where it may stand; the lock of the domain is held.
pub(crate) async fn add(
    tx: &mut Tx,
    address: &EmailAddress,
    settings: &AutoresponderSettings,
    text_version: i64,
    change: &DomainChange,
) -> Result<(), AccountError> {
    standing::refuse_taken(tx, address, Newcomer::Autoresponder).await?;
    autoresponders::insert(tx, address, settings, text_version, change.version).await
}

fn deed<'d>(change: &'d DomainChange, shown: &'d Autoresponder, action: Action) -> Deed<'d> {
    Deed { customer: &change.customer, kind: Thing::Autoresponder, name: &shown.address, action }
}

pub(crate) async fn found(tx: &mut Tx, address: &EmailAddress) -> Result<Autoresponder, AccountError> {
    let found = autoresponders::find_in(tx, &address.to_string()).await?;
    found.ok_or_else(|| autoresponders::not_found(address))
}

/// Tells the domains of autoresponders that began or ended that they changed: answers are kept by version, not by time.
pub(crate) async fn tell_turns(store: &Store) -> Result<(), AccountError> {
    for domain in autoresponders::domains_with_turns(store.pool()).await? {
        let mut tx = store.begin(&Caller::new("account", Role::Service)).await?;
        let Some(change) = versions::try_enter(&mut tx, &domain).await? else { continue };
        // Another replica may have been faster.
        if autoresponders::take_turns(&mut tx, &domain).await? {
            change.announce(&mut tx, &[]).await?;
            tx.commit().await.doing("commit that autoresponders began or ended")?;
        }
    }
    Ok(())
}
