//! The way to DNS: the servers of `POSTERN_RESOLVER`, or whatever the system asks.

use std::net::SocketAddr;

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts},
    net::runtime::TokioRuntimeProvider,
    proto::rr::Name,
};

use crate::StartError;

/// A resolver that asks these servers, or whatever the system asks when there are none; `set` has the last word on its options.
///
/// # Errors
/// The system's resolver configuration cannot be read.
pub fn resolver(
    servers: &[SocketAddr],
    set: impl FnOnce(&mut ResolverOpts),
) -> Result<TokioResolver, StartError> {
    let mut builder = if servers.is_empty() {
        TokioResolver::builder_tokio().map_err(|e| {
            StartError::setting("POSTERN_RESOLVER", format!("no resolver in this system: {e}"))
        })?
    } else {
        let servers = servers.iter().copied().map(name_server).collect();
        let config = ResolverConfig::from_name_servers(servers);
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    set(builder.options_mut());
    builder
        .build()
        .map_err(|e| StartError::setting("POSTERN_RESOLVER", format!("the resolver cannot be used: {e}")))
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let on_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![on_port(ConnectionConfig::udp()), on_port(ConnectionConfig::tcp())];
    NameServerConfig::new(address.ip(), true, connections)
}

/// A name as text: lower case without the root dot; empty for the root.
#[must_use]
pub fn host_name(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}
