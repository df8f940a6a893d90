//! The gRPC face: translates requests into questions and answers into responses, and decides nothing.

pub(crate) mod explain;
pub(crate) mod login;
pub(crate) mod panel_session;
pub(crate) mod relay;
pub(crate) mod sighting;

use postern_mail::{PeerIp, Reason};
use postern_mesh::{failure, identity::Caller};
use tonic::{Request, Status};

/// Who calls, and with what. The guard lets nobody through without saying who it is.
fn opened<T>(request: Request<T>) -> Result<(Caller, T), Status> {
    let (_, mut extensions, message) = request.into_parts();
    let caller = extensions.remove::<Caller>().ok_or_else(|| failure::status(Reason::CallerUnknown))?;
    Ok((caller, message))
}

/// The client's address, as a gateway sends it.
fn peer_ip(text: &str) -> Result<PeerIp, Status> {
    text.parse().map_err(|_| invalid("peer_ip", "not an IP address"))
}

fn invalid(field: &str, why: &str) -> Status {
    failure::status_with(Reason::InvalidArgument, format!("{field}: {why}"))
}
