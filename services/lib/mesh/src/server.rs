//! The gRPC server of a process: binds its port, puts the guard in front of the routes, adds health and reflection, and
//! ends in order.

use std::{net::SocketAddr, time::Duration};

use tokio::net::TcpListener;
use tonic::{service::Routes, transport::Server};
use tonic_health::ServingStatus;

use crate::{StartError, guard::GuardLayer, incoming, settings::MeshSettings, shutdown::Shutdown};

/// Largest message that a tonic server or client decodes by default, octets. Frames of content stay far below it; who
/// needs more (a list of a million uids) raises `max_decoding_message_size` on its generated server.
pub const DECODE_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Flow control of one HTTP/2 stream, octets: what lies unread of a call whose reader does not read.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Flow control of one HTTP/2 connection, octets: the most that there can be (RFC 9113 section 6.9.1). All calls to a replica
/// share it, and it comes back only as they are read: with less, a few readers who stand still would stop everybody else's calls.
/// What is held in memory is bounded by the streams, each with its own window.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;
/// A silent connection is asked whether it lives; without an answer in the same time it is dead.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Calls given up by their callers before the server got to them, on one connection.
const RESETS_MAX: usize = 4096;

/// Serves the routes at `listen` (port 0: any) until shutdown and returns the address that was bound. The server runs
/// as a task of `shutdown`; running calls get `drain_seconds` to end.
///
/// # Errors
/// When the port cannot be bound, or reflection cannot be built.
pub async fn serve(
    listen: SocketAddr,
    routes: Routes,
    service: &'static str,
    settings: &MeshSettings,
    shutdown: &Shutdown,
) -> Result<SocketAddr, StartError> {
    let tls = settings.tls.server()?;
    let listener = TcpListener::bind(listen).await.map_err(|e| StartError::listen(listen, e))?;
    let address = listener.local_addr().map_err(|e| StartError::listen(listen, e))?;
    let (health, health_server) = tonic_health::server::health_reporter();
    let mut routes = routes.add_service(health_server);
    if settings.reflection {
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(postern_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            .map_err(|e| StartError::setting("POSTERN_REFLECTION", e.to_string()))?;
        routes = routes.add_service(reflection);
    }
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        // Peers are our own: many calls that give up at once are an outage, not an attack.
        .http2_max_pending_accept_reset_streams(Some(RESETS_MAX))
        .layer(GuardLayer::new(service, settings, shutdown.token()))
        .add_routes(routes.prepare());
    let drain = Duration::from_secs(settings.drain_seconds);
    let (asked, ending) = (shutdown.clone(), shutdown.clone());
    shutdown.spawn(async move {
        let stop = async move {
            asked.triggered().await;
            health.set_service_status("", ServingStatus::NotServing).await;
        };
        let serving = server.serve_with_incoming_shutdown(incoming::connections(listener, tls), stop);
        let too_long = async move {
            ending.triggered().await;
            tokio::time::sleep(drain).await;
        };
        tokio::select! {
            ended = serving => if let Err(error) = ended {
                tracing::error!(service, %error, "server ended");
            },
            () = too_long => tracing::warn!(service, "calls still running after {drain:?} are cut"),
        }
    });
    tracing::info!(service, %address, tls = settings.tls.is_on(), "gRPC server listens");
    Ok(address)
}
