//! `postern.auth.v1.RelayService`.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::Stream;
use postern_mail::{Reason, Verdict};
use postern_mesh::{
    audit::{Action, AuditTrail, Thing},
    clock::unix_millis,
    failure,
    identity::Caller,
    opened,
    shutdown::Shutdown,
};
use postern_proto::account::v1::AuditEntry;
use postern_proto::auth::v1::{
    CheckRelayRequest, CheckRelayResponse, CountInboundRequest, CountInboundResponse, InboundCount,
    ListGrantsRequest, ListGrantsResponse, Revocation, RevocationBeat, RevokeGrantRequest,
    RevokeGrantResponse, WatchRevocationsRequest, WatchRevocationsResponse,
    relay_service_server::RelayService, watch_revocations_response::Event,
};
use tokio::{
    sync::{broadcast, mpsc},
    time::{MissedTickBehavior, interval},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{invalid, peer_ip};
use crate::{
    authenticate::temporary_reason,
    grant_list::{GrantList, GrantListError},
    relay::{Exhausted, RelayDesk, RelayError, RelayQuestion, Submitter},
    revocation::Revocations,
};

/// Recipients of one question at most: those of one transaction.
const RECIPIENTS_MAX: u32 = 1000;
/// Recipients of one question about received mail.
const INBOUND_COUNTS_MAX: usize = 1000;
/// Octets of such a recipient: those of an address, and what stands in front of it.
const INBOUND_RECIPIENT_MAX_BYTES: usize = 400;
/// Messages that are told at once.
const INBOUND_MESSAGES_MAX: u32 = 1_000_000;
/// The stream of revocations beats so often; the contract says every second at least.
const BEAT_EVERY: Duration = Duration::from_millis(500);
/// Events that a watcher may leave unread.
const UNREAD_MAX: usize = 64;

pub(crate) struct RelayFace {
    pub(crate) desk: Arc<RelayDesk>,
    pub(crate) grants: GrantList,
    pub(crate) revocations: Revocations,
    pub(crate) audit: AuditTrail,
    pub(crate) shutdown: Shutdown,
}

impl RelayFace {
    /// Once in an hour: the owner reads in the audit that a budget of its sending is used up. The client was answered by the
    /// counting alone: what goes wrong here changes nothing.
    async fn tell_owner(&self, question: &RelayQuestion, exhausted: &Exhausted) {
        let Exhausted { budget, mailbox_id, address, customer } = exhausted;
        metrics::counter!("postern_auth_budgets_exhausted_total", "budget" => budget.name()).increment(1);
        match self.desk.store.claim_budget_notice(*mailbox_id, *budget, unix_millis()).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "an owner is not told of a budget");
                return;
            }
        }
        tracing::info!(peer = %question.peer, address, customer, budget = budget.name(), "sending limit reached");
        let frees = Reason::budget_frees(unix_millis() / 1000);
        let entry = AuditEntry {
            actor_role: "service".to_owned(),
            actor: "postern-auth".to_owned(),
            peer_ip: question.peer.to_string(),
            customer: customer.clone(),
            name: address.clone(),
            after_json: serde_json::json!({ "budget": budget.name(), "frees": frees }).to_string(),
            ..AuditEntry::default()
        };
        let audit = self.audit.clone();
        // RCPT does not wait for it.
        self.shutdown.spawn(async move {
            if let Err(status) = audit.write((Thing::SendingLimit, Action::Reached), entry, 0).await {
                tracing::warn!(error = status.message(), "a used up budget is not in the audit");
            }
        });
    }

    /// Writes a revocation into the audit in its doer's name.
    async fn record(&self, caller: &Caller, revoked: &RevokeGrantRequest, mailbox_id: Option<i64>) {
        let name = if revoked.login.is_empty() { &revoked.peer_ip } else { &revoked.login };
        let entry = AuditEntry {
            customer: caller.customer.clone(),
            name: name.clone(),
            before_json: serde_json::to_string(revoked).unwrap_or_default(),
            ..AuditEntry::default()
        };
        self.audit.record(caller, (Thing::Grant, Action::Revoke), entry, mailbox_id.unwrap_or(0)).await;
    }
}

#[tonic::async_trait]
impl RelayService for RelayFace {
    async fn check_relay(
        &self,
        request: Request<CheckRelayRequest>,
    ) -> Result<Response<CheckRelayResponse>, Status> {
        let question = question(request.into_inner())?;
        let result = self.desk.check(&question).await;
        count_result(&question, &result.as_ref().map(|_| ()));
        match result {
            Ok(permission) => Ok(Response::new(CheckRelayResponse {
                login: permission.login,
                mailbox_id: permission.mailbox.mailbox_id,
                address: permission.mailbox.address.clone(),
                customer: permission.mailbox.customer.clone(),
                authenticated: permission.authenticated,
            })),
            Err(error) => {
                if let RelayError::BudgetExhausted(exhausted) = &error {
                    self.tell_owner(&question, exhausted).await;
                }
                Err(failure::status(error.reason()))
            }
        }
    }

