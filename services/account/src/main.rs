//! The account service as a process of its own.

use clap::Parser;
use postern_account::Settings;
use postern_mesh::{health, server, settings::MeshSettings, shutdown::Shutdown, telemetry};

/// What exists on the platform: customers, domains, mailboxes, forwards, default addresses; and where an address leads
#[derive(Parser)]
#[command(name = "postern-account", version)]
struct CommandLine {
    #[command(flatten)]
    mesh: MeshSettings,
    #[command(flatten)]
    account: Settings,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let CommandLine { mesh, account } = CommandLine::parse();
    let _telemetry = telemetry::init_with("account", &mesh.log)?;
    let shutdown = Shutdown::new();
    shutdown.on_signals();
    let (routes, ready) = postern_account::open_with_readiness(&account, &shutdown).await?;
    server::serve(account.account_listen, routes, "account", &mesh, &shutdown).await?;
    health::serve(mesh.health_listen, ready, &shutdown).await?;
    shutdown.triggered().await;
    shutdown.finish(std::time::Duration::from_secs(mesh.drain_seconds + 1)).await;
    Ok(())
}
