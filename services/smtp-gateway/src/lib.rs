//! The SMTP gateway: speaks SMTP on the MX, submission and SMTPS doors. Holds no mail, no password, no state that lasts.
//!
//! The walk of a mail through the files: `listener -> connection -> command -> session -> upstream`,
//! and its answer back through the same files.

mod command;
mod connection;
mod listener;
mod session;
mod settings;
mod upstream;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use postern_mail::limits::CONTENT_LINE_MAX_BYTES;
use postern_mesh::{
    StartError, client::MeshChannel, health::Readiness, reception::Reception, shutdown::Shutdown,
    sightings::Sightings,
};
use postern_smtp::data::DataLimits;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use connection::Gateway;
use listener::{Doors, Rules};
use session::Door;
pub use settings::Settings;
use upstream::Upstream;

/// The services behind the gateway.
#[derive(Clone, Debug)]
pub struct Upstreams {
    /// Where addresses lead.
    pub account: MeshChannel,
    /// Logins and relay rights.
    pub auth: MeshChannel,
    /// Takes messages.
    pub delivery: MeshChannel,
}

/// So long before the end content that still comes in is given up: the word about it must reach its client, and the answer for what
/// is complete must come from delivery.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Opens the doors and serves them on `shutdown`; `drain` is how long after that sessions may go on before they are cut.
///
/// # Errors
/// When a setting is wrong or a port cannot be opened.
pub async fn open(
    settings: &Settings,
    upstreams: Upstreams,
    drain: Duration,
    shutdown: &Shutdown,
) -> Result<Readiness, StartError> {
    settings.check()?;
    // SMTP has no registered ALPN name, so none is asked for.
    let tls = settings.tls.load()?.map(|identity| identity.acceptor(&[]));
    let smtp = bind(settings.smtp_listen).await?;
    let submission = bind(settings.submission_listen).await?;
    let smtps = match tls {
        Some(_) => Some(bind(settings.smtps_listen).await?),
        None => {
            tracing::info!("no certificate: no STARTTLS, and the SMTPS door stays closed");
            None
        }
    };
    let sightings = Sightings::begin(upstreams.auth.clone(), shutdown);
    let upstream = Upstream::new(
        upstreams.account,
        upstreams.auth,
        upstreams.delivery,
        &settings.mail_host,
        settings.postmasters(),
        settings.limit_inbound_per_hour_mailbox,
        shutdown,
    );
    let gateway = Gateway {
        upstream,
        tls,
        idle: settings.idle(),
        slowest: settings.slowest(),
        greet_delay: Duration::from_millis(settings.greet_delay_millis),
        data_limits: DataLimits {
            message_max_bytes: settings.message_max_bytes(),
            line_max_bytes: CONTENT_LINE_MAX_BYTES,
        },
        content_memory: settings.content_memory(),
        shutdown: shutdown.clone(),
        content_end: end_of_content(drain, shutdown),
    };
    let doors = doors(settings, gateway, sightings);
    serve(smtp, Door::Mx, &doors);
    serve(submission, Door::Submission, &doors);
    if let Some(smtps) = smtps {
        serve(smtps, Door::Smtps, &doors);
    }
    Ok(doors.reception.tell(Readiness::new()))
}

/// Cancelled when content that still comes in must be given up.
fn end_of_content(drain: Duration, shutdown: &Shutdown) -> CancellationToken {
    let (end, shutdown) = (CancellationToken::new(), shutdown.clone());
    let cancelled = end.clone();
    // Not tracked: when all sessions have ended before, nobody waits for it.
    tokio::spawn(async move {
        shutdown.triggered().await;
        tokio::time::sleep(drain.saturating_sub(LAST_WORDS).max(drain / 2)).await;
        cancelled.cancel();
    });
    end
}

fn doors(settings: &Settings, gateway: Gateway, sightings: Sightings) -> Doors {
    Doors {
        gateway,
        sightings,
        reception: Reception::new(settings.admission.clone(), settings.proxy.clone()),
        rules: Arc::new(Rules {
            mail_host: settings.mail_host.as_str().into(),
            plaintext_login: settings.plaintext_login,
            message_max_bytes: settings.message_max_bytes(),
            recipients_max: settings.limit_recipients,
            refused_recipients_max: Some(settings.limit_unknown_recipients).filter(|max| *max > 0),
        }),
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| StartError::listen(address, error))
}

fn serve(listener: TcpListener, door: Door, doors: &Doors) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%door, %address, "listening");
    }
    doors.gateway.shutdown.spawn(listener::accept(listener, door, doors.clone()));
}
