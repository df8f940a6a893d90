//! The gRPC face: translates requests into questions and answers into responses, and decides nothing.

pub(crate) mod explain;
pub(crate) mod login;
pub(crate) mod panel_session;
pub(crate) mod relay;
pub(crate) mod sighting;

use postern_mail::{PeerIp, Reason};
use postern_mesh::failure;
use tonic::Status;

/// Why a login is refused that nobody can have.
pub(crate) const NO_LOGIN: &str = "is no login: a whole address, or that of a customer or default box";

/// The client's address, as a gateway sends it.
fn peer_ip(text: &str) -> Result<PeerIp, Status> {
    text.parse().map_err(|_| invalid("peer_ip", "not an IP address"))
}

fn invalid(field: &str, why: &str) -> Status {
    failure::status_with(Reason::InvalidArgument, format!("{field}: {why}"))
}
