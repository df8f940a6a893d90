//! The other services as the gateway sees them: answers to the session's questions, and the way of content to delivery.
//!
//! Last step of the walk. Rule R0 is kept here: what a service did not type as its own "no" is temporary.

mod inbound;
mod recipients;
mod revocations;
mod submission;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use postern_mail::{EmailAddress, PeerIp, Reason, ReversePath, Verdict, sasl::Credentials};
use postern_mesh::{
    client::MeshChannel, clock::unix_seconds, directory::Directory, failure, held_back::HeldBack,
    shutdown::Shutdown,
};
use postern_proto::{
    auth::v1::{
        AuthenticateRequest, AuthenticatedSubmitter, CheckRelayRequest, Protocol,
        login_service_client::LoginServiceClient, relay_service_client::RelayServiceClient,
    },
    delivery::v1::submission_service_client::SubmissionServiceClient,
};
use postern_smtp::command::Refused;
use tonic::{Request, Status};

use crate::session::{Event, Login, Question, RelayRight};
use inbound::InboundCounts;
pub(crate) use revocations::Revocations;
pub(crate) use submission::{FRAME_BYTES, Submission};

/// Auth may let a password wait for its turn (conformance, "Deadlines").
const LOGIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Who is asked, and by whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    /// The client.
    pub(crate) peer: PeerIp,
    /// For logs of auth.
    pub(crate) session_id: &'a str,
}

/// Clients of the three services. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Upstream {
    directory: Directory,
    login: LoginServiceClient<MeshChannel>,
    relay: RelayServiceClient<MeshChannel>,
    submission: SubmissionServiceClient<MeshChannel>,
    held_back: HeldBack,
    inbound: InboundCounts,
    /// Which rights die.
    pub(crate) revocations: Revocations,
    names: Arc<Names>,
}

/// What the gateway calls itself and its postmaster.
#[derive(Debug)]
struct Names {
    mail_host: String,
    postmasters: Vec<EmailAddress>,
}

impl Upstream {
    /// Begins to watch the directory and the revocations, as tasks of `shutdown`. A recipient here gets `inbound_limit` messages of
    /// strangers an hour; 0 = off.
    #[must_use]
    pub(crate) fn new(
        account: MeshChannel,
        auth: MeshChannel,
        delivery: MeshChannel,
        mail_host: &str,
        postmasters: Vec<EmailAddress>,
        inbound_limit: u32,
        shutdown: &Shutdown,
    ) -> Self {
        let directory = Directory::new(account, shutdown);
        let relay = RelayServiceClient::new(auth.clone());
        Self {
            revocations: Revocations::watch(relay.clone(), &directory, shutdown),
            directory,
            login: LoginServiceClient::new(auth),
            relay,
            submission: SubmissionServiceClient::new(delivery),
            held_back: HeldBack::new(shutdown),
            inbound: InboundCounts::new(inbound_limit),
            names: Arc::new(Names { mail_host: mail_host.to_owned(), postmasters }),
        }
    }

    /// Answers a question of the session.
    pub(crate) async fn answer(&self, question: Question, asker: Asker<'_>) -> Event {
        match question {
            Question::Login { credentials, clear_text } => {
                Event::LoginAnswered(self.authenticate(credentials, clear_text, asker).await)
            }
            Question::Sender { sender, login } => {
                Event::SenderAnswered(self.sender(&sender, login.as_ref(), asker).await)
            }
            Question::Recipients { sender, login, paths, counted } => {
                let answers = self.recipients(&sender, login.as_ref(), paths, counted, asker).await;
                Event::RecipientsAnswered(answers)
            }
        }
    }

    /// Opens the way for one message.
    #[must_use]
    pub(crate) fn submission(&self, envelope: postern_proto::delivery::v1::Envelope) -> Submission {
        Submission::new(self.submission.clone(), envelope)
    }

    /// Our name in `Received:`.
    #[must_use]
    pub(crate) fn mail_host(&self) -> &str {
        &self.names.mail_host
    }

