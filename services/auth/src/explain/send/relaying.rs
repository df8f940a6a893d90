//! Whether this client may relay, in this name, and what MAIL and RCPT say to it.

use postern_mail::{PeerIp, Reason};
use postern_mesh::{clock::unix_millis, directory::Place};
use postern_proto::auth::v1::Verdict;
use postern_smtp::reply::Reply;

use super::SendQuestion;
use crate::{
    explain::{Explainer, sight::Sight, way::Way},
    grant::GrantEntry,
    relay::{Decision, Judgement, Permission, RelayError, RelayQuestion},
};

const SUMMARY: &str = "this client may not send to the outside now";
const USE_AUTH: &str =
    "Switch on authentication for the outgoing server, with the same login and password as for POP3.";

impl Explainer {
    /// What MAIL and RCPT hear; true when DATA may follow.
    pub(super) async fn relaying(
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
            Ok(permission) => self.permitted(way, question, asked, place, &permission).await,
            Err(error) => {
                let reason = error.reason();
                self.answer(way, "MAIL (submission)", question, at_submission(reason)).await;
                if !by_login && !place.needs_relay() {
                    way.passed(
                        "may-relay",
                        "not needed on port 25, which takes mail for boxes here from anybody",
                    );
                    way.smtp("RCPT", &Reply::recipient_ok());
                    return true;
                }
                // With a login it ends at MAIL.
                if !by_login {
                    self.answer(way, "RCPT", question, place.refused_relay(reason)).await;
                }
                self.why_not(way, sight, question, by_login, &error, judged.first()).await;
                false
            }
        }
    }

    /// It may relay, in this name; true when this hour has room for it.
    async fn permitted(
        &self,
        way: &mut Way,
        question: &SendQuestion,
        asked: &RelayQuestion,
        place: Place,
        permission: &Permission,
    ) -> bool {
        let by_login = asked.authenticated.is_some();
        let how = if by_login { "the login lets it out" } else { "checked its mail from this client" };
        way.passed("may-relay", format!("{}: {how}", permission.login));
        way.passed("sender-permitted", format!("it may use the sender <{}>", question.sender));
        way.smtp("MAIL (submission)", &Reply::sender_ok());
        if place.needs_relay() {
            if let Err(error) = self.desk.has_room(asked, &permission.mailbox).await {
                refused_budget(way, &error);
                return false;
            }
            way.passed("budget-left", "the hour's sending limit is not reached");
        }
        way.smtp("RCPT", &Reply::recipient_ok());
        true
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
