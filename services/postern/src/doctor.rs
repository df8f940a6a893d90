//! `postern doctor`: looks at a whole installation from where it stands, and says of each thing that is wrong what to do.
//!
//! The walk: `services` (whether they answer, whether anybody may send, how long mail waits) with `health` (readiness and clock of each
//! replica) and `versions` (do all run the same), `stores` (what Postgres and Redis promise, whether the schema is that of this version), `outside` (the mail host in DNS, the
//! certificates of its doors) with `doors` (does somebody answer behind each) and `sending` (the names of what mail leaves by), `certificates` (those of customers' names). What cannot be
//! looked at from here is said, too.

mod certificates;
mod doors;
mod health;
mod outside;
mod sending;
mod services;
mod stores;
mod versions;

use std::{fmt, net::SocketAddr, path::PathBuf};

use clap::Args;
use postern_mesh::sending::SendingSettings;
use postern_redis::RedisSettings;
use serde::Serialize;

use crate::cli::{Failure, Reach, print};

/// What to look at; all of it may be left out.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  postern doctor --database-url-file secrets/database-url --mail-host mail.example.net\n\
                        \nExit codes: 0 nothing is wrong, 1 something is."
)]
pub struct Doctor {
    /// Health doors to ask, as http://host:port, several separated by commas, all addresses of a name; by default those of account,
    /// auth and delivery, 2000 above their gRPC ports
    #[arg(long, env = "POSTERN_HEALTH_DOORS", value_name = "URL,...", value_delimiter = ',')]
    health_doors: Vec<String>,

    /// Postgres, to look at what it promises
    #[arg(long, env = "POSTERN_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,

    /// File that holds the URL of POSTERN_DATABASE_URL
    #[arg(long, env = "POSTERN_DATABASE_URL_FILE", value_name = "FILE")]
    database_url_file: Option<PathBuf>,

    /// Redis, to look at what it promises
    #[command(flatten)]
    redis: RedisSettings,

    /// The platform's mail host, to look at its DNS and the certificates of its doors
    #[arg(long, env = "POSTERN_MAIL_HOST", value_name = "NAME")]
    mail_host: Option<String>,

    /// Where mail leaves from, as account is told.
    #[command(flatten)]
    sending: SendingSettings,

    /// Doors to knock at where they are not at the usual ports of the mail host, as smtp=2525 or smtp=203.0.113.25:25, several
    /// separated by commas: smtp, submission, smtps, pop3, pop3s, http, https
    #[arg(long, env = "POSTERN_DOORS", value_name = "KIND=PORT,...", value_delimiter = ',')]
    doors: Vec<doors::Door>,

    /// Doors that speak TLS, to look at their certificates, in place of the mail host's
    #[arg(long, env = "POSTERN_TLS_DOORS", value_name = "IP:PORT,...", value_delimiter = ',')]
    tls_doors: Vec<SocketAddr>,

    /// Folder of certificates that the doors choose by name, to look at all of them
    #[arg(long, env = "POSTERN_TLS_CERTIFICATES", value_name = "FOLDER")]
    tls_certificates: Option<PathBuf>,

    /// DNS servers to ask instead of the system's, separated by commas
    #[arg(long, env = "POSTERN_RESOLVER", value_name = "IP:PORT,...", value_delimiter = ',')]
    resolver: Vec<SocketAddr>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Good,
    /// It works, and may not for long.
    Care,
    Wrong,
    /// Not looked at.
    Unknown,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    state: State,
    /// What was looked at.
    subject: String,
    /// What was seen.
    seen: String,
    /// What to do, where there is something to do.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

/// What was found so far.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn good(&mut self, subject: impl Into<String>, seen: impl Into<String>) {
        self.add(State::Good, subject, seen, None);
    }

    fn care(&mut self, subject: impl Into<String>, seen: impl Into<String>, advice: impl Into<String>) {
        self.add(State::Care, subject, seen, Some(advice.into()));
    }

    fn wrong(&mut self, subject: impl Into<String>, seen: impl Into<String>, advice: impl Into<String>) {
        self.add(State::Wrong, subject, seen, Some(advice.into()));
    }

    fn unknown(&mut self, subject: impl Into<String>, seen: impl Into<String>, advice: impl Into<String>) {
        self.add(State::Unknown, subject, seen, Some(advice.into()));
    }

    fn add(
        &mut self,
        state: State,
        subject: impl Into<String>,
        seen: impl Into<String>,
        advice: Option<String>,
    ) {
        self.0.push(Finding { state, subject: subject.into(), seen: seen.into(), advice });
    }

    fn count(&self, state: State) -> usize {
        self.0.iter().filter(|finding| finding.state == state).count()
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { state, subject, seen, advice } in &self.0 {
            let word = match state {
                State::Good => "ok",
                State::Care => "CARE",
                State::Wrong => "WRONG",
                State::Unknown => "?",
            };
            writeln!(f, "{word:<6}{subject}: {seen}")?;
            if let Some(advice) = advice {
                writeln!(f, "      -> {advice}")?;
            }
        }
        Ok(())
    }
}

impl Doctor {
    /// Looks, and prints what was seen.
    ///
    /// # Errors
    /// When something is wrong, or the doors of the house are not known.
    pub async fn run(self, reach: &Reach) -> Result<(), Failure> {
        let mut findings = Findings::default();
        services::look(&self, reach, &mut findings).await?;
        stores::look(&self, &mut findings).await;
        outside::look(&self, &mut findings).await;
        certificates::look(&self, &mut findings);
        if reach.json {
            let json = serde_json::to_string_pretty(&findings.0)
                .map_err(|e| Failure::Refused(format!("the findings have no JSON form: {e}")))?;
            print(&json)?;
        } else {
            print(&findings.to_string())?;
        }
        match findings.count(State::Wrong) {
            0 => Ok(()),
            1 => Err(Failure::Refused("one thing is wrong".to_owned())),
            more => Err(Failure::Refused(format!("{more} things are wrong"))),
        }
    }
}
