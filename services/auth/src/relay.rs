//! May this client send this mail to the outside: the decision, and the walk through grants, directory and budgets
//! that leads to it. Fails closed: whatever is not known is not allowed.

use std::{cmp::Reverse, sync::Arc};

use postern_mail::{PeerIp, Reason, ReversePath, Verdict};
use postern_mesh::{
    clock::unix_millis,
    directory::{Directory, may_use_sender},
};
use postern_proto::account::v1::{ActivityState, DomainIdentity, DomainState, MailboxIdentity};
use thiserror::Error;
use tonic::Status;

use crate::{
    authenticate::temporary_reason,
    grant::{GrantEntry, GrantPolicy},
    redis_store::{Budget, RedisStore, StoreError, UsedUp},
};

/// A question at RCPT, or at MAIL with 0 recipients.
#[derive(Debug)]
pub(crate) struct RelayQuestion {
    pub(crate) peer: PeerIp,
    pub(crate) sender: ReversePath,
    /// Who gave a password in this session.
    pub(crate) authenticated: Option<Submitter>,
    pub(crate) recipients: u32,
}

/// Who answers for a mail: by AUTH, or by a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Submitter {
    pub(crate) mailbox_id: i64,
    pub(crate) login: String,
    pub(crate) credential_version: i64,
}

/// The mail may go out.
#[derive(Clone, Debug)]
pub(crate) struct Permission {
    pub(crate) login: String,
    pub(crate) mailbox: Arc<MailboxIdentity>,
    /// By AUTH, not by a grant.
    pub(crate) authenticated: bool,
}

/// Why it may not. The first four are verdicts.
#[derive(Debug, Error)]
pub(crate) enum RelayError {
    #[error("neither a live grant nor a live login")]
    Prohibited,
    #[error("the client's address stands for many customers")]
    Crowd,
    #[error("the sender's domain belongs to another customer")]
    SenderNotPermitted,
    #[error("recipients of this hour: {}", .0.budget.name())]
    BudgetExhausted(Box<Exhausted>),
    #[error("directory: {}", .0.message())]
    Directory(#[source] Box<Status>),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whose budget is used up.
#[derive(Debug)]
pub(crate) struct Exhausted {
    pub(crate) budget: UsedUp,
    pub(crate) mailbox_id: i64,
    pub(crate) address: String,
    pub(crate) customer: String,
}

impl RelayError {
    /// The row of the failure table.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Prohibited | Self::Crowd => Reason::RelayProhibited,
            Self::SenderNotPermitted => Reason::SenderNotPermitted,
            Self::BudgetExhausted(_) => Reason::BudgetExhausted,
            Self::Directory(status) => temporary_reason(status),
            Self::Store(_) => Reason::Unavailable,
        }
    }
}

/// What may be sent and received in an hour; 0 = off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BudgetLimits {
    /// Remote recipients of a mailbox.
    pub(crate) mailbox: u32,
    /// Remote recipients of a client.
    pub(crate) client: u32,
    /// Messages of strangers for a recipient here.
    pub(crate) inbound: u32,
}

/// What one grant, or one login, is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It lets this mail through.
    Permitted,
    /// It is alive, but not for this sender.
    SenderNotPermitted,
    /// What it stood on is gone.
    Dead,
}

/// Judges one credential: is its mailbox still there, with the password that was checked, in service, and may its
/// customer use this sender. `sender` is the sender's domain if hosted here; `None` for the null sender and the world.
pub(crate) fn judge(
    credential_version: i64,
    mailbox: Option<&MailboxIdentity>,
    domain: Option<&DomainIdentity>,
    sender: Option<&DomainIdentity>,
) -> Judgement {
    let (Some(mailbox), Some(domain)) = (mailbox, domain) else { return Judgement::Dead };
    let alive = is_alive(credential_version, Some(mailbox))
        && domain.state() == DomainState::Live
        && domain.customer == mailbox.customer;
    match (alive, may_use_sender(&mailbox.customer, sender)) {
        (false, _) => Judgement::Dead,
        (true, false) => Judgement::SenderNotPermitted,
        (true, true) => Judgement::Permitted,
    }
}

/// True while the mailbox is there, in service, and has the credential that was checked.
pub(crate) fn is_alive(credential_version: i64, mailbox: Option<&MailboxIdentity>) -> bool {
    mailbox.is_some_and(|mailbox| {
        !mailbox.removed
            && mailbox.state() == ActivityState::Active
            && mailbox.credential_version == credential_version
    })
}

