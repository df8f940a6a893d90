//! `postern certificates`: the platform gets and renews its own certificates, so that nobody has to run another program for it.
//!
//! The walk: `round` (which hosts need one), `hosts` (what account knows of them), `authority` with `door` (RFC 8555), `proofs` (what
//! the panel shows to the authority), `folder` (what the doors read), `memory` (when to try again).

mod authority;
mod door;
mod folder;
mod hosts;
mod memory;
mod proofs;
mod round;

use std::{fs::File, io, path::PathBuf, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Args;
use instant_acme::LetsEncrypt;
use jiff::Timestamp;
use postern_mail::DomainName;
use postern_mesh::{StartError, secret::SecretNames, settings::LogFormat, shutdown::Shutdown, telemetry};

use self::{
    authority::{Authority, Terms},
    door::Door,
    proofs::Proofs,
    round::{Keeper, Outcome},
};
pub(crate) use self::{
    folder::Folder,
    memory::{Kind, Memory, Trouble},
};
use crate::cli::{Failure, Reach, print};

/// Between two tries, whatever is due: a clock that jumps must not make us run in circles.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const BINDING_KEY: SecretNames =
    SecretNames { value: "POSTERN_ACME_EAB_KEY", file: "POSTERN_ACME_EAB_KEY_FILE" };

/// Where certificates come from, and where they go.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  postern certificates --tls-certificates secrets/doors/names --acme-webroot secrets/doors/acme \\\n    \
                  --acme-contact postmaster@example.net --acme-terms-accepted\n\
                  \nHosts are proven by HTTP at port 80 (http-01), where the control panel answers. Of two such processes for one\n\
                  folder only one works, the other waits for its end."
)]
pub struct Certificates {
    /// Do one round and end; exit code 75 when a host that needs a certificate has not got it
    #[arg(long)]
    once: bool,

    /// Folder that the doors read certificates from by name: each host gets `<host>.acme` there, with a key for owner and group only
    #[arg(long, env = "POSTERN_TLS_CERTIFICATES", value_name = "FOLDER")]
    tls_certificates: PathBuf,

    /// Folder whose `.well-known/acme-challenge` the control panel shows to the authority
    #[arg(long, env = "POSTERN_ACME_WEBROOT", value_name = "FOLDER")]
    acme_webroot: PathBuf,

    /// Directory of the authority that issues (RFC 8555 section 7.1.1), https only
    #[arg(long, env = "POSTERN_ACME_DIRECTORY", value_name = "URL", default_value = LetsEncrypt::Production.url())]
    acme_directory: String,

    /// True: you have read the terms of that authority and agree to them; nothing is asked of it before
    #[arg(long, env = "POSTERN_ACME_TERMS_ACCEPTED", value_name = "BOOL", num_args = 0..=1, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    acme_terms_accepted: bool,

    /// Mail address that the authority may write to
    #[arg(long, env = "POSTERN_ACME_CONTACT", value_name = "ADDRESS")]
    acme_contact: Option<String>,

    /// Certificates, PEM, that the authority's own HTTPS is believed by besides those of the public authorities
    #[arg(long, env = "POSTERN_ACME_CA", value_name = "FILE")]
    acme_ca: Option<PathBuf>,

    /// Id of the key that binds our account to one that you have with the authority (section 7.3.4), where it wants that
    #[arg(long, env = "POSTERN_ACME_EAB_KEY_ID", value_name = "ID")]
    acme_eab_key_id: Option<String>,

    /// That key, base64url
    #[arg(long, env = "POSTERN_ACME_EAB_KEY", value_name = "KEY", hide_env_values = true)]
    acme_eab_key: Option<String>,

    /// File that holds the key of POSTERN_ACME_EAB_KEY
    #[arg(long, env = "POSTERN_ACME_EAB_KEY_FILE", value_name = "FILE")]
    acme_eab_key_file: Option<PathBuf>,

    /// Orders in an hour at most, over restarts too
    #[arg(long, env = "POSTERN_ACME_ORDERS_PER_HOUR", value_name = "COUNT", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    acme_orders_per_hour: u32,

    /// Seconds after which a host that failed is tried again; each further failure doubles them, up to a day
    #[arg(long, env = "POSTERN_ACME_RETRY_SECONDS", value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    acme_retry_seconds: u64,

    /// Seconds between two looks at the domains and their certificates
    #[arg(long, env = "POSTERN_ACME_LOOK_SECONDS", value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    acme_look_seconds: u64,

    /// The platform's mail host, which gets a certificate, too
    #[arg(long, env = "POSTERN_MAIL_HOST", value_name = "NAME")]
    mail_host: Option<String>,

    /// What is logged: a level, or directives such as `info,postern=debug`
    #[arg(long, env = "POSTERN_LOG", value_name = "FILTER", default_value = "info")]
    log: String,

