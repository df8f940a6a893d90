//! The SMTP gateway: speaks SMTP on the MX, submission and SMTPS doors. Holds no mail, no password, no state that lasts.
//!
//! The walk of a mail through the files: [`listener`] -> [`connection`] -> [`command`] -> [`session`] -> [`upstream`],
//! and its answer back through the same files.

pub mod command;
pub mod connection;
pub mod listener;
pub mod session;
pub mod settings;
pub mod upstream;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use postern_mail::limits::CONTENT_LINE_MAX_BYTES;
use postern_mesh::{
    StartError, admission::Admission, client::MeshChannel, shutdown::Shutdown, sightings::Sightings,
};
use postern_smtp::data::DataLimits;
use tokio::net::TcpListener;

use connection::House;
use listener::{Gate, Rules};
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

/// Where the doors are open.
#[derive(Clone, Copy, Debug)]
pub struct Doors {
    /// For the world's mail servers.
    pub smtp: SocketAddr,
    /// For mail programs.
    pub submission: SocketAddr,
    /// For mail programs, TLS at once; `None` without a certificate.
    pub smtps: Option<SocketAddr>,
}

/// Opens the doors and serves them on `shutdown`.
///
/// # Errors
/// When a setting is wrong or a port cannot be opened.
pub async fn open(settings: &Settings, upstreams: Upstreams, shutdown: &Shutdown) -> Result<(), StartError> {
    open_doors(settings, upstreams, shutdown).await.map(|_| ())
}

/// The same, and tells where the doors are: with port 0 nobody else knows.
///
/// # Errors
/// As [`open`].
pub async fn open_doors(
    settings: &Settings,
    upstreams: Upstreams,
    shutdown: &Shutdown,
) -> Result<Doors, StartError> {
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
        shutdown,
    );
    let house = House {
        upstream,
        tls,
        idle: settings.idle(),
        slowest: settings.slowest(),
        greet_delay: Duration::from_millis(settings.greet_delay_millis),
        data_limits: DataLimits {
            message_max_bytes: settings.message_max_bytes(),
            line_max_bytes: CONTENT_LINE_MAX_BYTES,
        },
        shutdown: shutdown.clone(),
    };
    let gate = gate(settings, house, sightings);
    let doors = Doors {
        smtp: serve(smtp, Door::Mx, &gate, settings.smtp_listen)?,
        submission: serve(submission, Door::Submission, &gate, settings.submission_listen)?,
        smtps: smtps
            .map(|listener| serve(listener, Door::Smtps, &gate, settings.smtps_listen))
            .transpose()?,
    };
    tracing::info!(smtp = %doors.smtp, submission = %doors.submission, smtps = ?doors.smtps, "doors are open");
    Ok(doors)
}

fn gate(settings: &Settings, house: House, sightings: Sightings) -> Gate {
    Gate {
        house,
        sightings,
        admission: Admission::new(settings.admission.clone()),
        proxy: Arc::new(settings.proxy.clone()),
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

fn serve(
    listener: TcpListener,
    door: Door,
    gate: &Gate,
    asked: SocketAddr,
) -> Result<SocketAddr, StartError> {
    let address = listener.local_addr().map_err(|error| StartError::listen(asked, error))?;
    gate.house.shutdown.spawn(listener::accept(listener, door, gate.clone()));
    Ok(address)
}
