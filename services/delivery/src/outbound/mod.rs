//! Sending one mail to one destination: hosts in their order, over a connection that waits where there is one, an answer for each
//! recipient.
//!
//! The walk: `queue::worker` -> here -> `hosts` (DNS) -> `connection` (socket and clock) -> the pure SMTP client.

mod connection;
mod demand;
mod hosts;
mod idle;
mod kept_policies;
mod round;
mod smarthost;
mod sts;
mod tls;
mod transit;

use std::{fmt, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use ipnet::IpNet;
use moka::sync::Cache;
use postern_mail::{DomainName, EmailAddress, ReversePath};
use postern_mesh::StartError;
use postern_smtp::{
    client::{Ending, Settings as ClientSettings, Timeouts},
    dsn::{MessageDsn, RecipientDsn},
};
use sqlx::PgPool;
use tokio::time::{Instant, timeout};

pub use connection::ContentError;
use connection::{Connection, Delivery, OpenError};
use demand::Demand;
pub use demand::{TlsPolicies, TlsPolicy};
pub(crate) use hosts::resolver;
use hosts::{Host, HostFinder, NoRoute};
use idle::IdleConnections;
use kept_policies::KeptPolicies;
pub(crate) use round::NEEDS_UTF8;
use round::{Round, describe, refused_by};
pub use smarthost::Smarthost;
use sts::PolicyFinder;
pub use transit::Transit;

/// Recipients of one transaction: what every host must take (RFC 5321 section 4.5.3.1.8).
pub const RECIPIENTS_MAX: usize = 100;

/// A host that let us wait in vain is left alone for so long: its queue must not hold all workers.
const SILENT_FOR: Duration = Duration::from_secs(60);
/// Who says nothing for so long is silent.
const SILENCE_MIN: Duration = Duration::from_secs(30);
/// Time of an attempt until some host wants the content: hosts that take a minute for each octet must not hold all connections.
pub const ATTEMPT_TIME: Duration = Duration::from_secs(600);
/// The content has as much time again, and so much more as it takes at this pace, octets a second.
const CONTENT_BYTES_PER_SECOND: u64 = 4096;
/// Silent hosts that are remembered.
const SILENT_HOSTS_MAX: u64 = 10_000;

/// How to reach the outside.
#[derive(Clone, Debug)]
pub struct OutboundSettings {
    /// Send everything to this host instead of the MX hosts.
    pub smarthost: Option<Smarthost>,
    /// DNS servers to ask; none: the system's.
    pub resolvers: Vec<SocketAddr>,
    /// Port of MX hosts.
    pub port: u16,
    /// Networks that MX hosts may be in although they are not public.
    pub allowed_networks: Vec<IpNet>,
    /// Our name in EHLO.
    pub mail_host: String,
    /// Waiting times.
    pub timeouts: Timeouts,
    /// Time of an attempt, over all hosts, until one of them wants the content.
    pub attempt_time: Duration,
    /// What the operator demands of destinations.
    pub tls_policies: TlsPolicies,
    /// A file with authorities besides the public ones, PEM.
    pub authorities: Option<PathBuf>,
    /// Port where domains serve their MTA-STS policies; `None`: they are not asked for.
    pub sts_port: Option<u16>,
}

/// Where mails go together over one connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Destination {
    /// Everything goes there.
    Smarthost,
    /// The MX hosts of a domain.
    Domain(DomainName),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Smarthost => f.write_str("the smarthost"),
            Self::Domain(domain) => domain.fmt(f),
        }
    }
}