    /// Form of the log lines
    #[arg(long, env = "POSTERN_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Json)]
    log_format: LogFormat,
}

impl Certificates {
    /// Looks after the certificates until SIGINT or SIGTERM, or once.
    ///
    /// # Errors
    /// Usage when a setting is missing or wrong; with `--once` later when not all hosts have what they need.
    pub async fn run(self, reach: &Reach) -> Result<(), Failure> {
        let usage = |error: StartError| Failure::Usage(error.to_string());
        let _telemetry = telemetry::init("certificates", &self.log, self.log_format).map_err(usage)?;
        let shutdown = Shutdown::new();
        shutdown.on_signals();
        let folder = Folder::at(&self.tls_certificates);
        folder.prepare().map_err(usage)?;
        let mut keeper = self.keeper(reach, folder.clone()).map_err(usage)?;
        let Some(_lock) = self.turn(&folder, &shutdown).await? else { return Ok(()) };
        // Only whoever has the turn may read what was noted, and sweep.
        keeper.memory = Memory::read(&folder.own()).unwrap_or_else(|error| {
            tracing::warn!(%error, "what was tried before cannot be read, and is forgotten");
            Memory::default()
        });
        if let Err(error) = folder.sweep() {
            tracing::warn!(%error, "what an earlier process left cannot be taken away");
        }
        if self.once {
            return once(&mut keeper).await;
        }
        let look = Duration::from_secs(self.acme_look_seconds);
        tracing::info!(directory = self.acme_directory, "looking after certificates");
        loop {
            // Where an order is cut short, its proof is taken away and the order counts.
            tokio::select! {
                done = keeper.round() => match done {
                    Ok(outcome) => tracing::debug!(outcome.got, outcome.waiting, "a round is done"),
                    Err(error) => tracing::warn!(error = format!("{error:#}"), "no round: certificates that stand are used on"),
                },
                () = shutdown.triggered() => return Ok(()),
            }
            tokio::select! {
                () = tokio::time::sleep(pause(look, keeper.next_try(), Timestamp::now())) => {}
                () = shutdown.triggered() => return Ok(()),
            }
        }
    }

    /// The lock of the folder; `None` when we are to end before it was ours.
    async fn turn(&self, folder: &Folder, shutdown: &Shutdown) -> Result<Option<File>, Failure> {
        let mut is_told = false;
        loop {
            let wrong = |error: io::Error| {
                Failure::Usage(format!("POSTERN_TLS_CERTIFICATES: {}: {error}", folder.own().display()))
            };
            if let Some(lock) = folder.lock().map_err(wrong)? {
                return Ok(Some(lock));
            }
            if self.once {
                return Err(Failure::Later(format!(
                    "another process looks after the certificates in {}",
                    self.tls_certificates.display()
                )));
            }
            if !is_told {
                tracing::info!("another process looks after these certificates: waiting for its end");
                is_told = true;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(self.acme_look_seconds)) => {}
                () = shutdown.triggered() => return Ok(None),
            }
        }
    }

    fn keeper(&self, reach: &Reach, folder: Folder) -> Result<Keeper, StartError> {
        let webroot = Proofs::open(&self.acme_webroot);
        let own = folder.own();
        Ok(Keeper {
            reach: reach.clone(),
            mail_host: self.mail_host()?,
            authority: Authority::new(self.terms()?, Door::new(self.acme_ca.as_deref())?, &own),
            folder,
            proofs: webroot.map_err(|e| StartError::file(&self.acme_webroot, e))?,
            memory: Memory::default(),
            orders_per_hour: self.acme_orders_per_hour,
            retry: Duration::from_secs(self.acme_retry_seconds),
        })
    }

    fn mail_host(&self) -> Result<Option<String>, StartError> {
        let Some(host) = self.mail_host.as_deref().filter(|host| !host.is_empty()) else { return Ok(None) };
        let name = host.trim_end_matches('.').parse::<DomainName>();
        let name = name.map_err(|e| StartError::setting("POSTERN_MAIL_HOST", format!("{host:?}: {e}")))?;
        Ok(Some(name.as_str().to_owned()))
    }

    /// What we tell the authority; wrong words are found before anything is asked.
    fn terms(&self) -> Result<Terms, StartError> {
        if !self.acme_directory.starts_with("https://") {
            return Err(StartError::setting("POSTERN_ACME_DIRECTORY", "must begin with https://"));
        }
        if !self.acme_terms_accepted {
            let why = format!(
                "must be true: read the terms of the authority at {}, and say so",
                self.acme_directory
            );
            return Err(StartError::setting("POSTERN_ACME_TERMS_ACCEPTED", why));
        }
        let contact = match self.acme_contact.as_deref().filter(|address| !address.is_empty()) {
            Some(address) if !address.contains('@') || address.contains([':', ' ', ',']) => {
                return Err(StartError::setting("POSTERN_ACME_CONTACT", "must be one mail address"));
            }
            address => address.map(|address| format!("mailto:{address}")),
        };
        Ok(Terms { directory: self.acme_directory.clone(), contact, binding: self.binding()? })
    }

    fn binding(&self) -> Result<Option<(String, Vec<u8>)>, StartError> {
        let (key, file) = (self.acme_eab_key.as_deref(), self.acme_eab_key_file.as_deref());
        let Some(id) = self.acme_eab_key_id.clone().filter(|id| !id.is_empty()) else {
            return match (key, file) {
                (None, None) => Ok(None),
                _ => Err(StartError::setting("POSTERN_ACME_EAB_KEY_ID", "is needed too")),
            };
        };
        let text = BINDING_KEY.read(key, file)?;
        let key = URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
        let key =
            key.map_err(|e| StartError::setting(BINDING_KEY.value, format!("must be base64url: {e}")))?;
        Ok(Some((id, key)))
    }
}

