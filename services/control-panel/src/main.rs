//! The control panel as a process of its own.

use std::time::Duration;

use clap::Parser;
use postern_control_panel::Settings;
use postern_mesh::{
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
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let _telemetry = telemetry::init("control-panel", &arguments.mesh.log, arguments.mesh.log_format)?;
    let shutdown = Shutdown::new();
    shutdown.on_signals();
    postern_control_panel::open(&arguments.settings, &shutdown).await?;
    health::serve(arguments.mesh.health_listen, Readiness::new(), &shutdown).await?;
    shutdown.triggered().await;
    shutdown.finish(Duration::from_secs(arguments.mesh.drain_seconds)).await;
    Ok(())
}
