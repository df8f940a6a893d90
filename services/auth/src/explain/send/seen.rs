//! Whether mail of a client ever reaches the platform.

use postern_mail::PeerIp;
use postern_proto::auth::v1::Verdict;

use super::SendQuestion;
use crate::{
    explain::{Explainer, sight::Sight, way::Way},
    sightings::{self, Seen},
};

const BLOCKED_PORT: &str = "Most likely your provider blocks port 25: set the port of the outgoing server to 587 (with \
                            STARTTLS) or 465 (with TLS).";

impl Explainer {
    /// When this client was seen, and whether mail of it ever reached us.
    pub(super) async fn seen(&self, way: &mut Way, sight: &Sight, question: &SendQuestion) -> Seen {
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
