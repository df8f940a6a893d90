//! auth: who is it, and may this client send mail to the outside.
//!
//! A login walks `grpc/login -> authenticate -> directory, throttle, password_memory, password -> redis_store`; a question
//! about relaying walks `grpc/relay -> relay -> redis_store, directory`. Why one of them ends as it does is told by `explain`,
//! which runs the same code dry. State is in Redis only and may be lost.

mod authenticate;
mod comparer;
mod explain;
mod grant;
mod grant_census;
mod grant_list;
mod grpc;
mod login_history;
mod operator_token;
mod panel_session;
mod password;
mod password_memory;
mod redis_store;
mod relay;
mod revocation;
mod settings;
mod sightings;
mod throttle;
mod tokens;

use std::{sync::Arc, time::Duration};

use postern_mesh::{
    StartError,
    audit::AuditTrail,
    client::MeshChannel,
    directory::Directory,
    health::Readiness,
    settings::{MeshSettings, PlaintextLogin},
    shutdown::Shutdown,
};
use postern_proto::account::v1::second_factor_service_client::SecondFactorServiceClient;
use postern_proto::auth::v1::{
    explain_service_server::ExplainServiceServer, login_service_server::LoginServiceServer,
    panel_session_service_server::PanelSessionServiceServer, relay_service_server::RelayServiceServer,
    sighting_service_server::SightingServiceServer,
};
use postern_redis::Connection;
use tonic::service::Routes;

use crate::{
    authenticate::Authenticator,
    explain::Explainer,
    grant_list::GrantList,
    grpc::{
        explain::ExplainFace, login::LoginFace, panel_session::PanelSessionFace, relay::RelayFace,
        sighting::SightingFace,
    },
    login_history::LoginHistory,
    operator_token::OperatorTokens,
    panel_session::PanelSessions,
    password::Passwords,
    password_memory::PasswordMemory,
    redis_store::RedisStore,
    relay::RelayDesk,
    revocation::Revocations,
    tokens::Tokens,
};

pub use settings::{Networks, NetworksError, Settings};

/// Memory of password checks is given back after so long without a need.
const REST_EVERY: Duration = Duration::from_secs(60);

/// Waits for Redis, refuses one that evicts or is a replica, begins to watch the directory and the other replicas, and gives all services of
/// auth. Without a way to delivery, explanations leave locks out.
///
/// # Errors
/// A setting makes no sense, or Redis is away for 30 s or may not be used.
pub async fn open(
    settings: &Settings,
    mesh: &MeshSettings,
    account: MeshChannel,
    delivery: Option<MeshChannel>,
    shutdown: &Shutdown,
) -> Result<Routes, StartError> {
    let token = settings.operator_token()?;
    let connection = Connection::new(&settings.redis)?;
    connection.wait_until_fit().await?;
    let store = RedisStore::new(connection);
    let directory = Directory::new(account.clone(), shutdown);
    let policy = settings.grant_policy();
    let history = LoginHistory::new(store.clone());
    history.begin(shutdown);
    let memory = PasswordMemory::new(&mesh.mesh_key, settings.password_memory());
    let logins = Arc::new(Authenticator::new(
        directory.clone(),
        account.clone(),
        store.clone(),
        (Passwords::new(settings.argon2_workers), memory),
        policy.clone(),
        settings.throttle_limits(),
        history.clone(),
    ));
    let revocations = Revocations::new(store.clone());
    revocations.begin(&directory, shutdown);
    rest_now_and_then(&logins, shutdown);
    grant_census::begin(store.clone(), shutdown);
    let sessions = PanelSessions::new(store.clone(), account.clone());
    let operators = OperatorTokens::new(token.as_deref(), mesh.mesh_key.clone());
    let tokens = Tokens::new(operators, account.clone(), sessions.clone(), mesh.mesh_key.clone());
    let budgets = settings.budget_limits();
    let desk = Arc::new(RelayDesk { directory: directory.clone(), store: store.clone(), policy, budgets });
    Ok(routes(Parts {
        account,
        delivery,
        directory,
        store,
        history,
        logins,
        revocations,
        sessions,
        tokens: Arc::new(tokens),
        desk,
        mail_host: settings.mail_host.clone(),
        plaintext_login: settings.plaintext_login,
        shutdown: shutdown.clone(),
    }))
}

