//! The account service as a process of its own.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use postern_account::Settings;
use postern_mesh::{
    StartError, health, probe, server, settings::MeshSettings, shutdown::Shutdown, telemetry,
};

/// What exists on the platform: customers, domains, mailboxes, forwards, default addresses; and where an address leads
#[derive(Parser)]
#[command(name = "postern-account", version, after_help = probe::HELP)]
struct CommandLine {
    #[command(flatten)]
    mesh: MeshSettings,
    #[command(flatten)]
    account: Settings,
}

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(answer) = probe::asked() {
        return answer;
    }
    match run(CommandLine::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("postern-account: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(CommandLine { mesh, account }: CommandLine) -> Result<(), StartError> {
    let _telemetry = telemetry::init("account", &mesh.log, mesh.log_format)?;
    let shutdown = Shutdown::new();
    shutdown.on_signals();
    let (routes, ready) = tokio::select! {
        opened = postern_account::open_with_readiness(&account, &shutdown) => opened?,
        () = shutdown.triggered() => return Ok(()),
    };
    server::serve(account.account_listen, routes, "account", &mesh, &shutdown).await?;
    health::serve(mesh.health_listen, ready, &shutdown).await?;
    shutdown.triggered().await;
    shutdown.finish(Duration::from_secs(mesh.drain_seconds + 1)).await;
    Ok(())
}
