//! The control panel as a process of its own.

use std::time::Duration;

use clap::Parser;
use postern_control_panel::Settings;
use postern_mesh::{
    client::MeshChannel,
    health::{self, Readiness},
    settings::MeshSettings,
    shutdown::Shutdown,
    telemetry,
};

/// The web face of the platform.
#[derive(Parser, Debug)]
#[command(name = "postern-control-panel", version)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    mesh: MeshSettings,

    /// Where account is: http://host:port, several separated by commas
    #[arg(long, env = "POSTERN_ACCOUNT_URL", value_name = "URL", default_value = "http://127.0.0.1:7101")]
    account_url: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let _telemetry = telemetry::init("control-panel", &arguments.mesh.log, arguments.mesh.log_format)?;
    let shutdown = Shutdown::new();
    shutdown.on_signals();
    let account = MeshChannel::connect(&arguments.account_url, "control-panel", &arguments.mesh)?;
    postern_control_panel::open(&arguments.settings, account, &shutdown).await?;
    health::serve(arguments.mesh.health_listen, Readiness::new(), &shutdown).await?;
    shutdown.triggered().await;
    shutdown.finish(Duration::from_secs(arguments.mesh.drain_seconds)).await;
    Ok(())
}
