//! What exists: customers, domains, mailboxes, forwards, mailing lists, autoresponders, default addresses; and the directory
//! that answers where an address leads and whose login it is.
//!
//! The walk of a call: `grpc/*` translates, the file of the noun (`mailboxes.rs`, ...) decides, `store/*` holds the SQL.
//! `delegation/*` asks the world's DNS which domains come into service, `claims.rs` says who gets a name that several ask for.
//! Every write locks its domain, draws the domain's next version, and is told to all replicas by `changes.rs`.

mod api_tokens;
mod app_passwords;
mod audit;
mod autoresponders;
mod base32;
mod changes;
mod claims;
mod customers;
mod cycles;
mod default_addresses;
mod delegation;
mod directory;
mod domains;
mod error;
mod fields;
mod forwards;
mod grpc;
mod limits;
mod list_addresses;
mod list_bounces;
mod list_changes;
mod list_members;
mod list_subscriptions;
mod logins;
mod mail_keys;
mod mailboxes;
mod mailing_lists;
mod overviews;
mod paging;
mod passwords;
mod removals;
mod removed;
mod resolver;
mod restoring;
mod rights;
mod second_factors;
mod settings;
mod storage;
mod store;
mod sweeps;
mod totp;

use std::sync::Arc;

use postern_mesh::{StartError, health::Readiness, shutdown::Shutdown};
use tonic::service::Routes;

pub use delegation::DelegationSettings;
pub use settings::{LimitDefaults, Settings};
pub use store::schema;

use crate::{changes::Changes, delegation::Delegation, passwords::Passwords, store::Store};

/// What the use cases work with.
#[derive(Clone)]
pub(crate) struct Account {
    store: Store,
    passwords: Passwords,
    delegation: Delegation,
    new_domains_live: bool,
    /// How long what is removed can be restored.
    vault_days: i32,
    limits: LimitDefaults,
}

/// Opens the service: connects to Postgres, checks it, migrates its schema, and returns the gRPC services.
///
/// # Errors
/// When Postgres cannot be reached, does not keep what it confirms, or cannot be migrated.
pub async fn open(settings: &Settings, shutdown: &Shutdown) -> Result<Routes, StartError> {
    open_with_readiness(settings, shutdown).await.map(|(routes, _)| routes)
}

/// The same, with what must hold before this process takes work.
///
/// # Errors
/// As [`open`].
pub async fn open_with_readiness(
    settings: &Settings,
    shutdown: &Shutdown,
) -> Result<(Routes, Readiness), StartError> {
    let delegation = Delegation::new(&settings.delegation)?;
    let store = Store::open(&settings.database_url()?, settings.database_connections).await?;
    let changes = Changes::listen(store.options(), shutdown);
    sweeps::begin(&store, settings.vault_days.into(), shutdown);
    audit::sweep_now_and_then(&store, settings.audit_days, shutdown);
    let account = Account {
        store: store.clone(),
        passwords: Passwords::new(settings.argon2_workers),
        delegation,
        new_domains_live: settings.new_domains_live,
        vault_days: settings.vault_days.into(),
        limits: settings.limits.clone(),
    };
    delegation::keep_checking(&account, shutdown);
    let ready = Readiness::new().check("postgres", move || {
        let pool = store.pool().clone();
        async move { sqlx::query("select 1").execute(&pool).await.map(drop) }
    });
    Ok((grpc::routes(Arc::new(account), changes, shutdown), ready))
}
