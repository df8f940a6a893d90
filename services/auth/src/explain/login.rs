//! Why a login works or not: up to its password, then whether its box is free.

use postern_mail::{PeerIp, Reason};
use postern_mesh::failure;
use postern_proto::{
    account::v1::LoginIdentity,
    auth::v1::{Explanation, Verdict},
    delivery::v1::{GetLockRequest, Lock, lock_service_client::LockServiceClient},
};
use postern_smtp::reply::Reply;

use super::{Explainer, TypedLogin, sight::Sight, way::Way};

impl Explainer {
    /// Explains a login.
    pub(crate) async fn login(&self, sight: &Sight, typed: TypedLogin<'_>) -> Explanation {
        let mut way = Way::default();
        let account = self.account_of(&mut way, sight, typed).await;
        match (account.refusal, account.identity) {
            (None, Some(identity)) => {
                self.lock_of(&mut way, &identity).await;
                way.smtp("AUTH", &Reply::authenticated());
            }
            (refusal, _) => {
                let reason = refusal.unwrap_or(Reason::Unavailable);
                // Where no clear text is offered nobody is asked for a password.
                let offered = self.plaintext_login.is_offered_to(typed.peer.unwrap_or(PeerIp::NOBODY));
                let is_early = reason == Reason::EncryptionRequired && !offered;
                way.pop3(if is_early { "USER" } else { "PASS" }, reason, None);
                way.smtp("AUTH", &reason.at_smtp_login().into());
            }
        }
        way.finish(
            "with the right password this login works",
            "If the mail program still says that login or password is wrong, the password is wrong: set a new one, and type \
             the same one into the mail program. If it says that encryption is required, switch on TLS in it.",
        )
    }

    /// Whether the box could be opened by POP3 now.
    async fn lock_of(&self, way: &mut Way, identity: &LoginIdentity) {
        const RULE: &str = "lock-free";
        let Some(delivery) = &self.delivery else { return };
        let request = GetLockRequest { mailbox_id: identity.mailbox_id };
        match LockServiceClient::new(delivery.clone()).get_lock(request).await {
            Ok(answer) => held(way, &answer.into_inner().lock.unwrap_or_default()),
            Err(status) if failure::typed_reason(&status) == Some(Reason::NotFound) => {
                way.passed(RULE, "no other session has the box open");
            }
            Err(status) => {
                tracing::warn!(%status, "the lock cannot be explained");
                way.away(RULE, "delivery");
                way.pop3("PASS", failure::reason_of(&status), None);
            }
        }
    }
}

fn held(way: &mut Way, lock: &Lock) {
    let since = lock.since_time.as_ref().map(|time| time.seconds);
    let peer: Option<PeerIp> = lock.peer_ip.parse().ok();
    let detail = Reason::held_since(since, peer);
    let from = peer.map(|peer| format!(" from {peer}")).unwrap_or_default();
    way.stopped(
        "lock-free",
        format!(
            "the box is open in another session{from}, and frees itself in {} s if that session is gone",
            lock.remaining_seconds
        ),
        Verdict::Later,
        "the box is open in another mail program: can't lock account",
        "Close the other mail program, or wait a minute if it crashed; to free the box now: `postern lock release` with its \
         address, or the button in the control panel.",
    );
    way.pop3("PASS", Reason::MailboxInUse, Some(&detail));
}
