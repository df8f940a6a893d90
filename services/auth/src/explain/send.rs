//! Why mail from somebody to somebody is taken or not: where the recipient is, whether this client may relay, whether a list takes
//! the post, and whether the client was seen at all.

mod posting;
mod relaying;
mod seen;

use postern_mail::{EmailAddress, PeerIp, Reason, ReversePath};
use postern_mesh::directory::{Place, inbound_recipient};
use postern_proto::{
    account::v1::{ListAddress, LoginIdentity, Resolution, resolution::Outcome},
    auth::v1::{ExplainSendResponse, Verdict},
    google::Timestamp,
};
use postern_smtp::reply::Reply;

use super::{Explainer, TypedLogin, sight::Sight, way::Way};
use crate::{
    authenticate::temporary_reason,
    relay::{Decision, RelayQuestion, Submitter},
};

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
}

/// The list that mail to this address is a post to.
fn list_of_post(resolution: &Resolution) -> Option<i64> {
    let Some(Outcome::Local(local)) = &resolution.outcome else { return None };
    local.list.as_ref().filter(|list| list.role() == ListAddress::Post).map(|list| list.list_id)
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
