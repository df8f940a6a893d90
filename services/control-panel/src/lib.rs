//! The web face of the platform: what the owner of domains sets up by oneself, what the user of one box may, and what an
//! operator sees. Holds nothing: each page asks account, auth and delivery in the name of the person who looks at it.
//!
//! The walk of a request: [`router`] -> [`visit`] (who comes, from where, in what language; is the form ours) -> a file of
//! [`menus`] -> [`call`] (the gRPC calls, and what their failures mean to a person) -> [`layout`] and [`form`].

mod acme;
mod call;
mod carry;
mod code;
mod cookie;
mod course;
mod deeds;
mod form;
mod front;
mod host;
mod layout;
mod listener;
mod mail_program;
mod menus;
mod moment;
mod new_password;
mod once;
mod operator;
mod own_password;
mod picture;
mod place;
mod programs;
mod router;
mod security;
mod session;
mod settings;
mod texts;
mod unsubscribe;
mod upload;
mod visit;
mod wording;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use postern_mesh::{
    StartError, client::MeshChannel, health::Readiness, held_back::HeldBack, reception::Reception,
    settings::MeshSettings, shutdown::Shutdown,
};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_rustls::TlsAcceptor;

use form::intake::LONG_FORMS_MAX;
use listener::{Listener, Patience};
pub use settings::{HealthDoor, PublicPorts, Settings, Zone};

/// The services behind the panel.
#[derive(Clone, Debug)]
pub struct Upstreams {
    /// What exists.
    pub account: MeshChannel,
    /// Sessions, grants, explanations.
    pub auth: MeshChannel,
    /// Boxes, locks, the queue.
    pub delivery: MeshChannel,
}

/// What every request needs.
pub(crate) struct Panel {
    settings: Settings,
    upstreams: Upstreams,
    mesh: MeshSettings,
    /// Answers to wrong passwords.
    held_back: HeldBack,
    /// TLS can be had at the doors.
    tls: bool,
    /// Files of mail that come in now.
    imports: menus::Imports,
    /// Turns of forms in which much is typed.
    long_forms: Arc<Semaphore>,
}

/// Opens the doors and serves until shutdown.
///
/// # Errors
/// When a setting is wrong, a certificate cannot be used, or a port cannot be bound.
pub async fn open(
    settings: &Settings,
    mesh: &MeshSettings,
    upstreams: Upstreams,
    shutdown: &Shutdown,
) -> Result<Readiness, StartError> {
    settings.check()?;
    let identity = settings.tls.load()?;
    let unsubscribe = unsubscribe::routes(upstreams.account.clone());
    let panel = Arc::new(Panel {
        settings: settings.clone(),
        upstreams,
        mesh: mesh.clone(),
        held_back: HeldBack::new(shutdown),
        tls: identity.is_some(),
        imports: menus::Imports::default(),
        long_forms: Arc::new(Semaphore::new(LONG_FORMS_MAX)),
    });
    let reception = Reception::new(settings.admission(), settings.proxy.clone());
    let listener = |tls: Option<TlsAcceptor>| Listener {
        pages: router::router(&panel, visit::Door { secure: tls.is_some() }).merge(unsubscribe.clone()),
        tls,
        reception: reception.clone(),
        patience: Patience::default(),
    };
    let bind = async |address| TcpListener::bind(address).await.map_err(|e| StartError::listen(address, e));

    let plain = bind(settings.panel_listen).await?;
    if let Some(identity) = identity {
        let secure = bind(settings.panel_tls_listen).await?;
        listener(Some(identity.acceptor(&[b"http/1.1"]))).open(secure, shutdown);
    }
    listener(None).open(plain, shutdown);
    Ok(reception.tell(Readiness::new()))
}
