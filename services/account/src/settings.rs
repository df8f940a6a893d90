//! Settings of the account service, checked before any port opens.

use std::net::SocketAddr;

use clap::Args;

use crate::DelegationSettings;

/// What the account service must know.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Postgres, as in postgres://user:password@host/database or postgres:///database?host=/folder/of/socket&user=name
    #[arg(
        id = "account_database_url",
        long = "database-url",
        env = "POSTERN_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub database_url: String,

    /// Connections to Postgres that one replica holds at most, 1 to 1000
    #[arg(
        id = "account_database_connections",
        long = "database-connections",
        env = "POSTERN_DATABASE_CONNECTIONS",
        value_name = "COUNT",
        default_value_t = 16,
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    pub database_connections: u32,

    /// Put new domains into service at once, without asking DNS (for a local profile or a closed site)
    #[arg(
        long,
        env = "POSTERN_NEW_DOMAINS_LIVE",
        value_name = "BOOL",
        default_value_t = false,
        default_missing_value = "true",
        num_args = 0..=1,
        action = clap::ArgAction::Set
    )]
    pub new_domains_live: bool,

    /// How domains come into service
    #[command(flatten)]
    pub delegation: DelegationSettings,

    /// Days for which what was removed can be restored
    #[arg(
        long = "vault-days",
        id = "account-vault-days",
        env = "POSTERN_VAULT_DAYS",
        value_name = "DAYS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u16).range(1..=3650)
    )]
    pub vault_days: u16,

    /// Address of the gRPC door
    #[arg(long, env = "POSTERN_ACCOUNT_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:7101")]
    pub account_listen: SocketAddr,
}