/// In which order grants of one client are tried: that of the sender itself, then those of its domain, so that mail is
/// charged to whom it belongs to; among equals the newest.
pub(crate) fn put_in_order(entries: &mut [GrantEntry], sender: &ReversePath) {
    let sender = sender.address().map(|address| (address.canonical().to_string(), address.domain().as_str()));
    let (address, domain) = match &sender {
        Some((address, domain)) => (Some(address.as_str()), Some(*domain)),
        None => (None, None),
    };
    entries.sort_by_key(|entry| {
        (
            address != Some(entry.login.as_str()),
            domain != Some(entry.domain.as_str()),
            Reverse(entry.issued_at),
            entry.mailbox_id,
        )
    });
}

/// Decides about relaying. One for the whole process.
pub(crate) struct RelayDesk {
    pub(crate) directory: Directory,
    pub(crate) store: RedisStore,
    pub(crate) policy: GrantPolicy,
    pub(crate) budgets: BudgetLimits,
}

/// What was found about a question, before anything is counted or written.
pub(crate) struct Decision {
    pub(crate) outcome: Result<Permission, RelayError>,
    /// Live grants of the client in the order they were tried, up to the one that lets the mail through.
    pub(crate) judged: Vec<(GrantEntry, Judgement)>,
    /// Grants that do not hold any more.
    dead: Vec<GrantEntry>,
}

impl Decision {
    /// For a client of which nothing is known.
    pub(crate) fn prohibited() -> Self {
        Self::without_grants(Err(RelayError::Prohibited))
    }

    fn without_grants(outcome: Result<Permission, RelayError>) -> Self {
        Self { outcome, judged: Vec::new(), dead: Vec::new() }
    }
}

impl RelayDesk {
    /// Lets the mail through, counting its recipients, or says why not.
    pub(crate) async fn check(&self, question: &RelayQuestion) -> Result<Permission, RelayError> {
        let decision = self.decide(question, |_| true).await?;
        self.bury(&question.peer.client_key().to_string(), &decision.dead).await;
        let permission = decision.outcome?;
        self.count(question, &permission.mailbox, false).await?;
        Ok(permission)
    }

    /// The decision alone: nothing is counted or written. Grants of mailboxes that `counts` leaves out are not looked at.
    pub(crate) async fn decide(
        &self,
        question: &RelayQuestion,
        counts: impl Fn(&MailboxIdentity) -> bool,
    ) -> Result<Decision, RelayError> {
        let sender = self.sender_domain(&question.sender).await?;
        match &question.authenticated {
            Some(submitter) => match self.by_login(submitter, sender.as_deref()).await {
                Err(error) if error.reason().verdict() == Verdict::Temporary => Err(error),
                outcome => Ok(Decision::without_grants(outcome)),
            },
            None => self.by_grant(question, sender.as_deref(), counts).await,
        }
    }

    /// Whether this hour's budgets have room for the question's recipients; nothing is counted.
    pub(crate) async fn has_room(
        &self,
        question: &RelayQuestion,
        mailbox: &MailboxIdentity,
    ) -> Result<(), RelayError> {
        self.count(question, mailbox, true).await
    }

    /// Counts messages of strangers for recipients here; the places of those that get no more in this hour.
    pub(crate) async fn count_inbound(&self, counts: &[(String, u32)]) -> Result<Vec<i32>, StoreError> {
        match self.budgets.inbound {
            0 => Ok(Vec::new()),
            limit => self.store.count_inbound(counts, limit, unix_millis()).await,
        }
    }

    /// True when this recipient gets no more mail of strangers in this hour.
    pub(crate) async fn is_flooded(&self, recipient: &str) -> Result<bool, StoreError> {
        match self.budgets.inbound {
            0 => Ok(false),
            limit => Ok(self.store.inbound_of(recipient, unix_millis()).await? >= limit),
        }
    }

    /// Loopback wins grants only where the site said so: the local profile, where it is everybody and no limit holds for it.
    pub(crate) fn is_this_machine(&self, peer: PeerIp) -> bool {
        peer.is_loopback() && self.policy.may_hold_grant(peer)
    }

