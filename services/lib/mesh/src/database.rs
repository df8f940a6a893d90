//! What Postgres is told by each session of ours, so that it finds out when we are gone.
//!
//! A machine that is cut off says no goodbye. By itself Postgres keeps such a session for two hours, and whatever its
//! transaction has locked with it.

/// Settings of a session (`options`). A connection that rests is asked after 30 s whether it is alive, and given up 30 s later.
/// They mean nothing on a unix socket.
pub const SESSION: [(&str, &str); 3] =
    [("tcp_keepalives_idle", "30"), ("tcp_keepalives_interval", "10"), ("tcp_keepalives_count", "3")];
