//! The account service as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use postern_mesh::{probe, process, server, settings::MeshSettings, version::VERSION};

const SERVICE: &str = "account";

/// What exists on the platform: customers, domains, mailboxes, forwards, default addresses; and where an address leads
#[derive(Parser)]
#[command(name = "postern-account", version = VERSION, after_help = probe::HELP)]
struct Arguments {
    #[command(flatten)]
    mesh: MeshSettings,
    #[command(flatten)]
    account: postern_account::Settings,
}

impl process::Settings for Arguments {
    fn mesh(&self) -> &MeshSettings {
        &self.mesh
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    process::run(SERVICE, async |Arguments { mesh, account }: &Arguments, shutdown| {
        let (routes, ready) = postern_account::open_with_readiness(account, shutdown).await?;
        server::serve(account.account_listen, routes, SERVICE, mesh, shutdown).await?;
        Ok(ready)
    })
    .await
}
