//! The POP3 gateway as a process of its own.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use postern_mesh::{
    client::MeshChannel,
    health::{self, Readiness},
    probe,
    settings::MeshSettings,
    shutdown::Shutdown,
    telemetry,
};
use postern_pop3_gateway::{Settings, Upstreams};

const SERVICE: &str = "pop3-gateway";

/// Speaks POP3 to mail programs; asks auth and delivery.
#[derive(Parser, Debug)]
#[command(name = "postern-pop3-gateway", version, after_help = probe::HELP)]
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

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    if let Some(answer) = probe::asked() {
        return Ok(answer);
    }
    let arguments = Arguments::parse();
    let _telemetry = telemetry::init(SERVICE, &arguments.mesh.log, arguments.mesh.log_format)?;
    let shutdown = Shutdown::new();
    shutdown.on_signals();
    let upstreams = Upstreams {
        auth: MeshChannel::connect(&arguments.auth_url, SERVICE, &arguments.mesh)?,
        delivery: MeshChannel::connect(&arguments.delivery_url, SERVICE, &arguments.mesh)?,
    };
    postern_pop3_gateway::open(&arguments.settings, upstreams, &shutdown).await?;
    // Ready without its upstreams too: a client that hears [SYS/TEMP] knows more than one that is not let in.
    health::serve(arguments.mesh.health_listen, Readiness::new(), &shutdown).await?;
    shutdown.triggered().await;
    shutdown.finish(Duration::from_secs(arguments.mesh.drain_seconds)).await;
    Ok(ExitCode::SUCCESS)
}
