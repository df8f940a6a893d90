//! Why mail from somebody to somebody is taken or not: where the recipient is, whether this client may relay, and whether it
//! was seen at all.

use postern_mail::{EmailAddress, PeerIp, Reason, ReversePath, Verdict as MailVerdict};
use postern_mesh::{
    clock::unix_millis,
    directory::{Place, inbound_recipient, refusal_of_post},
};
use postern_proto::{
    account::v1::{
        ListAddress, ListPosting, LoginIdentity, LookupMailingListRequest, MailingList, Resolution,
        mailing_list_service_client::MailingListServiceClient, resolution::Outcome,
    },
    auth::v1::{ExplainSendResponse, Verdict},
    google::Timestamp,
};
use postern_smtp::reply::Reply;

use super::{Explainer, TypedLogin, sight::Sight, way::Way};
use crate::{
    authenticate::temporary_reason,
    grant::GrantEntry,
    relay::{Decision, Judgement, RelayError, RelayQuestion, Submitter},
    sightings::{self, Seen},
};

const SUMMARY: &str = "this client may not send to the outside now";
const USE_AUTH: &str =
    "Switch on authentication for the outgoing server, with the same login and password as for POP3.";
const BLOCKED_PORT: &str = "Most likely your provider blocks port 25: set the port of the outgoing server to 587 (with \
                            STARTTLS) or 465 (with TLS).";

/// What is to be explained.
#[derive(Debug)]
pub(crate) struct SendQuestion {
    pub(crate) sender: ReversePath,
    pub(crate) recipient: EmailAddress,
    /// `None`: a client without a grant.
    pub(crate) peer: Option<PeerIp>,
    /// With SMTP AUTH as this login, typed; empty: without.
    pub(crate) login: String,
    /// That login comes without TLS.
    pub(crate) clear_text: bool,
}

impl Explainer {
    /// Explains a mail at RCPT, and at MAIL on the ports of mail programs.
    pub(crate) async fn send(&self, sight: &Sight, question: &SendQuestion) -> ExplainSendResponse {
        let mut way = Way::default();
        self.decisions(&mut way, sight, question).await;
        let seen = self.seen(&mut way, sight, question).await;
        let time = |second: Option<i64>| second.map(|seconds| Timestamp { seconds, nanos: 0 });
        ExplainSendResponse {
            explanation: Some(way.finish("this mail is taken", "")),
            last_smtp_time: time(seen.smtp),
            last_submission_time: time(seen.submission),
            last_pop3_time: time(seen.pop3),
        }
    }

    async fn decisions(&self, way: &mut Way, sight: &Sight, question: &SendQuestion) {
        let submitter = match question.login.as_str() {
            "" => None,
            login => {
                let (peer, clear_text) = (question.peer, question.clear_text);
                let account = self.account_of(way, sight, TypedLogin { login, peer, clear_text }).await;
                if let Some(reason) = account.refusal {
                    way.smtp("AUTH", &reason.at_smtp_login().into());
                    return;
                }
                way.smtp("AUTH", &Reply::authenticated());
                account.identity.map(|identity| submitter(&identity))
            }
        };
        let resolution = match self.resolve(sight, &question.recipient).await {
            Ok(resolution) => resolution,
            Err(status) => {
                way.away("recipient-place", "the directory");
                way.smtp("RCPT", &temporary_reason(&status).into());
                return;
            }
        };
        let place = Place::of(&resolution);
        if let Some(reason) = place.refusal() {
            refused_recipient(way, question, reason);
            return;
        }
        way.passed("recipient-place", place_in_words(place, &question.recipient));
        let is_stranger =
            submitter.is_none() && !question.peer.is_some_and(|peer| self.desk.is_this_machine(peer));
        if is_stranger && self.is_flooded(&question.recipient, &resolution).await {
            way.smtp("RCPT", &Reason::InboundLimit.into());
            way.stopped(
                "recipient-may-get-more",
                format!("{} got as much mail of strangers as it may in an hour", question.recipient),
                Verdict::Later,
                "the recipient gets too much mail now",
                "The sender's server tries again by itself; with SMTP AUTH it is taken at once.",
            );
            return;
        }
        let asked = RelayQuestion {
            peer: question.peer.unwrap_or(PeerIp::NOBODY),
            sender: question.sender.clone(),
            authenticated: submitter,
            recipients: 1,
        };
        let sees = |mailbox: &_| sees_grant(sight, mailbox);
        let decided = match question.peer {
            None if asked.authenticated.is_none() => Ok(Decision::prohibited()),
            _ => self.desk.decide(&asked, sees).await,
        };
        let goes_on = self.relaying(way, sight, question, &asked, place, decided).await;
        if let Some(list_id) = list_of_post(&resolution).filter(|_| goes_on) {
            self.posting(way, question, list_id).await;
        }
    }

