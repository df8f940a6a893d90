//! How much of everything a customer may have, and has.
//!
//! Every create asks for room before it takes any other lock: the row of the customer is locked with the question, so that
//! two creates never take the same last place. Where nothing is limited, nothing is locked or counted.

use postern_mail::DomainName;
use postern_mesh::{
    audit::{Action, Thing},
    identity::Caller,
};
use postern_proto::account::v1::{CustomerLimits, Limits};

use crate::{
    Account,
    error::{AccountError, Doing as _},
    fields::invalid,
    settings::LimitDefaults,
    store::{
        Tx,
        audit::Deed,
        customers, domains,
        limits::{self, Allowance},
        mailboxes::NO_QUOTA,
        versions,
    },
};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Domains,
    /// Default boxes are not counted.
    Mailboxes,
    Forwards,
    Lists,
    /// Of all lists together.
    ListMembers,
    Autoresponders,
}

impl Kind {
    /// As customers read it.
    fn name(self) -> &'static str {
        match self {
            Self::Domains => "domains",
            Self::Mailboxes => "mailboxes",
            Self::Forwards => "forwards",
            Self::Lists => "mailing lists",
            Self::ListMembers => "list members",
            Self::Autoresponders => "autoresponders",
        }
    }

    fn of(self, limits: &Limits) -> Option<i64> {
        match self {
            Self::Domains => limits.domains,
            Self::Mailboxes => limits.mailboxes,
            Self::Forwards => limits.forwards,
            Self::Lists => limits.lists,
            Self::ListMembers => limits.list_members,
            Self::Autoresponders => limits.autoresponders,
        }
    }
}

impl LimitDefaults {
    /// What holds for a customer; absent: no limit.
    pub(crate) fn effective(&self, set: &Limits) -> Limits {
        let own = self.as_limits();
        let holds = |set: Option<i64>, default: Option<i64>| set.or(default).filter(|most| *most >= 0);
        Limits {
            domains: holds(set.domains, own.domains),
            mailboxes: holds(set.mailboxes, own.mailboxes),
            forwards: holds(set.forwards, own.forwards),
            lists: holds(set.lists, own.lists),
            list_members: holds(set.list_members, own.list_members),
            autoresponders: holds(set.autoresponders, own.autoresponders),
            storage_bytes: holds(set.storage_bytes, own.storage_bytes),
            mailbox_storage_bytes: holds(set.mailbox_storage_bytes, own.mailbox_storage_bytes),
            messages_per_hour: holds(set.messages_per_hour, own.messages_per_hour),
        }
    }
}

/// How many more of a kind there is room for at this domain; `None`: no limit. Locks as [`room_for`] does, and is silent about
/// domains of others as [`room_at`] is.
pub(crate) async fn room_left_at(
    tx: &mut Tx,
    defaults: &LimitDefaults,
    domain: &DomainName,
    kind: Kind,
) -> Result<Option<i64>, AccountError> {
    let owner = domains::owner_in(tx, domain.as_str()).await?;
    let Some(owner) = owner.filter(|owner| tx.caller.is_staff() || *owner == tx.caller.customer) else {
        return Ok(None);
    };
    let set = limits::set_for(tx, &owner).await?;
    let Some(most) = kind.of(&defaults.effective(&set)) else { return Ok(None) };
    limits::lock_customer(tx, &owner).await?;
    Ok(Some((most - limits::count(tx, &owner, kind).await?).max(0)))
}

/// Refuses `how_many` more of a kind when the customer may not have them. Comes before the locks of the graph and of domains.
pub(crate) async fn room_for(
    tx: &mut Tx,
    defaults: &LimitDefaults,
    customer: &str,
    kind: Kind,
    how_many: i64,
) -> Result<(), AccountError> {
    let set = limits::set_for(tx, customer).await?;
    let Some(most) = kind.of(&defaults.effective(&set)) else { return Ok(()) };
    limits::lock_customer(tx, customer).await?;
    let there = limits::count(tx, customer, kind).await?;
    if there.saturating_add(how_many) <= most {
        return Ok(());
    }
    let name = kind.name();
    Err(AccountError::LimitReached(format!(
        "customer {customer} may have {most} {name} and has {there}: remove some, or ask the operator for more"
    )))
}