    async fn authenticate(
        &self,
        credentials: Credentials,
        clear_text: bool,
        asker: Asker<'_>,
    ) -> Result<Login, Reason> {
        let mut request = Request::new(AuthenticateRequest {
            login: credentials.login,
            password: credentials.password.0,
            protocol: Protocol::Smtp.into(),
            peer_ip: asker.peer.to_string(),
            session_id: asker.session_id.to_owned(),
            clear_text,
        });
        request.set_timeout(LOGIN_TIMEOUT);
        match self.login.clone().authenticate(request).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                Ok(Login {
                    login: answer.login,
                    mailbox_id: answer.mailbox_id,
                    customer: answer.customer,
                    credential_version: answer.credential_version,
                })
            }
            Err(status) => {
                let reason = self.held_back.reason_of(&status).await;
                let said = reason.at_smtp_login();
                if said != reason {
                    away("auth", &status, asker.session_id, reason);
                }
                Err(said)
            }
        }
    }

    /// May this client send at all, and in this name: asked at MAIL on the doors of mail programs.
    async fn sender(
        &self,
        sender: &ReversePath,
        login: Option<&Login>,
        asker: Asker<'_>,
    ) -> Result<RelayRight, Refused> {
        match (self.check_relay(sender, login, 0, asker).await, login) {
            (Ok(right), _) => Ok(right),
            (Err(Reason::RelayProhibited), _) => {
                Err(self.check_mail_first(Reason::AuthenticationRequired, sender).await)
            }
            (Err(reason), Some(login)) if reason.verdict() == Verdict::Temporary => {
                self.sender_of_login(sender, login, asker, reason).await
            }
            (Err(reason), _) => Err(reason.into()),
        }
    }

    /// Auth is away: who logged in may still write to boxes here (PROMISES.md, promise 3), in a name that the directory says it may
    /// use. What leaves is asked for at RCPT. `away`: what is said when the directory does not know either.
    async fn sender_of_login(
        &self,
        sender: &ReversePath,
        login: &Login,
        asker: Asker<'_>,
        away: Reason,
    ) -> Result<RelayRight, Refused> {
        let permitted = match sender.address() {
            Some(address) => self.directory.may_use_sender(&login.customer, address.domain()).await,
            None => Ok(true),
        };
        match permitted {
            Ok(true) => Ok(login.right()),
            Ok(false) => Err(Reason::SenderNotPermitted.into()),
            Err(status) => {
                self::away("account", &status, asker.session_id, failure::reason_of(&status));
                Err(away.into())
            }
        }
    }

    async fn check_relay(
        &self,
        sender: &ReversePath,
        login: Option<&Login>,
        recipient_count: i32,
        asker: Asker<'_>,
    ) -> Result<RelayRight, Reason> {
        let request = CheckRelayRequest {
            peer_ip: asker.peer.to_string(),
            sender: sender.to_string(),
            authenticated: login.map(|login| AuthenticatedSubmitter {
                mailbox_id: login.mailbox_id,
                login: login.login.clone(),
                credential_version: login.credential_version,
            }),
            recipient_count,
        };
        match self.relay.clone().check_relay(request).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                Ok(RelayRight {
                    login: answer.login,
                    mailbox_id: answer.mailbox_id,
                    customer: answer.customer,
                    authenticated: answer.authenticated,
                })
            }
            Err(status) => {
                let own = [Reason::RelayProhibited, Reason::SenderNotPermitted, Reason::BudgetExhausted];
                Err(believed(&status, &own, "auth", asker.session_id))
            }
        }
    }

    /// The phrase of the platform, with the host where this sender checks mail.
    async fn check_mail_first(&self, reason: Reason, sender: &ReversePath) -> Refused {
        let host = self.directory.mail_host_of(sender).await;
        let hint = Reason::check_mail_first(host.as_deref().unwrap_or(&self.names.mail_host));
        Refused { reason, detail: Some(hint) }
    }
}

/// The reason of a status, if this service may give it; anything else is temporary (R0).
fn believed(status: &Status, own: &[Reason], service: &'static str, session_id: &str) -> Reason {
    let reason = failure::reason_of(status);
    if own.contains(&reason) {
        return reason;
    }
    let shown = match reason {
        Reason::Misconfigured | Reason::InsufficientStorage | Reason::Overloaded => reason,
        _ => Reason::Unavailable,
    };
    debug_assert_eq!(shown.verdict(), Verdict::Temporary);
    away(service, status, session_id, reason);
    shown
}

/// The log's half of a failure; the peer only learns that it is temporary. All are counted, one a second is written.
fn away(service: &'static str, status: &Status, session_id: &str, reason: Reason) {
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    metrics::counter!("postern_smtp_upstream_failures_total", "service" => service).increment(1);
    let now = unix_seconds();
    if WRITTEN.swap(now, Ordering::Relaxed) == now {
        return;
    }
    tracing::warn!(
        session_id,
        service,
        code = ?status.code(),
        reason = reason.name(),
        detail = failure::detail_of(status),
        "a service gave no answer"
    );
}