    /// Whether this recipient gets no more mail of strangers in this hour. When nobody can say, gateways take it.
    pub(super) async fn is_flooded(&self, recipient: &EmailAddress, resolution: &Resolution) -> bool {
        match inbound_recipient(recipient, resolution) {
            Some(counted) => self.desk.is_flooded(&counted).await.unwrap_or(false),
            None => false,
        }
    }

    /// Whether a mailing list takes a post of this sender; it is answered after the mail itself.
    async fn posting(&self, way: &mut Way, question: &SendQuestion, list_id: i64) {
        const RULE: &str = "may-post";
        let sender = question.sender.address();
        let member = sender.map(ToString::to_string).unwrap_or_default();
        let request = LookupMailingListRequest { list_id, member };
        let mut lists = MailingListServiceClient::new(self.account.clone());
        let found = match lists.lookup_mailing_list(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => {
                way.away(RULE, "account");
                way.smtp("DATA", &temporary_reason(&status).into());
                return;
            }
        };
        let recipient = &question.recipient;
        let Some(list) = found.list else {
            let found = format!("the list {recipient} was removed just now");
            way.stopped(RULE, found, Verdict::Refused, "there is no such recipient", "Ask again.");
            way.smtp("DATA", &Reason::NoSuchMailbox.into());
            return;
        };
        let who = who_may_post(&list);
        match refusal_of_post(&list, found.is_member, sender, 0) {
            None if list.message_max_bytes > 0 => {
                way.passed(RULE, format!("{who} may post, up to {} octets", list.message_max_bytes));
            }
            None => way.passed(RULE, format!("{who} may post")),
            Some(reason) => {
                way.smtp("DATA", &reason.into());
                way.stopped(
                    RULE,
                    format!("{recipient} is a mailing list to which only {who} may post"),
                    Verdict::Refused,
                    "the mailing list does not take posts of this sender",
                    "Send from the address that is a member, or have the list's owner add this one or let more people post.",
                );
            }
        }
    }

    /// What MAIL and RCPT hear; true when DATA may follow.
    async fn relaying(
        &self,
        way: &mut Way,
        sight: &Sight,
        question: &SendQuestion,
        asked: &RelayQuestion,
        place: Place,
        decided: Result<Decision, RelayError>,
    ) -> bool {
        let (outcome, judged) = match decided {
            Ok(decision) => (decision.outcome, decision.judged),
            Err(error) => (Err(error), Vec::new()),
        };
        let by_login = asked.authenticated.is_some();
        match outcome {
            Ok(permission) => {
                let how =
                    if by_login { "the login lets it out" } else { "checked its mail from this client" };
                way.passed("may-relay", format!("{}: {how}", permission.login));
                way.passed("sender-permitted", format!("it may use the sender {}", shown(&question.sender)));
                way.smtp("MAIL (submission)", &Reply::sender_ok());
                match self.desk.has_room(asked, &permission.mailbox).await {
                    _ if !place.needs_relay() => way.smtp("RCPT", &Reply::recipient_ok()),
                    Ok(()) => {
                        way.passed("budget-left", "the hour's sending limit is not reached");
                        way.smtp("RCPT", &Reply::recipient_ok());
                    }
                    Err(error) => {
                        refused_budget(way, &error);
                        return false;
                    }
                }
                true
            }
            Err(error) => {
                let reason = error.reason();
                // A login in whose place nobody can say now gets past MAIL all the same, for mail to boxes here.
                let passes_mail = by_login && reason.verdict() == MailVerdict::Temporary;
                if passes_mail {
                    way.smtp("MAIL (submission)", &Reply::sender_ok());
                } else {
                    self.answer(way, "MAIL (submission)", question, at_submission(reason)).await;
                }
                let ends_at_mail = by_login && !passes_mail;
                if !place.needs_relay() && !ends_at_mail {
                    way.passed(
                        "may-relay",
                        "not needed on port 25, which takes mail for boxes here from anybody",
                    );
                    way.smtp("RCPT", &Reply::recipient_ok());
                    return true;
                }
                if !ends_at_mail {
                    self.answer(way, "RCPT", question, place.refused_relay(reason)).await;
                }
                self.why_not(way, sight, question, by_login, &error, judged.first()).await;
                false
            }
        }
    }

