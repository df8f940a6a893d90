//! The auth service as a process of its own.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use postern_mesh::{
    client::MeshChannel, health, probe, server, settings::MeshSettings, shutdown::Shutdown, telemetry,
};

/// Who is it, and may this client relay: checks passwords, keeps grants and throttles in Redis.
#[derive(Parser)]
#[command(name = "postern-auth", version, after_help = probe::HELP)]
struct Program {
    #[command(flatten)]
    mesh: MeshSettings,

    #[command(flatten)]
    auth: postern_auth::Settings,

    /// Where account is: http://host:port, several separated by commas
    #[arg(long, env = "POSTERN_ACCOUNT_URL", value_name = "URL", default_value = "http://127.0.0.1:7101")]
    account_url: String,

    /// Where delivery is, for explanations of locks; absent: they are left out
    #[arg(long, env = "POSTERN_DELIVERY_URL", value_name = "URL")]
    delivery_url: Option<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    if let Some(answer) = probe::asked() {
        return Ok(answer);
    }
    let program = Program::parse();
    let _telemetry = telemetry::init("auth", &program.mesh.log, program.mesh.log_format)?;
    let shutdown = Shutdown::new();
    shutdown.on_signals();
    let account = MeshChannel::connect(&program.account_url, "auth", &program.mesh)?;
    let delivery = program.delivery_url.as_deref();
    let delivery = delivery.map(|url| MeshChannel::connect(url, "auth", &program.mesh)).transpose()?;
    let routes = tokio::select! {
        routes = postern_auth::open(&program.auth, &program.mesh, account, delivery, &shutdown) => routes?,
        () = shutdown.triggered() => return Ok(ExitCode::SUCCESS),
    };
    server::serve(program.auth.auth_listen, routes, "auth", &program.mesh, &shutdown).await?;
    health::serve(program.mesh.health_listen, postern_auth::readiness(&program.auth)?, &shutdown).await?;
    shutdown.triggered().await;
    shutdown.finish(Duration::from_secs(program.mesh.drain_seconds)).await;
    Ok(ExitCode::SUCCESS)
}