/// A mail that must leave.
pub struct Outgoing<'a> {
    /// Envelope sender.
    pub sender: &'a ReversePath,
    /// 1 to [`RECIPIENTS_MAX`].
    pub recipients: &'a [EmailAddress],
    /// Octets of the whole content, not stuffed.
    pub size_bytes: u64,
    /// It has octets over 127.
    pub eight_bit: bool,
    /// Its header may leave with SMTPUTF8 only.
    pub smtp_utf8: bool,
    /// What the sender wants to hear of it.
    pub dsn: &'a MessageDsn,
    /// The same of each recipient, in their order.
    pub recipient_dsn: &'a [RecipientDsn],
    /// Opens the content anew; each host that is tried reads it once.
    pub content: &'a (dyn Fn() -> BoxStream<'static, Result<Bytes, ContentError>> + Send + Sync),
}

/// How it went for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// A host took it.
    Delivered(Taken),
    /// Try again later.
    Deferred(Later),
    /// It will never be taken.
    Refused(Refused),
}

impl Attempt {
    /// Name in metrics and traces.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Delivered(_) => "delivered",
            Self::Deferred(_) => "deferred",
            Self::Refused(_) => "refused",
        }
    }
}

/// Why not now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Later {
    /// What happened, for people.
    pub text: String,
    /// The host works, and spoke of this mailbox only (4.2.x, such as one that is full).
    pub is_of_mailbox: bool,
}

impl Later {
    /// For a reason that has nothing to do with the mailbox.
    pub(crate) fn because(text: String) -> Self {
        Self { text, is_of_mailbox: false }
    }
}

/// A host's yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Who has it now.
    pub host: String,
    /// Its reply as it came, one line.
    pub reply: String,
    /// Both, for people.
    pub text: String,
    /// It was told what the sender wants to hear, and tells it by itself (RFC 3461 section 5.2.2).
    pub tells_sender: bool,
}

/// A final no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Enhanced code of class 5.
    pub code: (u8, u16, u16),
    /// Who said so; `None`: nobody, it follows from DNS or from the message.
    pub host: Option<String>,
    /// Its reply as it came, one line.
    pub reply: Option<String>,
    /// Why, for people.
    pub text: String,
}

/// The sender.
pub struct Outbound {
    settings: OutboundSettings,
    client: ClientSettings,
    finder: HostFinder,
    /// Takes any certificate.
    tls: Arc<rustls::ClientConfig>,
    /// Judges certificates.
    proving: Arc<rustls::ClientConfig>,
    sts: Option<PolicyFinder>,
    idle: Arc<IdleConnections>,
    /// Hosts that let a connection attempt run into its timeout, for a while.
    silent: Cache<SocketAddr, ()>,
}

impl Outbound {
    /// Checks the settings and makes the sender; connects nowhere.
    ///
    /// # Errors
    /// The resolver or TLS cannot be set up.
    pub fn new(settings: OutboundSettings) -> Result<Self, StartError> {
        let finder = HostFinder::new(
            &settings.resolvers,
            settings.port,
            &settings.mail_host,
            settings.allowed_networks.clone(),
        )?;
        let tls = postern_mesh::tls::unjudged()
            .map_err(|error| StartError::Tls { what: "outbound connections", source: Box::new(error) })?;
        let proving = tls::proving(settings.authorities.as_deref())
            .map_err(|error| StartError::setting("POSTERN_OUTBOUND_CA_FILE", error.to_string()))?;
        let sts = settings.sts_port.map(|port| PolicyFinder::new(finder.clone(), Arc::clone(&proving), port));
        let client = ClientSettings {
            hello_name: settings.mail_host.clone(),
            use_tls: true,
            require_tls: false,
            timeouts: settings.timeouts,
        };
        let silent = Cache::builder().max_capacity(SILENT_HOSTS_MAX).time_to_live(SILENT_FOR).build();
        Ok(Self { settings, client, finder, tls, proving, sts, idle: Arc::default(), silent })
    }

    /// The same, where what domains say over MTA-STS is kept in this database for as long as they say.
    #[must_use]
    pub fn keeping_policies(self, pool: PgPool) -> Self {
        let sts = self.sts.map(|sts| sts.keeping(KeptPolicies(pool)));
        Self { sts, ..self }
    }