    /// The rule that keeps this client from sending.
    async fn why_not(
        &self,
        way: &mut Way,
        sight: &Sight,
        question: &SendQuestion,
        by_login: bool,
        error: &RelayError,
        tried: Option<&(GrantEntry, Judgement)>,
    ) {
        match error {
            RelayError::Prohibited => self.prohibited(way, sight, question, by_login).await,
            RelayError::Crowd => shared_address(
                way,
                question.peer,
                "stands for nearly everybody who checks mail here, so the platform does not see whose it is",
            ),
            RelayError::SenderNotPermitted => foreign_sender(way, question, tried),
            _ => way.away("may-relay", "the directory or Redis"),
        }
    }

    /// A reply of the gateway, its text completed as there.
    async fn answer(&self, way: &mut Way, command: &str, question: &SendQuestion, reason: Reason) {
        let detail = match reason {
            Reason::RelayProhibited | Reason::AuthenticationRequired => {
                Some(Reason::check_mail_first(&self.checking_host(question).await))
            }
            _ => None,
        };
        way.smtp(command, &Reply::failure(reason, detail.as_deref()));
    }

    async fn checking_host(&self, question: &SendQuestion) -> String {
        let host = self.directory.mail_host_of(&question.sender).await;
        host.unwrap_or_else(|| self.mail_host.clone())
    }

    async fn prohibited(&self, way: &mut Way, sight: &Sight, question: &SendQuestion, by_login: bool) {
        if by_login {
            let found = "the login's mailbox or domain is not in service any more";
            way.stopped("may-relay", found, Verdict::Refused, SUMMARY, "Log in again.");
            return;
        }
        if let Some(peer) = question.peer.filter(|peer| !self.desk.policy.may_hold_grant(*peer)) {
            shared_address(way, Some(peer), "is an address that many share");
            return;
        }
        if let Some(login) = self.auth_only_sender(sight, question).await {
            way.stopped(
                "grants-allowed",
                format!("the domain of {login} is set to SMTP AUTH only: checking mail lets nobody send"),
                Verdict::Refused,
                SUMMARY,
                USE_AUTH,
            );
            return;
        }
        let host = self.checking_host(question).await;
        let found = match question.peer {
            Some(peer) => {
                format!("nobody has checked mail from {peer} lately, or what let it send has ended")
            }
            None => "a client that has not checked its mail".to_owned(),
        };
        way.stopped(
            "may-relay",
            found,
            Verdict::Refused,
            SUMMARY,
            format!(
                "Check your mail at {host} first, then send again; or switch on authentication for the outgoing server, with \
                 the same login and password as for POP3."
            ),
        );
    }

    /// The sender's own login, when its domain gives no grants.
    async fn auth_only_sender(&self, sight: &Sight, question: &SendQuestion) -> Option<String> {
        let address = question.sender.address()?.canonical();
        let identity = self.directory.login(&address.to_string()).await.ok()??;
        let visible = sight.sees_box(&identity.customer, identity.mailbox_id);
        (visible && identity.auth_only).then(|| identity.login.clone())
    }

    /// When this client was seen, and whether mail of it ever reached us.
    async fn seen(&self, way: &mut Way, sight: &Sight, question: &SendQuestion) -> Seen {
        const RULE: &str = "client-seen";
        let Some(peer) = question.peer else { return Seen::default() };
        if !sight.sees_all() && !sight.is_from(peer) && !self.has_logged_in(sight, question, peer).await {
            return Seen::default();
        }
        let seen = match sightings::seen(&self.store, peer.client_key()).await {
            Ok(seen) => seen,
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "sightings cannot be read");
                return Seen::default();
            }
        };
        match (seen.smtp.or(seen.submission), seen.pop3) {
            (Some(_), _) => way.passed(RULE, format!("{peer} has connected to send mail within a day")),
            (None, Some(_)) => way.stopped(
                RULE,
                format!("{peer} has fetched mail within a day, and no SMTP connection of it arrived here"),
                Verdict::Refused,
                "mail of this client never reaches the platform",
                BLOCKED_PORT,
            ),
            (None, None) => {
                way.passed(RULE, format!("{peer} was not seen within a day; is that its address?"))
            }
        }
        seen
    }

    /// True when the login or sender in question, if this person may see it, has logged in from there.
    async fn has_logged_in(&self, sight: &Sight, question: &SendQuestion, peer: PeerIp) -> bool {
        let sender = question.sender.address().map(|address| address.canonical().to_string());
        let typed = Some(question.login.clone()).filter(|login| !login.is_empty()).or(sender);
        let Some(typed) = typed else { return false };
        let Ok((_, Some(identity))) = self.logins.identify(&typed).await else { return false };
        if !sight.sees_box(&identity.customer, identity.mailbox_id) {
            return false;
        }
        let clients = self.store.clients_of(identity.mailbox_id).await.unwrap_or_default();
        clients.contains(&peer.client_key().to_string())
    }
}

