//! The POP3 gateway as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use postern_mesh::{client::MeshChannel, probe, process, settings::MeshSettings, version::VERSION};
use postern_pop3_gateway::{Settings, Upstreams};

const SERVICE: &str = "pop3-gateway";

/// Speaks POP3 to mail programs; asks auth and delivery.
#[derive(Parser, Debug)]
#[command(name = "postern-pop3-gateway", version = VERSION, after_help = probe::HELP)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    mesh: MeshSettings,
    /// Where auth listens
    #[arg(long, env = "POSTERN_AUTH_URL", value_name = "URL", default_value = "http://127.0.0.1:7102")]
    auth_url: String,
    /// Where delivery listens
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
            auth: MeshChannel::connect(&arguments.auth_url, SERVICE, mesh)?,
            delivery: MeshChannel::connect(&arguments.delivery_url, SERVICE, mesh)?,
        };
        postern_pop3_gateway::open(&arguments.settings, upstreams, shutdown).await
    })
    .await
}
