//! The SMTP gateway as a process of its own.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use postern_mesh::{client::MeshChannel, probe, process, settings::MeshSettings, version::VERSION};
use postern_smtp_gateway::{Settings, Upstreams};

const SERVICE: &str = "smtp-gateway";

/// Speaks SMTP on the MX, submission and SMTPS doors.
#[derive(Parser)]
#[command(name = "postern-smtp-gateway", version = VERSION, after_help = probe::HELP)]
struct Arguments {
    #[command(flatten)]
    mesh: MeshSettings,

    #[command(flatten)]
    gateway: Settings,

    /// Where account is
    #[arg(long, env = "POSTERN_ACCOUNT_URL", value_name = "URL", default_value = "http://127.0.0.1:7101")]
    account_url: String,

    /// Where auth is
    #[arg(long, env = "POSTERN_AUTH_URL", value_name = "URL", default_value = "http://127.0.0.1:7102")]
    auth_url: String,

    /// Where delivery is
    #[arg(long, env = "POSTERN_DELIVERY_URL", value_name = "URL", default_value = "http://127.0.0.1:7103")]
    delivery_url: String,
}

impl process::Settings for Arguments {
    fn mesh(&self) -> &MeshSettings {
        &self.mesh
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    process::run(SERVICE, async |arguments: &Arguments, shutdown| {
        let mesh = &arguments.mesh;
        let upstreams = Upstreams {
            account: MeshChannel::connect(&arguments.account_url, SERVICE, mesh)?,
            auth: MeshChannel::connect(&arguments.auth_url, SERVICE, mesh)?,
            delivery: MeshChannel::connect(&arguments.delivery_url, SERVICE, mesh)?,
        };
        let drain = Duration::from_secs(mesh.drain_seconds);
        postern_smtp_gateway::open(&arguments.gateway, upstreams, drain, shutdown).await
    })
    .await
}
