//! `<service> health`: asks the health door of a running process and tells the answer by the exit code, so that an image
//! needs neither a shell nor curl for its health check.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

use crate::settings::default_health_listen;

/// What `--help` of a service says about it.
pub const HELP: &str = "`health` as the only argument asks the running service at POSTERN_HEALTH_LISTEN whether it is \
                        ready: exit 0 ready, 1 not.";
/// For the connection, and for the answer.
const TIMEOUT: Duration = Duration::from_secs(3);
/// An answer of /readyz is far shorter, octets.
const ANSWER_MAX_BYTES: u64 = 64 * 1024;

/// When the first argument is `health`: asks, prints what /readyz says, and gives the exit code; else `None`. To be called
/// before settings are read: a probe needs none of them but POSTERN_HEALTH_LISTEN.
#[must_use]
pub fn asked() -> Option<ExitCode> {
    if std::env::args_os().nth(1)? != "health" {
        return None;
    }
    let door = match std::env::var("POSTERN_HEALTH_LISTEN") {
        Ok(text) => text.parse().map_err(|_| format!("POSTERN_HEALTH_LISTEN: {text:?} is no address")),
        Err(_) => Ok(default_health_listen()),
    };
    Some(match door.and_then(|door| ready(door).map_err(|error| format!("{door}: {error}"))) {
        Ok((ready, said)) => {
            println!("{said}");
            if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => {
            eprintln!("no answer from {why}");
            ExitCode::FAILURE
        }
    })
}

/// Asks /readyz at a door: is it ready, and what does it say.
///
/// # Errors
/// When there is no answer within 3 s.
pub fn ready(door: SocketAddr) -> io::Result<(bool, String)> {
    // A door that listens everywhere is asked at home.
    let ip = match door.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(ip, door.port()), TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_MAX_BYTES).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    Ok((head.split(' ').nth(1) == Some("200"), body.to_owned()))
}