/// The list that mail to this address is a post to.
fn list_of_post(resolution: &Resolution) -> Option<i64> {
    let Some(Outcome::Local(local)) = &resolution.outcome else { return None };
    local.list.as_ref().filter(|list| list.role() == ListAddress::Post).map(|list| list.list_id)
}

fn who_may_post(list: &MailingList) -> &'static str {
    match list.posting() {
        ListPosting::Anyone => "anybody with an address",
        ListPosting::Members | ListPosting::Unspecified => "its members and its owner",
        ListPosting::Owner => "its owner",
    }
}

fn sees_grant(sight: &Sight, mailbox: &postern_proto::account::v1::MailboxIdentity) -> bool {
    sight.sees_box(&mailbox.customer, mailbox.mailbox_id)
}

fn submitter(identity: &LoginIdentity) -> Submitter {
    Submitter {
        mailbox_id: identity.mailbox_id,
        login: identity.login.clone(),
        credential_version: identity.credential_version,
    }
}

/// What a gateway says at MAIL instead of at RCPT (RFC 4954 section 6).
fn at_submission(reason: Reason) -> Reason {
    if reason == Reason::RelayProhibited { Reason::AuthenticationRequired } else { reason }
}

/// No grant for an address that cannot be the client's own.
fn shared_address(way: &mut Way, peer: Option<PeerIp>, why: &str) {
    let peer = peer.unwrap_or(PeerIp::NOBODY);
    let found = format!("{peer} {why}: checking mail from there lets nobody send");
    way.stopped("own-address", found, Verdict::Refused, SUMMARY, USE_AUTH);
}

fn refused_recipient(way: &mut Way, question: &SendQuestion, reason: Reason) {
    let recipient = &question.recipient;
    let (found, verdict, summary, next) = match reason {
        Reason::OverQuota => (
            format!("the box of {recipient} holds as much as it may"),
            Verdict::Later,
            "the recipient's box is full",
            "Its owner must delete mail or raise the quota in the control panel; the sender's server tries again by itself.",
        ),
        Reason::NoSuchMailbox => (
            format!("{} is hosted here and nobody has this name", recipient.domain()),
            Verdict::Refused,
            "there is no such recipient",
            "Check how the address is spelled.",
        ),
        _ => {
            way.away("recipient-place", "the directory");
            way.smtp("RCPT", &reason.into());
            return;
        }
    };
    way.stopped("recipient-place", found, verdict, summary, next);
    way.smtp("RCPT", &reason.into());
}

fn refused_budget(way: &mut Way, error: &RelayError) {
    let detail =
        matches!(error, RelayError::BudgetExhausted(_)).then(|| Reason::budget_frees(unix_millis() / 1000));
    way.smtp("RCPT", &Reply::failure(error.reason(), detail.as_deref()));
    match error {
        RelayError::BudgetExhausted(_) => way.stopped(
            "budget-left",
            "as many recipients as are allowed in an hour were written to",
            Verdict::Later,
            "the sending limit of this hour is reached",
            "Wait until the next hour, or ask the provider for a higher limit.",
        ),
        _ => way.away("budget-left", "Redis"),
    }
}

fn foreign_sender(way: &mut Way, question: &SendQuestion, tried: Option<&(GrantEntry, Judgement)>) {
    let who = tried.map_or("the login", |(grant, _)| grant.login.as_str());
    let domain = question.sender.address().map(|address| address.domain().to_string()).unwrap_or_default();
    way.stopped(
        "sender-permitted",
        format!("{who} may send, but not with a sender of {domain}, which belongs to another customer"),
        Verdict::Refused,
        "the sender address belongs to another customer",
        format!("Use a sender of your own, or ask the owner of {domain} to let your customer login send in its name."),
    );
}

fn place_in_words(place: Place, recipient: &EmailAddress) -> String {
    match place {
        Place::Outside => format!("{} is outside: only who may relay can send there", recipient.domain()),
        Place::NotLive => {
            format!(
                "{} is known here and not in service: as if outside for who may relay",
                recipient.domain()
            )
        }
        Place::Here | Place::Full | Place::Nobody | Place::NoAnswer => format!("{recipient} is taken here"),
    }
}

fn shown(sender: &ReversePath) -> String {
    format!("<{sender}>")
}
