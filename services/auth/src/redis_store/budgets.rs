//! How many recipients outside a box, a client and a customer have had within this hour.

use std::sync::LazyLock;

use redis::Script;

use super::{Doing as _, RedisStore, StoreError};

/// Life of an hour's count, seconds: no clock needs to be exact.
const BUDGET_LIFE_SECONDS: u32 = 7200;

static COUNT_RECIPIENTS: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/count_recipients.lua")));

/// Recipients to count against the budgets of this hour.
#[derive(Debug)]
pub(crate) struct Budget<'a> {
    pub(crate) mailbox_id: i64,
    pub(crate) client: &'a str,
    pub(crate) recipients: u32,
    /// 0 = off.
    pub(crate) mailbox_limit: u32,
    /// 0 = off.
    pub(crate) client_limit: u32,
    /// Only ask whether they would fit.
    pub(crate) dry: bool,
    /// Login of the owner of the mailbox.
    pub(crate) customer: &'a str,
    /// What all logins of the customer may send together; `None` = off.
    pub(crate) customer_limit: Option<i64>,
}

/// Which budget of this hour is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UsedUp {
    /// That of the mailbox.
    Mailbox,
    /// That of the client address.
    Client,
    /// That of the customer.
    Customer,
}

impl UsedUp {
    /// Name in metrics, logs and the audit.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mailbox => "mailbox",
            Self::Client => "client",
            Self::Customer => "customer",
        }
    }
}

impl RedisStore {
    /// Counts recipients against the budgets, or only asks whether they would fit; nothing is counted when one of them would
    /// be exceeded.
    pub(crate) async fn count_recipients(
        &self,
        budget: &Budget<'_>,
        now: i64,
    ) -> Result<Option<UsedUp>, StoreError> {
        let hour = now.div_euclid(3_600_000);
        let mut invocation = COUNT_RECIPIENTS.prepare_invoke();
        invocation
            .key(format!("sent_mailbox:{}:{hour}", budget.mailbox_id))
            .key(format!("sent_client:{}:{hour}", budget.client))
            .key(format!("sent_customer:{}:{hour}", budget.customer))
            .arg(budget.recipients)
            .arg(unless_off(budget.mailbox_limit))
            .arg(unless_off(budget.client_limit))
            .arg(budget.customer_limit.unwrap_or(-1))
            .arg(BUDGET_LIFE_SECONDS)
            .arg(u8::from(budget.dry));
        let over: i64 =
            invocation.invoke_async(&mut self.connection.clone()).await.doing("counting recipients")?;
        Ok(match over {
            0 => None,
            1 => Some(UsedUp::Mailbox),
            2 => Some(UsedUp::Client),
            _ => Some(UsedUp::Customer),
        })
    }

    /// True once in an hour for each box and budget: its owner is to be told that it is used up.
    pub(crate) async fn claim_budget_notice(
        &self,
        mailbox_id: i64,
        budget: UsedUp,
        now: i64,
    ) -> Result<bool, StoreError> {
        let hour = now.div_euclid(3_600_000);
        let key = format!("budget_notice:{}:{mailbox_id}:{hour}", budget.name());
        let set: Option<String> = redis::cmd("SET")
            .arg(key)
            .arg(1)
            .arg("NX")
            .arg("EX")
            .arg(BUDGET_LIFE_SECONDS)
            .query_async(&mut self.connection.clone())
            .await
            .doing("noting a used up budget")?;
        Ok(set.is_some())
    }
}

/// A limit of 0 is none; the script writes that as -1.
fn unless_off(limit: u32) -> i64 {
    if limit == 0 { -1 } else { i64::from(limit) }
}