    async fn by_login(
        &self,
        submitter: &Submitter,
        sender: Option<&DomainIdentity>,
    ) -> Result<Permission, RelayError> {
        let (judgement, mailbox) =
            self.judge_mailbox(submitter.mailbox_id, submitter.credential_version, sender).await?;
        match (judgement, mailbox) {
            (Judgement::Permitted, Some(mailbox)) => {
                Ok(Permission { login: submitter.login.clone(), mailbox, authenticated: true })
            }
            (Judgement::SenderNotPermitted, _) => Err(RelayError::SenderNotPermitted),
            _ => Err(RelayError::Prohibited),
        }
    }

    async fn by_grant(
        &self,
        question: &RelayQuestion,
        sender: Option<&DomainIdentity>,
        counts: impl Fn(&MailboxIdentity) -> bool,
    ) -> Result<Decision, RelayError> {
        if !self.policy.may_hold_grant(question.peer) {
            return Ok(Decision::without_grants(Err(RelayError::Prohibited)));
        }
        let found = self.store.grants_at(&question.peer.client_key().to_string()).await?;
        if found.is_crowd && self.policy.watches_crowd(question.peer) {
            return Ok(Decision::without_grants(Err(RelayError::Crowd)));
        }
        let now = unix_millis();
        let (mut live, dead): (Vec<_>, Vec<_>) =
            found.entries.into_iter().partition(|entry| entry.holds(now, found.redis_now));
        put_in_order(&mut live, &question.sender);
        let mut decision = Decision { outcome: Err(RelayError::Prohibited), judged: Vec::new(), dead };
        for entry in live {
            let (judgement, mailbox) =
                self.judge_mailbox(entry.mailbox_id, entry.credential_version, sender).await?;
            let Some(mailbox) = mailbox else {
                decision.dead.push(entry);
                continue;
            };
            if !counts(&mailbox) {
                continue;
            }
            // The domain may have been set to "AUTH only" since.
            if judgement == Judgement::Dead || mailbox.auth_only {
                decision.dead.push(entry);
                continue;
            }
            decision.judged.push((entry.clone(), judgement));
            if judgement == Judgement::Permitted {
                decision.outcome = Ok(Permission { login: entry.login, mailbox, authenticated: false });
                break;
            }
            decision.outcome = Err(RelayError::SenderNotPermitted);
        }
        Ok(decision)
    }

    /// The dead cannot hurt; removing them only spares the next question.
    async fn bury(&self, client: &str, dead: &[GrantEntry]) {
        if dead.is_empty() {
            return;
        }
        if let Err(error) = self.store.forget_grants(client, dead).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "dead grants stay for now");
        }
    }

    async fn judge_mailbox(
        &self,
        mailbox_id: i64,
        credential_version: i64,
        sender: Option<&DomainIdentity>,
    ) -> Result<(Judgement, Option<Arc<MailboxIdentity>>), RelayError> {
        let away = |status| RelayError::Directory(Box::new(status));
        let mailbox = self.directory.mailbox(mailbox_id).await.map_err(away)?;
        let domain = match mailbox.as_ref().map(|mailbox| mailbox.domain.parse()) {
            Some(Ok(name)) => self.directory.domain(&name).await.map_err(away)?,
            _ => None,
        };
        Ok((judge(credential_version, mailbox.as_deref(), domain.as_deref(), sender), mailbox))
    }

    async fn sender_domain(&self, sender: &ReversePath) -> Result<Option<Arc<DomainIdentity>>, RelayError> {
        let Some(address) = sender.address() else { return Ok(None) };
        let found = self.directory.domain(address.domain()).await;
        found.map_err(|status| RelayError::Directory(Box::new(status)))
    }

    async fn count(
        &self,
        question: &RelayQuestion,
        mailbox: &MailboxIdentity,
        dry: bool,
    ) -> Result<(), RelayError> {
        let is_exempt = self.is_this_machine(question.peer);
        let budget = Budget {
            mailbox_id: mailbox.mailbox_id,
            client: &question.peer.client_key().to_string(),
            recipients: question.recipients,
            mailbox_limit: self.budgets.mailbox,
            client_limit: if is_exempt { 0 } else { self.budgets.client },
            dry,
            customer: &mailbox.customer,
            customer_limit: mailbox.customer_messages_per_hour,
        };
        let is_off = budget.mailbox_limit == 0 && budget.client_limit == 0 && budget.customer_limit.is_none();
        if budget.recipients == 0 || is_off {
            return Ok(());
        }
        match self.store.count_recipients(&budget, unix_millis()).await? {
            None => Ok(()),
            Some(budget) => Err(RelayError::BudgetExhausted(Box::new(Exhausted {
                budget,
                mailbox_id: mailbox.mailbox_id,
                address: mailbox.address.clone(),
                customer: mailbox.customer.clone(),
            }))),
        }
    }
}

