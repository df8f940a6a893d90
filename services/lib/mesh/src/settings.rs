//! Settings that every process has, and reading a settings struct from the environment alone.

use std::{fmt, net::SocketAddr, str::FromStr};

use clap::{Args, Command, ValueEnum};
use postern_mail::PeerIp;
use thiserror::Error;

use crate::{house, identity::MeshKey, mesh_tls::MeshTlsSettings};

/// Health door of any other program, `postern up` among them.
const HEALTH_PORT_OTHER: u16 = 9100;

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    #[default]
    Json,
    /// One plain line, for the person at the terminal.
    Text,
}

/// What every process of the mesh must know. Flatten it into the settings of a binary.
#[derive(Args, Clone, Debug)]
pub struct MeshSettings {
    /// Secret that all parts of one house share.
    #[command(flatten)]
    pub mesh_key: MeshKey,

    /// Certificates between the services.
    #[command(flatten)]
    pub tls: MeshTlsSettings,

    /// Address of /livez, /readyz and /metrics
    #[arg(long, env = "POSTERN_HEALTH_LISTEN", value_name = "ADDRESS", default_value_t = default_health_listen())]
    pub health_listen: SocketAddr,

    /// What is logged: a level, or directives such as `info,postern_delivery=debug`
    #[arg(long, env = "POSTERN_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,

    /// Form of the log lines
    #[arg(long, env = "POSTERN_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,

    /// Offer gRPC reflection (grpcurl without .proto files); for development
    #[arg(long, env = "POSTERN_REFLECTION", value_name = "BOOL", num_args = 0..=1, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub reflection: bool,

    /// Calls that a server works on at once; more are answered "overloaded, try later"; 0 is no limit
    #[arg(long, env = "POSTERN_LIMIT_CONCURRENT_CALLS", value_name = "COUNT", default_value_t = 4096)]
    pub concurrency_max: usize,

    /// How long a server that goes down lets running calls finish, seconds
    #[arg(long, env = "POSTERN_DRAIN_SECONDS", value_name = "SECONDS", default_value_t = 10)]
    pub drain_seconds: u64,
}

impl MeshSettings {
    /// The defaults with this key: for tests and for a house in one process.
    #[must_use]
    pub fn with_key(mesh_key: MeshKey) -> Self {
        Self {
            mesh_key,
            tls: MeshTlsSettings::default(),
            health_listen: default_health_listen(),
            log: "info".to_owned(),
            log_format: LogFormat::Json,
            reflection: false,
            concurrency_max: 4096,
            drain_seconds: 10,
        }
    }
}

/// The health door of this program, by its name.
pub(crate) fn default_health_listen() -> SocketAddr {
    let program = std::env::current_exe().ok();
    let name = program.as_deref().and_then(|path| path.file_name()).and_then(|name| name.to_str());
    let service = name.and_then(|name| name.strip_prefix("postern-"));
    let port =
        house::SERVICES.iter().find(|(name, _)| Some(*name) == service).map_or(HEALTH_PORT_OTHER, |s| s.1);
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Whether a password may come without TLS from another machine, where others can read it on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaintextLogin {
    /// From this machine only, where nobody else listens.
    Never,
    /// It is offered, and each domain says whether it takes it.
    ByDomain,
    /// From everywhere, for every domain. Old mail programs have no TLS; who must serve them says so.
    Always,
}

impl PlaintextLogin {
    /// True when this peer may be asked for a password without TLS.
    #[must_use]
    pub fn is_offered_to(self, peer: PeerIp) -> bool {
        self != Self::Never || peer.is_loopback()
    }

    /// True when the domain of the login has to say whether it takes a password that came without TLS from this peer.
    #[must_use]
    pub fn asks_domain(self, peer: PeerIp) -> bool {
        self == Self::ByDomain && !peer.is_loopback()
    }
}

/// A word that says nothing about it.
#[derive(Debug, Error)]
#[error("must be true, false or by-domain")]
pub struct PlaintextLoginError;

impl FromStr for PlaintextLogin {
    type Err = PlaintextLoginError;

    fn from_str(text: &str) -> Result<Self, PlaintextLoginError> {
        match text {
            "false" => Ok(Self::Never),
            "by-domain" => Ok(Self::ByDomain),
            "true" => Ok(Self::Always),
            _ => Err(PlaintextLoginError),
        }
    }
}

impl fmt::Display for PlaintextLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "false",
            Self::ByDomain => "by-domain",
            Self::Always => "true",
        })
    }
}

/// Reads a settings struct from environment variables and defaults, ignoring the command line.
///
/// # Errors
/// When a setting is missing or wrong; the error's text is one clear line for people.
pub fn from_env<A: Args>() -> Result<A, clap::Error> {
    let command = A::augment_args(Command::new("postern").no_binary_name(true));
    let matches = command.try_get_matches_from(std::iter::empty::<&str>())?;
    A::from_arg_matches(&matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<A: Args>(arguments: &[&str]) -> Result<A, clap::Error> {
        let command = A::augment_args(Command::new("test").no_binary_name(true));
        A::from_arg_matches(&command.try_get_matches_from(arguments)?)
    }

    fn key_argument() -> String {
        format!("--mesh-key={}", "ab".repeat(32))
    }

    #[test]
    fn defaults_and_flags() {
        let settings: MeshSettings =
            parse(&[&key_argument(), "--reflection", "--health-listen=[::1]:1"]).expect("good");
        assert!(settings.reflection);
        assert_eq!(settings.health_listen.to_string(), "[::1]:1");
        assert_eq!(settings.concurrency_max, 4096);
        let settings: MeshSettings = parse(&[&key_argument(), "--reflection=false"]).expect("good");
        assert!(!settings.reflection);
    }

    #[test]
    fn a_missing_or_wrong_key_is_one_clear_line() {
        for (arguments, word) in [(vec![], "needed"), (vec!["--mesh-key=abc"], "64 hexadecimal digits")] {
            let text = parse::<MeshSettings>(&arguments).expect_err("no key").to_string();
            assert!(text.contains("POSTERN_MESH_KEY") && text.contains(word), "{text}");
        }
    }

    #[test]
    fn the_key_may_come_from_a_file() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("key");
        std::fs::write(&file, "cd".repeat(32) + "\n").expect("written");
        let argument = format!("--mesh-key-file={}", file.display());
        assert!(parse::<MeshKey>(&[&argument]).is_ok());
        std::fs::write(&file, "cd").expect("written");
        assert!(
            parse::<MeshKey>(&[&argument]).expect_err("short").to_string().contains("64 hexadecimal digits")
        );
        assert!(parse::<MeshKey>(&["--mesh-key-file=/nowhere/key"]).is_err());
    }

    /// A service that signs by itself flattens the key once more.
    #[derive(Args, Debug)]
    struct Twice {
        #[command(flatten)]
        mesh: MeshSettings,
        #[command(flatten)]
        key: MeshKey,
    }

    #[test]
    fn the_key_may_be_flattened_twice() {
        let twice: Twice = parse(&[&key_argument()]).expect("good");
        let text = twice.key.assertion(&crate::identity::Caller::new("x", crate::identity::Role::Service));
        assert!(twice.mesh.mesh_key.verify(&text).is_ok());
        Twice::augment_args(Command::new("test")).debug_assert();
    }
}
