//! The gRPC calls of a page, always in the name of the person who looks at it, and what their failures mean to that person.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use postern_mail::{Reason, Verdict};
use postern_mesh::{client::MeshChannel, failure};
use postern_proto::{
    account::v1::{
        app_password_service_client::AppPasswordServiceClient, audit_service_client::AuditServiceClient,
        autoresponder_service_client::AutoresponderServiceClient,
        customer_service_client::CustomerServiceClient,
        default_address_service_client::DefaultAddressServiceClient,
        directory_service_client::DirectoryServiceClient, domain_service_client::DomainServiceClient,
        forward_service_client::ForwardServiceClient, limits_service_client::LimitsServiceClient,
        mailbox_service_client::MailboxServiceClient, mailing_list_service_client::MailingListServiceClient,
        second_factor_service_client::SecondFactorServiceClient,
    },
    auth::v1::{
        explain_service_client::ExplainServiceClient, login_service_client::LoginServiceClient,
        panel_session_service_client::PanelSessionServiceClient, relay_service_client::RelayServiceClient,
    },
    delivery::v1::{
        box_service_client::BoxServiceClient, lock_service_client::LockServiceClient,
        queue_service_client::QueueServiceClient, trace_service_client::TraceServiceClient,
    },
};
use tonic::Status;

use crate::Upstreams;

/// The ways to the services, with the assertion of one person.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    account: MeshChannel,
    auth: MeshChannel,
    delivery: MeshChannel,
}

macro_rules! clients {
    ($( $name:ident: $client:ident by $way:ident; )+) => {
        impl Calls {
            $(
                #[doc = concat!("A client of ", stringify!($client), ".")]
                pub(crate) fn $name(&self) -> $client<MeshChannel> {
                    $client::new(self.$way.clone())
                }
            )+
        }
    };
}

clients! {
    customers: CustomerServiceClient by account;
    domains: DomainServiceClient by account;
    mailboxes: MailboxServiceClient by account;
    forwards: ForwardServiceClient by account;
    lists: MailingListServiceClient by account;
    autoresponders: AutoresponderServiceClient by account;
    default_addresses: DefaultAddressServiceClient by account;
    directory: DirectoryServiceClient by account;
    limits: LimitsServiceClient by account;
    audit: AuditServiceClient by account;
    app_passwords: AppPasswordServiceClient by account;
    second_factors: SecondFactorServiceClient by account;
    logins: LoginServiceClient by auth;
    sessions: PanelSessionServiceClient by auth;
    relay: RelayServiceClient by auth;
    explain: ExplainServiceClient by auth;
    boxes: BoxServiceClient by delivery;
    locks: LockServiceClient by delivery;
    queue: QueueServiceClient by delivery;
    traces: TraceServiceClient by delivery;
}

impl Calls {
    pub(crate) fn new(upstreams: &Upstreams, assertion: &str) -> Self {
        let signed = |channel: &MeshChannel| channel.with_assertion(assertion.to_owned());
        Self {
            account: signed(&upstreams.account),
            auth: signed(&upstreams.auth),
            delivery: signed(&upstreams.delivery),
        }
    }
}

/// Why a page, or what a form asked for, was not to be had. Handlers return it; [`crate::visit`] makes a page of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nobody is signed in (any more).
    SessionEnded,
    /// It does not exist, or is somebody else's.
    NotFound,
    /// The role, or the scopes of the token, do not reach so far.
    NotPermitted,
    /// A field of the request is wrong: its name as the service knows it, and why.
    Field { name: String, why: String },
    /// Somebody else changed it since the form was made.
    Changed,
    /// The name is taken: by what.
    Taken(String),
    /// It cannot be done as things stand: why.
    Refused(String),
    /// Too much at once, or too many attempts.
    TooBusy,
    /// A part of the house is away.
    Away,
    /// The form is not one of ours for this session.
    ForeignForm,
    /// The body is no form, or did not come in time.
    BadForm,
    /// The body is too large for what it was sent to.
    TooLarge,
    /// No password is taken without TLS from another machine.
    NeedsTls,
    /// It stands on another page: its address.
    Elsewhere(String),
}

impl Failure {
    /// Of the page that tells it.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::SessionEnded => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::NotPermitted | Self::ForeignForm | Self::NeedsTls => StatusCode::FORBIDDEN,
            Self::Field { .. } | Self::Taken(_) | Self::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Changed => StatusCode::CONFLICT,
            Self::TooBusy => StatusCode::TOO_MANY_REQUESTS,
            Self::Away => StatusCode::SERVICE_UNAVAILABLE,
            Self::BadForm => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Elsewhere(_) => StatusCode::SEE_OTHER,
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let detail = failure::detail_of(&status);
        match failure::typed_reason(&status) {
            Some(Reason::CallerUnknown) => Self::SessionEnded,
            Some(Reason::CallerNotPermitted) => Self::NotPermitted,
            Some(Reason::NotFound | Reason::NoSuchMailbox | Reason::MailboxRemoved) => Self::NotFound,
            Some(Reason::InvalidArgument) => {
                let (name, why) = detail.split_once(": ").unwrap_or(("", detail));
                Self::Field { name: name.to_owned(), why: why.to_owned() }
            }
            Some(Reason::AlreadyExists) => Self::Taken(detail.to_owned()),
            Some(Reason::EtagMismatch) => Self::Changed,
            Some(Reason::Overloaded | Reason::LoginThrottled | Reason::BudgetExhausted) => Self::TooBusy,
            Some(Reason::LimitReached) => Self::Refused(detail.to_owned()),
            Some(reason) if reason.verdict() == Verdict::Permanent => Self::Refused(detail.to_owned()),
            _ => {
                tracing::warn!(code = ?status.code(), error = status.message(), "a call of a page failed");
                Self::Away
            }
        }
    }
}

/// Carries the failure to [`crate::visit`], which knows language and layout.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// What there is, or `None` where there is none.
pub(crate) fn found<T>(answer: Result<tonic::Response<T>, Status>) -> Result<Option<T>, Failure> {
    match answer.map_err(Failure::from).map(tonic::Response::into_inner) {
        Ok(found) => Ok(Some(found)),
        Err(Failure::NotFound) => Ok(None),
        Err(failure) => Err(failure),
    }
}
