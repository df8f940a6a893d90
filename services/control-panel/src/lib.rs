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
mod form;
mod front;
mod host;
mod layout;
mod mail_program;
mod menus;
mod moment;
mod operator;
mod own_password;
mod place;
mod programs;
mod router;
mod security;
mod session;
mod settings;
mod texts;
mod tls;
mod unsubscribe;
mod visit;
mod wording;

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use postern_mesh::{
    StartError, client::MeshChannel, held_back::HeldBack, settings::MeshSettings, shutdown::Shutdown,
};
use tokio::net::TcpListener;

pub use settings::{PublicPorts, Settings};

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
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

impl Connected<IncomingStream<'_, tls::TlsListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, tls::TlsListener>) -> Self {
        Self(*stream.remote_addr())
    }
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
) -> Result<(), StartError> {
    settings.check()?;
    let identity = settings.tls.load()?;
    let unsubscribe = unsubscribe::routes(upstreams.account.clone());
    let panel = Arc::new(Panel {
        settings: settings.clone(),
        upstreams,
        mesh: mesh.clone(),
        held_back: HeldBack::new(shutdown),
        tls: identity.is_some(),
    });
    let pages = |secure| router::router(&panel, visit::Door { secure }).merge(unsubscribe.clone());
    let bind = async |address| TcpListener::bind(address).await.map_err(|e| StartError::listen(address, e));

    let plain = bind(settings.panel_listen).await?;
    if let Some(identity) = identity {
        let secure = bind(settings.panel_tls_listen).await?;
        let secure = tls::TlsListener::new(secure, identity.acceptor(&[b"http/1.1"]), shutdown);
        serve(secure, pages(true), shutdown);
    }
    serve(plain, pages(false), shutdown);
    Ok(())
}

fn serve<L>(listener: L, router: Router, shutdown: &Shutdown)
where
    L: Listener<Addr = SocketAddr>,
    Peer: for<'s> Connected<IncomingStream<'s, L>>,
{
    let ending = shutdown.clone();
    let service = router.into_make_service_with_connect_info::<Peer>();
    let serving =
        axum::serve(listener, service).with_graceful_shutdown(async move { ending.triggered().await });
    shutdown.spawn(async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "a door of the panel closed");
        }
    });
}
