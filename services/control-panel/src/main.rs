//! The control panel as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use postern_control_panel::{Settings, Upstreams};
use postern_mesh::{client::MeshChannel, probe, process, settings::MeshSettings, version::VERSION};

const SERVICE: &str = "control-panel";

/// The web face of the platform.
#[derive(Parser, Debug)]
#[command(name = "postern-control-panel", version = VERSION, after_help = probe::HELP)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    mesh: MeshSettings,

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
        postern_control_panel::open(&arguments.settings, mesh, upstreams, shutdown).await
    })
    .await
}
