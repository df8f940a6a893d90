//! The delivery service as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use postern_mesh::{client::MeshChannel, probe, process, server, settings::MeshSettings, version::VERSION};

const SERVICE: &str = "delivery";

/// What happens to a message: accept, store, queue, expand, send out, bounce, read, delete
#[derive(Parser)]
#[command(name = "postern-delivery", version = VERSION, after_help = probe::HELP)]
struct Arguments {
    #[command(flatten)]
    mesh: MeshSettings,

    #[command(flatten)]
    delivery: postern_delivery::Settings,

    /// Where account is: http://host:port, several separated by commas
    #[arg(long, env = "POSTERN_ACCOUNT_URL", value_name = "URL", default_value = "http://127.0.0.1:7101")]
    account_url: String,
}

impl process::Settings for Arguments {
    fn mesh(&self) -> &MeshSettings {
        &self.mesh
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    process::run(SERVICE, async |Arguments { mesh, delivery, account_url }: &Arguments, shutdown| {
        let account = MeshChannel::connect(account_url, SERVICE, mesh)?;
        let (routes, ready) = postern_delivery::open_with_readiness(delivery, account, shutdown).await?;
        server::serve(delivery.delivery_listen, routes, SERVICE, mesh, shutdown).await?;
        Ok(ready)
    })
    .await
}
