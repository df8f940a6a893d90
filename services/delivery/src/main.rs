//! The delivery service as a process of its own.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use postern_delivery::Settings;
use postern_mesh::{
    client::MeshChannel, health, probe, server, settings::MeshSettings, shutdown::Shutdown, telemetry,
};

/// What happens to a message: accept, store, queue, expand, send out, bounce, read, delete
#[derive(Parser)]
#[command(name = "postern-delivery", version, after_help = probe::HELP)]
struct CommandLine {
    #[command(flatten)]
    mesh: MeshSettings,

    #[command(flatten)]
    delivery: Settings,

    /// Where account is: http://host:port, several separated by commas
    #[arg(long, env = "POSTERN_ACCOUNT_URL", value_name = "URL", default_value = "http://127.0.0.1:7101")]
    account_url: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    if let Some(answer) = probe::asked() {
        return Ok(answer);
    }
    let CommandLine { mesh, delivery, account_url } = CommandLine::parse();
    let _telemetry = telemetry::init("delivery", &mesh.log, mesh.log_format)?;
    let shutdown = Shutdown::new();
    shutdown.on_signals();
    let account = MeshChannel::connect(&account_url, "delivery", &mesh)?;
    let (routes, ready) = tokio::select! {
        opened = postern_delivery::open_with_readiness(&delivery, account, &shutdown) => opened?,
        () = shutdown.triggered() => return Ok(ExitCode::SUCCESS),
    };
    server::serve(delivery.delivery_listen, routes, "delivery", &mesh, &shutdown).await?;
    health::serve(mesh.health_listen, ready, &shutdown).await?;
    shutdown.triggered().await;
    shutdown.finish(Duration::from_secs(mesh.drain_seconds + 1)).await;
    Ok(ExitCode::SUCCESS)
}