    async fn count_inbound(
        &self,
        request: Request<CountInboundRequest>,
    ) -> Result<Response<CountInboundResponse>, Status> {
        let counts = inbound_counts(request.into_inner())?;
        match self.desk.count_inbound(&counts).await {
            Ok(over) => Ok(Response::new(CountInboundResponse { over })),
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "received mail is not counted");
                Err(failure::status(Reason::Unavailable))
            }
        }
    }

    async fn list_grants(
        &self,
        request: Request<ListGrantsRequest>,
    ) -> Result<Response<ListGrantsResponse>, Status> {
        let (caller, request) = opened(request)?;
        let page = async {
            let filter = self.grants.filter(&caller, &request.login, &request.peer_ip).await?;
            self.grants.page(&filter, request.page_size, &request.page_token).await
        };
        let (grants, next_page_token) = page.await.map_err(|error| list_failure(&error))?;
        Ok(Response::new(ListGrantsResponse { grants, next_page_token }))
    }

    async fn revoke_grant(
        &self,
        request: Request<RevokeGrantRequest>,
    ) -> Result<Response<RevokeGrantResponse>, Status> {
        let (caller, request) = opened(request)?;
        let revoked = async {
            let filter = self.grants.filter(&caller, &request.login, &request.peer_ip).await?;
            let count = self.grants.revoke(&filter).await?;
            tracing::info!(?filter, count, "grants revoked");
            Ok((count, filter.mailbox_id))
        };
        let (count, mailbox_id) = revoked.await.map_err(|error| list_failure(&error))?;
        if count > 0 {
            self.record(&caller, &request, mailbox_id).await;
        }
        Ok(Response::new(RevokeGrantResponse { revoked_count: i32::try_from(count).unwrap_or(i32::MAX) }))
    }

    type WatchRevocationsStream =
        Pin<Box<dyn Stream<Item = Result<WatchRevocationsResponse, Status>> + Send + 'static>>;

    async fn watch_revocations(
        &self,
        _request: Request<WatchRevocationsRequest>,
    ) -> Result<Response<Self::WatchRevocationsStream>, Status> {
        let (events, stream) = mpsc::channel(UNREAD_MAX);
        let (revoked, shutdown) = (self.revocations.watch(), self.shutdown.clone());
        self.shutdown.spawn(async move {
            tokio::select! {
                () = tell(revoked, &events) => {}
                () = shutdown.triggered() => {}
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

/// Tells one watcher until it hangs up, or fell behind so far that something was lost: then the stream ends with an
/// error, and the watcher knows.
async fn tell(
    mut revoked: broadcast::Receiver<Revocation>,
    events: &mpsc::Sender<Result<WatchRevocationsResponse, Status>>,
) {
    let mut beat = interval(BEAT_EVERY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let event = tokio::select! {
            revocation = revoked.recv() => match revocation {
                Ok(revocation) => Event::Revocation(revocation),
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    let _ = events.send(Err(failure::status(Reason::Overloaded))).await;
                    return;
                }
                Err(broadcast::error::RecvError::Closed) => return,
            },
            _ = beat.tick() => Event::Beat(RevocationBeat {}),
        };
        if events.send(Ok(WatchRevocationsResponse { event: Some(event) })).await.is_err() {
            return;
        }
    }
}

fn question(request: CheckRelayRequest) -> Result<RelayQuestion, Status> {
    let recipients = u32::try_from(request.recipient_count)
        .ok()
        .filter(|count| *count <= RECIPIENTS_MAX)
        .ok_or_else(|| invalid("recipient_count", "0 to 1000"))?;
    let sender = request
        .sender
        .parse()
        .map_err(|error| failure::status_with(Reason::BadSenderAddress, format!("sender: {error}")))?;
    Ok(RelayQuestion {
        peer: peer_ip(&request.peer_ip)?,
        sender,
        authenticated: request.authenticated.map(|submitter| Submitter {
            mailbox_id: submitter.mailbox_id,
            login: submitter.login,
            credential_version: submitter.credential_version,
        }),
        recipients,
    })
}

fn inbound_counts(request: CountInboundRequest) -> Result<Vec<(String, u32)>, Status> {
    if request.counts.is_empty() || request.counts.len() > INBOUND_COUNTS_MAX {
        return Err(invalid("counts", "1 to 1000"));
    }
    let one = |count: InboundCount| {
        let is_named = (1..=INBOUND_RECIPIENT_MAX_BYTES).contains(&count.recipient.len());
        match u32::try_from(count.messages) {
            Ok(messages @ 1..=INBOUND_MESSAGES_MAX) if is_named => Ok((count.recipient, messages)),
            Ok(_) | Err(_) => Err(invalid("counts", "a recipient of 1 to 400 octets, 1 to 1000000 messages")),
        }
    };
    request.counts.into_iter().map(one).collect()
}

fn count_result(question: &RelayQuestion, result: &Result<(), &RelayError>) {
    let outcome = match result {
        Ok(()) => "permitted",
        Err(error) if error.reason() == Reason::BudgetExhausted => "over_budget",
        // The gateway logs refusals with its session.
        Err(error) if error.reason().verdict() == Verdict::Permanent => "refused",
        Err(error) => {
            let error: &dyn std::error::Error = *error;
            tracing::warn!(peer = %question.peer, error, "no decision about relaying");
            "unavailable"
        }
    };
    metrics::counter!("postern_auth_relay_checks_total", "outcome" => outcome).increment(1);
}

fn list_failure(error: &GrantListError) -> Status {
    let reason = match error {
        GrantListError::BadRequest { .. } => Reason::InvalidArgument,
        GrantListError::NoSuchLogin(_) => Reason::NotFound,
        GrantListError::Directory(status) => temporary_reason(status),
        GrantListError::Store(_) => Reason::Unavailable,
    };
    if reason.verdict() == Verdict::Temporary {
        tracing::warn!(error = error as &dyn std::error::Error, "grants cannot be listed or ended");
        return failure::status(reason);
    }
    failure::status_with(reason, error.to_string())
}