    /// Where mail for `domain` goes.
    #[must_use]
    pub fn destination(&self, domain: &DomainName) -> Destination {
        if self.has_smarthost() { Destination::Smarthost } else { Destination::Domain(domain.clone()) }
    }

    /// True when all mail goes to one place.
    #[must_use]
    pub fn has_smarthost(&self) -> bool {
        self.settings.smarthost.is_some()
    }

    /// One attempt: each recipient gets its answer, in their order.
    pub async fn send(
        &self,
        destination: &Destination,
        mail: &Outgoing<'_>,
        transit: &Transit,
    ) -> Vec<Attempt> {
        let mut round = Round::new(mail, Instant::now() + self.settings.attempt_time);
        let demand = self.demand(destination).await;
        match self.hosts(destination).await {
            Ok(hosts) => self.try_hosts(destination, &hosts, &demand, &mut round, transit).await,
            Err(NoRoute::Temporary(text)) => round.give_up(&Attempt::Deferred(Later::because(text))),
            Err(NoRoute::Permanent { code: (subject, detail), text }) => {
                let code = (5, subject, detail);
                round.give_up(&Attempt::Refused(Refused { code, host: None, reply: None, text }));
            }
        }
        round.finish()
    }

    /// Closes connections that nobody used for a while; called now and then.
    pub async fn close_idle(&self) {
        for connection in self.idle.take_old() {
            connection.quit().await;
        }
    }

    /// The operator's word comes first, for it knows both sides.
    async fn demand(&self, destination: &Destination) -> Demand {
        let Destination::Domain(domain) = destination else { return Demand::default() };
        match (self.settings.tls_policies.of(domain), &self.sts) {
            (Some(tls), _) => Demand { tls, policy: None },
            (None, Some(sts)) => Demand::of_policy(sts.find(domain).await),
            (None, None) => Demand::default(),
        }
    }

    async fn hosts(&self, destination: &Destination) -> Result<Vec<Host>, NoRoute> {
        match (destination, &self.settings.smarthost) {
            (Destination::Domain(domain), _) => self.finder.find(domain).await,
            (Destination::Smarthost, Some(smarthost)) => smarthost::look_up(smarthost).await,
            (Destination::Smarthost, None) => {
                Err(NoRoute::Temporary("the smarthost is not set any more".to_owned()))
            }
        }
    }

    /// The best first (RFC 5321 section 5.1). Of those that are equally good, one that a connection waits to: that saves opening
    /// one, and passes no better host over.
    async fn try_hosts(
        &self,
        destination: &Destination,
        hosts: &[Host],
        demand: &Demand,
        round: &mut Round<'_>,
        transit: &Transit,
    ) {
        let is_smarthost = *destination == Destination::Smarthost;
        let mut takes_no_mail = None;
        let mut left = hosts.len();
        for equal in hosts.chunk_by(|one, next| one.preference == next.preference) {
            let (allowed, others): (Vec<_>, Vec<_>) =
                equal.iter().partition(|host| demand.allows(&host.name));
            for host in others {
                round.note(&format!("{} is not named by the domain's MTA-STS policy", host.name));
            }
            let asked = self.try_idle(destination, &allowed, demand, round, transit).await;
            left -= equal.len() - allowed.len();
            for host in allowed {
                if round.is_over() {
                    return;
                }
                let share = round.share_of(left);
                left -= 1;
                if share.is_zero() {
                    round.note("other hosts used up the time of this attempt");
                    return;
                }
                if asked.as_ref().is_some_and(|asked| asked.is_at_same_place(host)) {
                    continue;
                }
                match self.open_unless_silent(host, is_smarthost, demand.tls, share).await {
                    Ok(connection) => {
                        self.try_connection(destination, connection, round, transit).await;
                    }
                    Err(OpenError::Ended(Ending::TakesNoMail(reply))) => {
                        takes_no_mail = Some(refused_by(host, &reply));
                    }
                    Err(error) => round.note(&describe(host, &error)),
                }
            }
        }
        round.end_hosts(takes_no_mail);
    }

