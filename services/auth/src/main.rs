//! The auth service as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use postern_mesh::{client::MeshChannel, probe, process, server, settings::MeshSettings, version::VERSION};

const SERVICE: &str = "auth";

/// Who is it, and may this client relay: checks passwords, keeps grants and throttles in Redis.
#[derive(Parser)]
#[command(name = "postern-auth", version = VERSION, after_help = probe::HELP)]
struct Arguments {
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

impl process::Settings for Arguments {
    fn mesh(&self) -> &MeshSettings {
        &self.mesh
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    process::run(
        SERVICE,
        async |Arguments { mesh, auth, account_url, delivery_url }: &Arguments, shutdown| {
            let account = MeshChannel::connect(account_url, SERVICE, mesh)?;
            let delivery = delivery_url.as_deref();
            let delivery = delivery.map(|url| MeshChannel::connect(url, SERVICE, mesh)).transpose()?;
            let routes = postern_auth::open(auth, mesh, account, delivery, shutdown).await?;
            server::serve(auth.auth_listen, routes, SERVICE, mesh, shutdown).await?;
            postern_auth::readiness(auth)
        },
    )
    .await
}