/// What the faces of auth stand on.
struct Parts {
    account: MeshChannel,
    delivery: Option<MeshChannel>,
    directory: Directory,
    store: RedisStore,
    history: LoginHistory,
    logins: Arc<Authenticator>,
    revocations: Revocations,
    sessions: PanelSessions,
    tokens: Arc<Tokens>,
    desk: Arc<RelayDesk>,
    mail_host: String,
    plaintext_login: PlaintextLogin,
    shutdown: Shutdown,
}

fn routes(parts: Parts) -> Routes {
    let audit = AuditTrail::new(parts.account.clone());
    let codes = SecondFactorServiceClient::new(parts.account.clone());
    let explainer = Explainer {
        directory: parts.directory.clone(),
        store: parts.store.clone(),
        logins: Arc::clone(&parts.logins),
        desk: Arc::clone(&parts.desk),
        account: parts.account,
        delivery: parts.delivery,
        mail_host: parts.mail_host,
        plaintext_login: parts.plaintext_login,
    };
    let sightings = SightingFace { store: parts.store.clone() };
    let logins = LoginFace {
        logins: Arc::clone(&parts.logins),
        tokens: Arc::clone(&parts.tokens),
        sessions: parts.sessions.clone(),
        history: parts.history,
    };
    let sessions = PanelSessionFace {
        logins: parts.logins,
        sessions: parts.sessions,
        tokens: parts.tokens,
        codes,
        audit: audit.clone(),
    };
    let grants =
        GrantList { directory: parts.directory, store: parts.store, revocations: parts.revocations.clone() };
    let relay = RelayFace {
        desk: parts.desk,
        grants,
        revocations: parts.revocations,
        audit,
        shutdown: parts.shutdown,
    };
    Routes::new(LoginServiceServer::new(logins))
        .add_service(RelayServiceServer::new(relay))
        .add_service(PanelSessionServiceServer::new(sessions))
        .add_service(SightingServiceServer::new(sightings))
        .add_service(ExplainServiceServer::new(ExplainFace { explainer }))
}

/// Whether auth can work, for `/readyz`: Redis answers and takes writes. What hinders grants is told there, too.
///
/// # Errors
/// When the settings name no Redis.
pub fn readiness(settings: &Settings) -> Result<Readiness, StartError> {
    let connection = Connection::new(&settings.redis)?;
    let store = RedisStore::new(connection.clone());
    let watches = settings.limit_mailboxes_behind_client > 0;
    let ready = Readiness::new().check("redis", move || {
        let connection = connection.clone();
        async move { connection.probe().await }
    });
    Ok(ready.notice("grants", move || {
        let store = store.clone();
        async move { if watches { crowds(&store).await } else { Ok(()) } }
    }))
}

/// What the operator is to be told of client addresses that win no grants.
async fn crowds(store: &RedisStore) -> Result<(), String> {
    match store.crowds().await {
        Ok(crowds) if !crowds.is_empty() => Err(format!(
            "nearly all customers come from {}: that is nobody's own address, and wins no grants",
            crowds.join(", ")
        )),
        // That Redis is away is told by its own check.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn rest_now_and_then(logins: &Arc<Authenticator>, shutdown: &Shutdown) {
    let (logins, ending) = (Arc::downgrade(logins), shutdown.clone());
    shutdown.spawn(async move {
        let mut pause = tokio::time::interval(REST_EVERY);
        loop {
            tokio::select! {
                _ = pause.tick() => {}
                () = ending.triggered() => return,
            }
            match logins.upgrade() {
                Some(logins) => logins.rest(),
                None => return,
            }
        }
    });
}