    /// Asks one of these hosts over a connection that waits; which one it was. A connection that broke is no word of its host,
    /// which is to be asked anew.
    async fn try_idle(
        &self,
        destination: &Destination,
        hosts: &[&Host],
        demand: &Demand,
        round: &mut Round<'_>,
        transit: &Transit,
    ) -> Option<Host> {
        while let Some(mut connection) = self.idle.take(destination, hosts) {
            if !connection.is_quiet() || connection.proof() < demand.tls {
                continue;
            }
            let host = connection.host().clone();
            let obstacles = round.obstacles.clone();
            if self.try_connection(destination, connection, round, transit).await {
                return Some(host);
            }
            round.obstacles = obstacles;
            return None;
        }
        None
    }

    fn is_listed(&self, ip: std::net::IpAddr) -> bool {
        self.settings.allowed_networks.iter().any(|network| network.contains(&ip.to_canonical()))
    }

    /// Opens a connection in this time, unless the host let us wait in vain a moment ago.
    async fn open_unless_silent(
        &self,
        host: &Host,
        is_smarthost: bool,
        demanded: TlsPolicy,
        time: Duration,
    ) -> Result<Connection, OpenError> {
        if !is_smarthost && self.silent.contains_key(&host.address) {
            return Err(OpenError::Unreachable(io::Error::other("it did not answer a minute ago")));
        }
        let allow_own = is_smarthost || self.is_listed(host.address.ip());
        let opening = self.open(host, allow_own, demanded);
        let (opened, waited) = match timeout(time, opening).await {
            Ok(opened) => (opened, true),
            // In a moment nobody can answer.
            Err(_) => (Err(OpenError::Unreachable(io::ErrorKind::TimedOut.into())), time >= SILENCE_MIN),
        };
        if waited && opened.as_ref().is_err_and(OpenError::is_silence) {
            self.silent.insert(host.address, ());
        }
        opened
    }

    /// Opens a connection; where TLS is not demanded, a host whose TLS is broken gets a second chance without (RFC 7435
    /// section 3).
    async fn open(&self, host: &Host, allow_own: bool, demanded: TlsPolicy) -> Result<Connection, OpenError> {
        let require_tls = demanded != TlsPolicy::May;
        let settings = ClientSettings { require_tls, ..self.client.clone() };
        let tls = if demanded == TlsPolicy::Verify { &self.proving } else { &self.tls };
        match Connection::open(host, &settings, tls, allow_own, demanded).await {
            Err(OpenError::Ended(Ending::TlsBroken)) if !require_tls => {
                tracing::info!(host = %host.name, address = %host.address, "TLS is broken there, trying without");
                let plain = ClientSettings { use_tls: false, ..settings };
                Connection::open(host, &plain, tls, allow_own, demanded).await
            }
            other => other,
        }
    }

    /// What is still open goes over this connection. False when it failed.
    async fn try_connection(
        &self,
        destination: &Destination,
        mut connection: Connection,
        round: &mut Round<'_>,
        transit: &Transit,
    ) -> bool {
        let (indexes, mail) = round.rest();
        transit.begin();
        let content = (round.mail.content)();
        let content_time =
            self.settings.attempt_time + Duration::from_secs(mail.size_bytes / CONTENT_BYTES_PER_SECOND);
        let Delivery { outcomes, reusable } =
            connection.deliver(mail, content, transit, round.until_content(), content_time).await;
        let tells_sender = connection.offers_dsn();
        let mut held = true;
        for (index, outcome) in indexes.into_iter().zip(outcomes) {
            held &= round.settle(index, connection.host(), tells_sender, outcome);
        }
        if reusable {
            self.idle.put(destination.clone(), connection);
        }
        held
    }
}

#[cfg(test)]
pub(crate) mod tests;
