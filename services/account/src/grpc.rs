//! The gRPC face: requests become checked values, answers become messages, failures become statuses. No decisions.

mod api_token;
mod app_password;
mod audit;
mod autoresponder;
mod customer;
mod default_address;
mod directory;
mod domain;
mod forward;
mod limits;
mod mail_key;
mod mailbox;
mod mailing_list;
mod second_factor;
mod storage;

use std::sync::Arc;

use postern_mail::Reason;
use postern_mesh::{
    failure,
    identity::{Caller, Role},
    opened,
    shutdown::Shutdown,
};
use postern_proto::{
    account::v1::{
        ActivityState, NewPassword as PasswordMessage, api_token_service_server::ApiTokenServiceServer,
        app_password_service_server::AppPasswordServiceServer, audit_service_server::AuditServiceServer,
        autoresponder_service_server::AutoresponderServiceServer,
        customer_service_server::CustomerServiceServer,
        default_address_service_server::DefaultAddressServiceServer,
        directory_service_server::DirectoryServiceServer, domain_service_server::DomainServiceServer,
        forward_service_server::ForwardServiceServer, limits_service_server::LimitsServiceServer,
        mail_key_service_server::MailKeyServiceServer, mailbox_service_server::MailboxServiceServer,
        mailing_list_service_server::MailingListServiceServer, new_password::Secret,
        second_factor_service_server::SecondFactorServiceServer,
        storage_service_server::StorageServiceServer,
    },
    google::FieldMask,
};
use tonic::{Status, service::Routes};

use crate::{
    Account,
    changes::Changes,
    error::AccountError,
    fields::{self, invalid},
    passwords::{self, NewPassword},
};

/// A request may carry a batch of addresses, never more than this, octets; a field of a megabyte is still told its name.
const REQUEST_MAX_BYTES: usize = 2 * 1024 * 1024;

/// Thousands of members travel in one request, each of at most 320 octets.
const MEMBERS_REQUEST_MAX_BYTES: usize = 4 * 1024 * 1024;

/// All services of account.
pub(crate) fn routes(account: Arc<Account>, changes: Changes, shutdown: &Shutdown) -> Routes {
    let customers = customer::Customers(Arc::clone(&account));
    let domains = domain::Domains(Arc::clone(&account));
    let mailboxes = mailbox::Mailboxes(Arc::clone(&account));
    let forwards = forward::Forwards(Arc::clone(&account));
    let storage = storage::Storage(Arc::clone(&account));
    let defaults = default_address::DefaultAddresses(Arc::clone(&account));
    let lists = mailing_list::MailingLists(Arc::clone(&account));
    let autoresponders = autoresponder::Autoresponders(Arc::clone(&account));
    let tokens = api_token::ApiTokens(Arc::clone(&account));
    let app_passwords = app_password::AppPasswords(Arc::clone(&account));
    let second_factors = second_factor::SecondFactors(Arc::clone(&account));
    let mail_keys = mail_key::MailKeys(Arc::clone(&account));
    let limits = limits::LimitsFace(Arc::clone(&account));
    let audit = audit::Audit(Arc::clone(&account));
    let directory = directory::Directory { account, changes, shutdown: shutdown.clone() };
    Routes::new(DirectoryServiceServer::new(directory).max_decoding_message_size(REQUEST_MAX_BYTES))
        .add_service(ApiTokenServiceServer::new(tokens).max_decoding_message_size(REQUEST_MAX_BYTES))
        .add_service(
            AppPasswordServiceServer::new(app_passwords).max_decoding_message_size(REQUEST_MAX_BYTES),
        )
        .add_service(
            SecondFactorServiceServer::new(second_factors).max_decoding_message_size(REQUEST_MAX_BYTES),
        )
        .add_service(LimitsServiceServer::new(limits).max_decoding_message_size(REQUEST_MAX_BYTES))
        .add_service(MailKeyServiceServer::new(mail_keys).max_decoding_message_size(REQUEST_MAX_BYTES))
        .add_service(AuditServiceServer::new(audit).max_decoding_message_size(REQUEST_MAX_BYTES))
        .add_service(CustomerServiceServer::new(customers).max_decoding_message_size(REQUEST_MAX_BYTES))
        .add_service(DomainServiceServer::new(domains).max_decoding_message_size(REQUEST_MAX_BYTES))
        .add_service(MailboxServiceServer::new(mailboxes).max_decoding_message_size(REQUEST_MAX_BYTES))
        .add_service(ForwardServiceServer::new(forwards).max_decoding_message_size(REQUEST_MAX_BYTES))
        .add_service(StorageServiceServer::new(storage).max_decoding_message_size(REQUEST_MAX_BYTES))
        .add_service(DefaultAddressServiceServer::new(defaults).max_decoding_message_size(REQUEST_MAX_BYTES))
        .add_service(
            MailingListServiceServer::new(lists).max_decoding_message_size(MEMBERS_REQUEST_MAX_BYTES),
        )
        .add_service(
            AutoresponderServiceServer::new(autoresponders).max_decoding_message_size(REQUEST_MAX_BYTES),
        )
}

