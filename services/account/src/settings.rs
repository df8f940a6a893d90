//! Settings of the account service, checked before any port opens.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use postern_mesh::{StartError, secret};
use postern_proto::account::v1::Limits;

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
    pub database_url: Option<String>,

    /// File that holds the URL of POSTERN_DATABASE_URL
    #[arg(
        id = "account_database_url_file",
        long = "database-url-file",
        env = "POSTERN_DATABASE_URL_FILE",
        value_name = "FILE"
    )]
    pub database_url_file: Option<PathBuf>,

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

    /// What a customer may have unless the operator says otherwise
    #[command(flatten)]
    pub limits: LimitDefaults,

    /// How long the audit is kept, days, 1 to 36500
    #[arg(
        long,
        env = "POSTERN_AUDIT_DAYS",
        value_name = "DAYS",
        default_value_t = 400,
        value_parser = clap::value_parser!(i32).range(1..=36500)
    )]
    pub audit_days: i32,

    /// Passwords that are hashed at once (19 MiB of memory each); 0 = one for each core, as far as half of the container's
    /// memory holds them
    #[arg(
        id = "account_argon2_workers",
        long = "argon2-workers",
        env = "POSTERN_ARGON2_WORKERS",
        value_name = "COUNT",
        default_value_t = 0
    )]
    pub argon2_workers: usize,

    /// Address of the gRPC door
    #[arg(long, env = "POSTERN_ACCOUNT_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:7101")]
    pub account_listen: SocketAddr,
}

impl Settings {
    /// Where Postgres is.
    ///
    /// # Errors
    /// When it is not set, set twice, or its file cannot be read.
    pub(crate) fn database_url(&self) -> Result<String, StartError> {
        secret::DATABASE_URL.read(self.database_url.as_deref(), self.database_url_file.as_deref())
    }
}

/// What a customer may have where its own limits say nothing; 0 = off.
#[derive(Args, Clone, Debug)]
pub struct LimitDefaults {
    /// Domains, for one customer; 0 = off
    #[arg(
        long = "limit-customer-domains",
        env = "POSTERN_LIMIT_CUSTOMER_DOMAINS",
        value_name = "COUNT",
        default_value_t = 0,
        value_parser = clap::value_parser!(i64).range(0..)
    )]
    pub domains: i64,

    /// Mailboxes, default boxes not counted, for one customer; 0 = off
    #[arg(
        long = "limit-customer-mailboxes",
        env = "POSTERN_LIMIT_CUSTOMER_MAILBOXES",
        value_name = "COUNT",
        default_value_t = 0,
        value_parser = clap::value_parser!(i64).range(0..)
    )]
    pub mailboxes: i64,

    /// Forwards, for one customer; 0 = off
    #[arg(
        long = "limit-customer-forwards",
        env = "POSTERN_LIMIT_CUSTOMER_FORWARDS",
        value_name = "COUNT",
        default_value_t = 0,
        value_parser = clap::value_parser!(i64).range(0..)
    )]
    pub forwards: i64,

    /// Mailing lists, for one customer; 0 = off
    #[arg(
        long = "limit-customer-lists",
        env = "POSTERN_LIMIT_CUSTOMER_LISTS",
        value_name = "COUNT",
        default_value_t = 0,
        value_parser = clap::value_parser!(i64).range(0..)
    )]
    pub lists: i64,

    /// Members of all lists together, for one customer; 0 = off
    #[arg(
        long = "limit-customer-list-members",
        env = "POSTERN_LIMIT_CUSTOMER_LIST_MEMBERS",
        value_name = "COUNT",
        default_value_t = 0,
        value_parser = clap::value_parser!(i64).range(0..)
    )]
    pub list_members: i64,

    /// Autoresponders, for one customer; 0 = off
    #[arg(
        long = "limit-customer-autoresponders",
        env = "POSTERN_LIMIT_CUSTOMER_AUTORESPONDERS",
        value_name = "COUNT",
        default_value_t = 0,
        value_parser = clap::value_parser!(i64).range(0..)
    )]
    pub autoresponders: i64,

    /// Octets of all boxes together, for one customer; 0 = off
    #[arg(
        long = "limit-customer-storage-bytes",
        env = "POSTERN_LIMIT_CUSTOMER_STORAGE_BYTES",
        value_name = "COUNT",
        default_value_t = 0,
        value_parser = clap::value_parser!(i64).range(0..)
    )]
    pub storage_bytes: i64,

    /// Octets of one box, for one customer; 0 = off
    #[arg(
        long = "limit-customer-mailbox-storage-bytes",
        env = "POSTERN_LIMIT_CUSTOMER_MAILBOX_STORAGE_BYTES",
        value_name = "COUNT",
        default_value_t = 0,
        value_parser = clap::value_parser!(i64).range(0..)
    )]
    pub mailbox_storage_bytes: i64,

    /// Recipients outside that all logins together may write to in an hour, for one customer; 0 = off
    #[arg(
        long = "limit-customer-messages-per-hour",
        env = "POSTERN_LIMIT_CUSTOMER_MESSAGES_PER_HOUR",
        value_name = "COUNT",
        default_value_t = 0,
        value_parser = clap::value_parser!(i64).range(0..)
    )]
    pub messages_per_hour: i64,
}

impl LimitDefaults {
    /// No limit for anybody.
    #[must_use]
    pub fn off() -> Self {
        Self {
            domains: 0,
            mailboxes: 0,
            forwards: 0,
            lists: 0,
            list_members: 0,
            autoresponders: 0,
            storage_bytes: 0,
            mailbox_storage_bytes: 0,
            messages_per_hour: 0,
        }
    }

    /// Absent: no limit.
    pub(crate) fn as_limits(&self) -> Limits {
        let set = |most: i64| (most > 0).then_some(most);
        Limits {
            domains: set(self.domains),
            mailboxes: set(self.mailboxes),
            forwards: set(self.forwards),
            lists: set(self.lists),
            list_members: set(self.list_members),
            autoresponders: set(self.autoresponders),
            storage_bytes: set(self.storage_bytes),
            mailbox_storage_bytes: set(self.mailbox_storage_bytes),
            messages_per_hour: set(self.messages_per_hour),
        }
    }
}
