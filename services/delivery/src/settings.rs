//! Settings of the delivery service, read and checked before any port opens.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use postern_mail::limits;
use postern_mesh::{StartError, secret};
use postern_redis::RedisSettings;

use crate::{authenticity::AuthenticitySettings, queue::QueueSettings, spam::SpamSettings};

/// What the delivery service must know.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Address of the gRPC door
    #[arg(long, env = "POSTERN_DELIVERY_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:7103")]
    pub delivery_listen: SocketAddr,

    /// Postgres, such as postgres://user@host/postern or postgres:///postern?host=/folder
    #[arg(
        long = "database-url",
        id = "delivery-database-url",
        env = "POSTERN_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub database_url: Option<String>,

    /// File that holds the URL of POSTERN_DATABASE_URL
    #[arg(
        long = "database-url-file",
        id = "delivery-database-url-file",
        env = "POSTERN_DATABASE_URL_FILE",
        value_name = "FILE"
    )]
    pub database_url_file: Option<PathBuf>,

    /// Connections to Postgres besides those of the accept path
    #[arg(long, env = "POSTERN_DATABASE_CONNECTIONS", value_name = "COUNT", default_value_t = 16)]
    pub database_connections: u32,

    /// Where Redis is
    #[command(flatten)]
    pub redis: RedisSettings,

    /// Where large messages are kept: file:///folder or s3://bucket/prefix
    #[arg(long, env = "POSTERN_BLOB_URL", value_name = "URL")]
    pub blob_url: String,

    /// Content up to this size is kept in the database row, larger content in the blob store, octets
    #[arg(long, env = "POSTERN_INLINE_MAX_BYTES", value_name = "BYTES", default_value_t = 64 * 1024)]
    pub inline_max_bytes: usize,

    /// Largest message content, octets; 0 = no limit
    #[arg(
        long = "limit-message-bytes",
        env = "POSTERN_LIMIT_MESSAGE_BYTES",
        value_name = "BYTES",
        default_value_t = limits::MESSAGE_MAX_BYTES
    )]
    pub message_max_bytes: u64,

    /// Content of all messages being received at once, held in memory, octets; a quarter of it is kept for customers, one stranger may
    /// hold a sixteenth
    #[arg(
        long = "limit-content-memory-bytes",
        env = "POSTERN_LIMIT_CONTENT_MEMORY_BYTES",
        value_name = "BYTES",
        default_value_t = 128 * 1024 * 1024
    )]
    pub content_memory_bytes: usize,

    /// Seconds between two sweeps for what nobody refers to; 0 = never
    #[arg(long, env = "POSTERN_SWEEP_SECONDS", value_name = "SECONDS", default_value_t = 3600)]
    pub sweep_seconds: u64,

    /// Days for which what was cleared from a box can be brought back
    #[arg(
        long = "vault-days",
        id = "delivery-vault-days",
        env = "POSTERN_VAULT_DAYS",
        value_name = "DAYS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u16).range(1..=3650)
    )]
    pub vault_days: u16,

    /// Days for which the story of a message is kept: envelope and fate, never its content
    #[arg(
        long,
        env = "POSTERN_TRACE_DAYS",
        value_name = "DAYS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u16).range(1..=3650)
    )]
    pub trace_days: u16,

    /// Send all outside mail to this host instead of the recipients' MX hosts, host:port
    #[arg(long, env = "POSTERN_SMARTHOST", value_name = "HOST:PORT")]
    pub smarthost: Option<String>,

    /// Name of this mail host, for EHLO, Received and bounces
    #[arg(long, env = "POSTERN_MAIL_HOST", value_name = "NAME", default_value = "mail.postern.test")]
    pub mail_host: String,

    /// Where a List-Unsubscribe link leads, the token is put behind it; `{domain}` stands for the list's domain
    #[arg(
        long,
        env = "POSTERN_UNSUBSCRIBE_URL",
        value_name = "URL",
        default_value = "https://mail.{domain}/unsubscribe/"
    )]
    pub unsubscribe_url: String,

    /// How mail from strangers is looked at
    #[command(flatten)]
    pub authenticity: AuthenticitySettings,

    /// How mail from strangers is scanned for spam
    #[command(flatten)]
    pub spam: SpamSettings,

    /// How mail leaves
    #[command(flatten)]
    pub queue: QueueSettings,
}

/// Inline content larger than this makes batches and memory too big, octets.
const INLINE_CEILING_BYTES: usize = 1024 * 1024;

impl Settings {
    /// Where Postgres is.
    ///
    /// # Errors
    /// When it is not set, set twice, or its file cannot be read.
    pub(crate) fn database_url(&self) -> Result<String, StartError> {
        secret::DATABASE_URL.read(self.database_url.as_deref(), self.database_url_file.as_deref())
    }

    /// Checks what clap cannot.
    ///
    /// # Errors
    /// Names the setting that makes no sense.
    pub fn check(&self) -> Result<(), StartError> {
        if self.inline_max_bytes > INLINE_CEILING_BYTES {
            let why = format!("at most {INLINE_CEILING_BYTES}");
            return Err(StartError::setting("POSTERN_INLINE_MAX_BYTES", why));
        }
        if self.database_connections < 2 {
            return Err(StartError::setting("POSTERN_DATABASE_CONNECTIONS", "at least 2"));
        }
        if self.content_memory_bytes < 16 * INLINE_CEILING_BYTES {
            let why = format!("at least {}", 16 * INLINE_CEILING_BYTES);
            return Err(StartError::setting("POSTERN_LIMIT_CONTENT_MEMORY_BYTES", why));
        }
        let url = &self.unsubscribe_url;
        if !(url.starts_with("https://") || url.starts_with("http://")) || !url.bytes().all(is_url_octet) {
            return Err(StartError::setting("POSTERN_UNSUBSCRIBE_URL", "not of the form https://host/path/"));
        }
        Ok(())
    }
}

/// Of a URL in a header field, `{domain}` included.
fn is_url_octet(octet: u8) -> bool {
    octet.is_ascii_graphic() && !b"<>,;\"\\".contains(&octet)
}