impl From<AccountError> for Status {
    /// The one place where our errors become reasons. What the database said stays in our log (R0: temporary).
    fn from(error: AccountError) -> Self {
        let reason = match &error {
            AccountError::Invalid(_) => Reason::InvalidArgument,
            AccountError::NotFound(_) => Reason::NotFound,
            AccountError::AlreadyExists(_) => Reason::AlreadyExists,
            AccountError::Precondition(_) => Reason::FailedPrecondition,
            AccountError::EtagMismatch(_) => Reason::EtagMismatch,
            AccountError::LimitReached(_) => Reason::LimitReached,
            AccountError::TooManyCodes(_) => Reason::LoginThrottled,
            AccountError::OperatorsOnly(_) | AccountError::NotPermitted(_) => Reason::CallerNotPermitted,
            AccountError::Busy | AccountError::ChecksBusy => Reason::Overloaded,
            AccountError::KeyGeneration => Reason::Unavailable,
            AccountError::Store { doing, source } => {
                let reason = store_reason(source);
                tracing::error!(doing, error = %source, "the database did not do it");
                return failure::status(reason);
            }
            AccountError::Hash(source) => {
                tracing::error!(error = %source, "a password cannot be hashed");
                return failure::status(Reason::Unavailable);
            }
            AccountError::Stored(what) => {
                tracing::error!(what, "the database holds what this version does not understand");
                return failure::status(Reason::Misconfigured);
            }
        };
        failure::status_with(reason, error.to_string())
    }
}

/// Why the database did not do it, as far as callers can act on it; everything here is temporary.
fn store_reason(error: &sqlx::Error) -> Reason {
    let code = error.as_database_error().and_then(|error| error.code());
    match code.as_deref() {
        // disk_full, out_of_memory
        Some("53100" | "53200") => Reason::InsufficientStorage,
        // too_many_connections, lock_not_available
        Some("53300" | "55P03") => Reason::Overloaded,
        _ if matches!(error, sqlx::Error::PoolTimedOut) => Reason::Unavailable,
        _ => Reason::Unavailable,
    }
}

/// Refuses a field that only an operator may set.
fn operators_only(caller: &Caller, field: &'static str) -> Result<(), AccountError> {
    if caller.role == Role::Operator { Ok(()) } else { Err(AccountError::OperatorsOnly(field)) }
}

/// A password that is to be set, checked.
fn new_password(caller: &Caller, message: Option<PasswordMessage>) -> Result<NewPassword, AccountError> {
    const FIELD: &str = "password";
    let password = match message.and_then(|message| message.secret) {
        None => return invalid(FIELD, "is missing"),
        Some(Secret::Plain(plain)) => NewPassword::Plain(plain),
        Some(Secret::Phc(phc)) => {
            operators_only(caller, "password.phc")?;
            NewPassword::Ready(phc)
        }
    };
    passwords::check(FIELD, &password)?;
    Ok(password)
}

/// The paths of an update mask, each one of `known`.
fn mask<'m>(mask: Option<&'m FieldMask>, known: &[&str]) -> Result<Vec<&'m str>, AccountError> {
    fields::mask(mask.map(|mask| mask.paths.as_slice()), known)
}

fn activity_state(field: &str, number: i32) -> Result<ActivityState, AccountError> {
    match ActivityState::try_from(number) {
        Ok(state) if state != ActivityState::Unspecified => Ok(state),
        _ => invalid(field, "must be ACTIVE or SUSPENDED"),
    }
}

/// The message that a request is about.
fn present<T>(field: &str, message: Option<T>) -> Result<T, AccountError> {
    message.map_or_else(|| invalid(field, "is missing"), Ok)
}