#[cfg(test)]
mod tests {
    use postern_proto::account::v1::SenderPolicy;

    use super::*;

    fn mailbox() -> MailboxIdentity {
        MailboxIdentity {
            mailbox_id: 1,
            customer: "homepage".to_owned(),
            credential_version: 3,
            state: ActivityState::Active.into(),
            ..Default::default()
        }
    }

    fn domain(customer: &str, policy: SenderPolicy, state: DomainState) -> DomainIdentity {
        DomainIdentity {
            customer: customer.to_owned(),
            state: state.into(),
            sender_policy: policy.into(),
            allowed_senders: vec!["named".to_owned()],
            ..Default::default()
        }
    }

    fn own() -> DomainIdentity {
        domain("homepage", SenderPolicy::Owner, DomainState::Live)
    }

    #[test]
    fn a_credential_lives_only_while_all_it_stands_on_does() {
        let judged =
            |mailbox: &MailboxIdentity, domain: &DomainIdentity| judge(3, Some(mailbox), Some(domain), None);
        assert_eq!(judged(&mailbox(), &own()), Judgement::Permitted);
        for dead in [
            MailboxIdentity { removed: true, ..mailbox() },
            MailboxIdentity { credential_version: 4, ..mailbox() },
            MailboxIdentity { credential_version: 2, ..mailbox() },
            MailboxIdentity { state: ActivityState::Suspended.into(), ..mailbox() },
            MailboxIdentity { state: ActivityState::Unspecified.into(), ..mailbox() },
            MailboxIdentity { customer: "former".to_owned(), ..mailbox() },
        ] {
            assert_eq!(judged(&dead, &own()), Judgement::Dead, "{dead:?}");
        }
        for state in [DomainState::Pending, DomainState::Lost, DomainState::Unspecified] {
            let domain = domain("homepage", SenderPolicy::Owner, state);
            assert_eq!(judged(&mailbox(), &domain), Judgement::Dead, "{state:?}");
        }
        assert_eq!(judge(3, None, Some(&own()), None), Judgement::Dead);
        assert_eq!(judge(3, Some(&mailbox()), None, None), Judgement::Dead);
    }

    #[test]
    fn another_customers_sender_is_told_from_a_dead_credential() {
        let foreign = domain("other", SenderPolicy::Owner, DomainState::Live);
        assert_eq!(judge(3, Some(&mailbox()), Some(&own()), Some(&foreign)), Judgement::SenderNotPermitted);
        let dead = MailboxIdentity { removed: true, ..mailbox() };
        assert_eq!(judge(3, Some(&dead), Some(&own()), Some(&foreign)), Judgement::Dead);
    }

    #[test]
    fn mail_is_charged_to_whom_it_belongs() {
        let entry = |id: i64, issued: i64, domain: &str, login: &str| {
            GrantEntry::parse(&id.to_string(), &format!("{issued} 60 1 {} {domain} {login}", issued + 60_000))
                .unwrap()
        };
        let mut entries = [
            entry(1, 100, "a.test", "x@a.test"),
            entry(2, 101, "b.test", "x@b.test"),
            entry(3, 99, "b.test", "y@b.test"),
            entry(4, 102, "c.test", "x@c.test"),
        ];
        let order = |entries: &mut [GrantEntry], sender: &str| {
            put_in_order(entries, &sender.parse().unwrap());
            entries.iter().map(|entry| entry.mailbox_id).collect::<Vec<_>>()
        };
        assert_eq!(order(&mut entries, "Y@B.test"), [3, 2, 4, 1]);
        assert_eq!(order(&mut entries, "z@b.test"), [2, 3, 4, 1]);
        assert_eq!(order(&mut entries, "z@elsewhere.test"), [4, 2, 1, 3]);
        assert_eq!(order(&mut entries, ""), [4, 2, 1, 3]);
    }
}
