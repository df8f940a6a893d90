//! Speaks POP3 (RFC 1939, 2449, 2595, 3206, 5034). Knows bytes, lines, commands and sessions; keeps no state.
//!
//! The walk of a command: `listener -> connection -> line -> command -> session -> upstream`, and its answer back
//! through the same files.

mod command;
mod connection;
mod line;
mod listener;
mod lock_guard;
mod maildrop;
mod output;
mod read_ahead;
mod renew;
mod session;
mod settings;
mod transfer;
mod upstream;
mod wire;

use std::sync::Arc;

use postern_mesh::{
    StartError, health::Readiness, reception::Reception, shutdown::Shutdown, sightings::Sightings,
};
use tokio_util::sync::CancellationToken;

use crate::{
    connection::{Door, Gateway, Times},
    listener::Listener,
    renew::Locks,
    upstream::Upstream,
};

pub use settings::Settings;
pub use upstream::Upstreams;

/// Application protocol of TLS (RFC 7301 registry).
const ALPN: &[&[u8]] = &[b"pop3"];

/// Opens the doors and serves until shutdown. Sessions that hold a box get [`Settings::drain`] to end by themselves.
///
/// It is ready without its upstreams too: a client that hears [SYS/TEMP] knows more than one that is not let in.
///
/// # Errors
/// When a setting is wrong, a certificate cannot be used, or a port cannot be bound.
pub async fn open(
    settings: &Settings,
    upstreams: Upstreams,
    shutdown: &Shutdown,
) -> Result<Readiness, StartError> {
    settings.check()?;
    let tls = settings.tls.load()?.map(|identity| identity.acceptor(ALPN));
    let mut listeners = vec![Listener::bind(settings.pop3_listen, Door::Pop3, tls.clone()).await?];
    if tls.is_some() {
        listeners.push(Listener::bind(settings.pop3s_listen, Door::Pop3s, tls).await?);
    } else {
        tracing::warn!("no certificate is set: POP3S is closed and STLS is not offered");
    }
    let reception = Reception::new(settings.admission.clone(), settings.proxy.clone());
    serve(settings, upstreams, listeners, &reception, shutdown);
    Ok(reception.tell(Readiness::new()))
}

fn serve(
    settings: &Settings,
    upstreams: Upstreams,
    listeners: Vec<Listener>,
    reception: &Reception,
    shutdown: &Shutdown,
) {
    let sightings = Sightings::begin(upstreams.auth.clone(), shutdown);
    let gateway = Arc::new(Gateway {
        settings: settings.clone(),
        times: Times::of(settings),
        upstream: Upstream::new(
            upstreams,
            settings.pop3_gateway_name.clone(),
            settings.pop3_login_delay_seconds,
            shutdown,
        ),
        locks: Arc::default(),
        shutdown: shutdown.clone(),
        ended: CancellationToken::new(),
    });
    // Neither is a task of the shutdown: they must not keep a house without sessions from going down.
    tokio::spawn(Locks::keep(Arc::clone(&gateway.locks), gateway.upstream.clone(), gateway.ended.clone()));
    tokio::spawn(end_sessions(Arc::clone(&gateway)));
    for listener in listeners {
        if let Ok(address) = listener.address() {
            tracing::info!(%address, "listening");
        }
        let gateway = Arc::clone(&gateway);
        shutdown.spawn(listener.accept_all(gateway, reception.clone(), sightings.clone()));
    }
}

async fn end_sessions(gateway: Arc<Gateway>) {
    gateway.shutdown.triggered().await;
    tokio::time::sleep(gateway.settings.drain()).await;
    gateway.ended.cancel();
}