/// The same for something that comes to a domain. Of a domain that is not hosted, or is another customer's, nothing is said: the
/// lock of the domain comes next and refuses it.
pub(crate) async fn room_at(
    tx: &mut Tx,
    defaults: &LimitDefaults,
    domain: &DomainName,
    kind: Kind,
    how_many: i64,
) -> Result<(), AccountError> {
    match domains::owner_in(tx, domain.as_str()).await? {
        Some(owner) if tx.caller.is_staff() || owner == tx.caller.customer => {
            room_for(tx, defaults, &owner, kind, how_many).await
        }
        _ => Ok(()),
    }
}

/// Refuses a quota of one box above what each box of its customer may hold. What staff sets is for them to know.
pub(crate) async fn quota_within(
    tx: &mut Tx,
    defaults: &LimitDefaults,
    customer: &str,
    field: &str,
    quota_bytes: Option<i64>,
) -> Result<(), AccountError> {
    let Some(wanted) = quota_bytes.filter(|_| !tx.caller.is_staff()) else { return Ok(()) };
    let set = limits::set_for(tx, customer).await?;
    match defaults.effective(&set).mailbox_storage_bytes {
        Some(most) if wanted == NO_QUOTA || wanted > most => invalid(
            field,
            format_args!("a mailbox of {customer} may hold at most {most} octets: ask the operator for more"),
        ),
        _ => Ok(()),
    }
}

impl Account {
    pub(crate) async fn customer_limits(
        &self,
        caller: &Caller,
        customer: &str,
    ) -> Result<CustomerLimits, AccountError> {
        if !caller.may_act_for(customer) {
            return Err(customers::not_found(customer));
        }
        let allowance = limits::allowance(self.store.pool(), customer).await?;
        self.limits_shown(customer, allowance)
    }

    /// Sets all limits of a customer; `etag` empty: whatever is there.
    pub(crate) async fn update_limits(
        &self,
        caller: &Caller,
        customer: &str,
        etag: &str,
        set: &Limits,
    ) -> Result<CustomerLimits, AccountError> {
        let mut tx = self.store.begin(caller).await?;
        let found = customers::lock(&mut tx, customer).await?;
        let before = self.limits_shown(customer, limits::allowance_in(&mut tx, customer).await?)?;
        if !etag.is_empty() && etag != before.etag {
            return Err(AccountError::EtagMismatch(format!("limits of {customer}")));
        }
        limits::set(&mut tx, found.customer_id, set).await?;
        // What boxes are told of their customer changes with it.
        for domain in customers::domains(&mut tx, found.customer_id).await? {
            if let Some(change) = versions::try_enter(&mut tx, &domain).await? {
                change.announce(&mut tx, &[]).await?;
            }
        }
        let after = self.limits_shown(customer, limits::allowance_in(&mut tx, customer).await?)?;
        let deed = Deed { customer, kind: Thing::Limits, name: customer, action: Action::Update };
        deed.changed(&mut tx, &before, &after).await?;
        tx.commit().await.doing("commit the limits of a customer")?;
        self.judge_boxes(caller, &[], Some(found.customer_id)).await?;
        Ok(after)
    }

    fn limits_shown(&self, customer: &str, found: Option<Allowance>) -> Result<CustomerLimits, AccountError> {
        let Allowance { set, usage, etag } = found.ok_or_else(|| customers::not_found(customer))?;
        Ok(CustomerLimits {
            customer: customer.to_owned(),
            effective: Some(self.limits.effective(&set)),
            limits: Some(set),
            usage: Some(usage),
            etag,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_comes_before_the_default_and_minus_one_is_no_limit() {
        let defaults = LimitDefaults { mailboxes: 5, forwards: 0, ..LimitDefaults::off() };
        let set = |mailboxes| Limits { mailboxes, ..Limits::default() };
        for (of, holds) in [(None, Some(5)), (Some(7), Some(7)), (Some(0), Some(0)), (Some(-1), None)] {
            assert_eq!(defaults.effective(&set(of)).mailboxes, holds, "{of:?}");
        }
        assert_eq!(defaults.effective(&set(None)).forwards, None, "0 as a default is off");
    }
}