async fn once(keeper: &mut Keeper) -> Result<(), Failure> {
    let done = keeper.round().await;
    let Outcome { got, waiting } = done.map_err(|error| match error.downcast::<Failure>() {
        Ok(failure) => failure,
        Err(error) => Failure::Later(format!("{error:#}")),
    })?;
    print(&format!("{got} new certificates"))?;
    match waiting {
        0 => Ok(()),
        hosts => Err(Failure::Later(format!("hosts without the certificate that they need: {hosts}"))),
    }
}

/// Until the next look, or sooner when something is to be tried again.
fn pause(look: Duration, next_try: Option<Timestamp>, now: Timestamp) -> Duration {
    let until = next_try.and_then(|next| Duration::try_from(next.duration_since(now)).ok());
    until.unwrap_or(look).clamp(PAUSE_MIN, look.max(PAUSE_MIN))
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches as _};

    use super::*;

    fn settings(more: &[&str]) -> Certificates {
        let command = Certificates::augment_args(Command::new("certificates").no_binary_name(true));
        let accepted = !more.iter().any(|word| word.starts_with("--acme-terms-accepted"));
        let needed = ["--tls-certificates=names", "--acme-webroot=acme"];
        let words = needed.into_iter().chain(accepted.then_some("--acme-terms-accepted"));
        let words = words.chain(more.iter().copied());
        Certificates::from_arg_matches(&command.try_get_matches_from(words).expect("words"))
            .expect("settings")
    }

    fn wrong(more: &[&str]) -> String {
        settings(more).terms().expect_err("wrong").to_string()
    }

    #[test]
    fn what_the_authority_is_told_is_looked_at_before() {
        let terms = settings(&["--acme-contact=postmaster@example.net"]).terms().expect("good");
        assert_eq!(terms.directory, LetsEncrypt::Production.url());
        assert_eq!(terms.contact.as_deref(), Some("mailto:postmaster@example.net"));
        assert!(wrong(&["--acme-terms-accepted=false"]).contains("POSTERN_ACME_TERMS_ACCEPTED"));
        assert!(wrong(&["--acme-directory=http://ca.test/"]).contains("https"));
        for contact in ["nobody", "mailto:a@b.test", "a@b.test,c@d.test"] {
            assert!(
                wrong(&[&format!("--acme-contact={contact}")]).contains("POSTERN_ACME_CONTACT"),
                "{contact}"
            );
        }
        let binding = |more: &[&str]| settings(more).binding();
        let bound = binding(&["--acme-eab-key-id=kid-1", "--acme-eab-key=AQID"]).expect("good");
        assert_eq!(bound, Some(("kid-1".to_owned(), vec![1, 2, 3])));
        for more in [
            &["--acme-eab-key=AQID"][..],
            &["--acme-eab-key-id=kid-1"],
            &["--acme-eab-key-id=kid-1", "--acme-eab-key=+/+/"],
        ] {
            assert!(
                binding(more).expect_err("wrong").to_string().contains("POSTERN_ACME_EAB_KEY"),
                "{more:?}"
            );
        }
    }

    #[test]
    fn the_next_round_is_at_the_next_look_or_the_next_try() {
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        let look = Duration::from_secs(300);
        let at = |seconds| Some(now + jiff::SignedDuration::from_secs(seconds));
        assert_eq!(pause(look, None, now), look);
        assert_eq!(pause(look, at(20), now), Duration::from_secs(20));
        assert_eq!(pause(look, at(3000), now), look);
        assert_eq!(pause(look, at(-5), now), look);
        assert_eq!(pause(look, at(0), now), PAUSE_MIN);
    }
}
