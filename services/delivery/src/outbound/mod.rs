//! Sending one mail to one destination: hosts in their order, an idle connection first, an answer for each recipient.
//!
//! The walk: `queue::worker` -> here -> `hosts` (DNS) -> `connection` (socket and clock) -> the pure SMTP client.

mod connection;
mod hosts;
mod idle;
mod tls;
mod transit;

use std::{collections::BTreeMap, fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use ipnet::IpNet;
use moka::sync::Cache;
use postern_mail::{DomainName, EmailAddress, ReversePath};
use postern_mesh::StartError;
use postern_smtp::client::{
    Cause, Ending, Mail, Outcome, Refusal, RemoteReply, Settings as ClientSettings, Timeouts,
};

pub use connection::ContentError;
use connection::{Connection, Delivery, OpenError};
pub(crate) use hosts::resolver;
use hosts::{Host, HostFinder, NoRoute};
use idle::IdleConnections;
pub use transit::Transit;

/// Recipients of one transaction: what every host must take (RFC 5321 section 4.5.3.1.8).
pub const RECIPIENTS_MAX: usize = 100;

/// A host that did not answer at all is left alone for so long: its queue must not hold all workers.
const SILENT_FOR: Duration = Duration::from_secs(60);
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
}

/// `host:port` that takes all outside mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smarthost {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl std::str::FromStr for Smarthost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is not host:port");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }
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
    /// It may leave with SMTPUTF8 only.
    pub smtp_utf8: bool,
    /// Opens the content anew; each host that is tried reads it once.
    pub content: &'a (dyn Fn() -> BoxStream<'static, Result<Bytes, ContentError>> + Send + Sync),
}

/// How it went for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// A host took it: host and reply.
    Delivered(String),
    /// Try again later: what happened.
    Deferred(String),
    /// It will never be taken.
    Refused(Refused),
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
    tls: Arc<rustls::ClientConfig>,
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
        let tls = tls::opportunistic()
            .map_err(|error| StartError::Tls { what: "outbound connections", source: Box::new(error) })?;
        let client = ClientSettings {
            hello_name: settings.mail_host.clone(),
            use_tls: true,
            timeouts: settings.timeouts,
        };
        let silent = Cache::builder().max_capacity(SILENT_HOSTS_MAX).time_to_live(SILENT_FOR).build();
        Ok(Self { settings, client, finder, tls, idle: Arc::default(), silent })
    }

    /// Where mail for `domain` goes.
    #[must_use]
    pub fn destination(&self, domain: &DomainName) -> Destination {
        if self.settings.smarthost.is_some() {
            Destination::Smarthost
        } else {
            Destination::Domain(domain.clone())
        }
    }

    /// One attempt: each recipient gets its answer, in their order.
    pub async fn send(
        &self,
        destination: &Destination,
        mail: &Outgoing<'_>,
        transit: &Transit,
    ) -> Vec<Attempt> {
        let mut round = Round::new(mail);
        while let Some(mut connection) = self.idle.take(destination) {
            if !connection.is_quiet() {
                continue;
            }
            self.try_connection(destination, connection, &mut round, transit).await;
            break;
        }
        if round.is_over() {
            return round.finish();
        }
        match self.hosts(destination).await {
            Ok(hosts) => self.try_hosts(destination, &hosts, &mut round, transit).await,
            Err(NoRoute::Temporary(text)) => round.give_up(&Attempt::Deferred(text)),
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

    async fn hosts(&self, destination: &Destination) -> Result<Vec<Host>, NoRoute> {
        match (destination, &self.settings.smarthost) {
            (Destination::Domain(domain), _) => self.finder.find(domain).await,
            (Destination::Smarthost, Some(smarthost)) => look_up(smarthost).await,
            (Destination::Smarthost, None) => {
                Err(NoRoute::Temporary("the smarthost is not set any more".to_owned()))
            }
        }
    }

    async fn try_hosts(
        &self,
        destination: &Destination,
        hosts: &[Host],
        round: &mut Round<'_>,
        transit: &Transit,
    ) {
        let is_smarthost = *destination == Destination::Smarthost;
        let mut takes_no_mail = None;
        let mut seen_temporary = false;
        for host in hosts {
            match self.open_unless_silent(host, is_smarthost).await {
                Ok(connection) => {
                    seen_temporary = true;
                    self.try_connection(destination, connection, round, transit).await;
                }
                Err(OpenError::Ended(Ending::TakesNoMail(reply))) => {
                    takes_no_mail = Some(refused_by(host, &reply));
                }
                Err(error) => {
                    seen_temporary = true;
                    round.note(describe(host, &error));
                }
            }
            if round.is_over() {
                return;
            }
        }
        // Permanent only if every host said so (RFC 7504 section 4).
        match takes_no_mail {
            Some(refused) if !seen_temporary => round.give_up(&Attempt::Refused(refused)),
            _ => round.give_up_for_now(),
        }
    }

    fn is_listed(&self, ip: std::net::IpAddr) -> bool {
        self.settings.allowed_networks.iter().any(|network| network.contains(&ip.to_canonical()))
    }

    /// Opens a connection, unless the host let us wait in vain a moment ago.
    async fn open_unless_silent(&self, host: &Host, is_smarthost: bool) -> Result<Connection, OpenError> {
        if !is_smarthost && self.silent.contains_key(&host.address) {
            return Err(OpenError::Unreachable(io::Error::other("it did not answer a minute ago")));
        }
        let opened = self.open(host, is_smarthost || self.is_listed(host.address.ip())).await;
        if matches!(&opened, Err(OpenError::Unreachable(error)) if error.kind() == io::ErrorKind::TimedOut) {
            self.silent.insert(host.address, ());
        }
        opened
    }

    /// Opens a connection; a host whose TLS is broken gets a second chance without (RFC 7435 section 3).
    async fn open(&self, host: &Host, allow_own: bool) -> Result<Connection, OpenError> {
        match Connection::open(host, &self.client, &self.tls, allow_own).await {
            Err(OpenError::Ended(Ending::TlsBroken)) => {
                tracing::info!(host = %host.name, address = %host.address, "TLS is broken there, trying without");
                let plain = ClientSettings { use_tls: false, ..self.client.clone() };
                Connection::open(host, &plain, &self.tls, allow_own).await
            }
            other => other,
        }
    }

    async fn try_connection(
        &self,
        destination: &Destination,
        mut connection: Connection,
        round: &mut Round<'_>,
        transit: &Transit,
    ) {
        let (indexes, mail) = round.rest();
        transit.begin();
        let content = (round.mail.content)();
        let Delivery { outcomes, reusable } = connection.deliver(mail, content, transit).await;
        for (index, outcome) in indexes.into_iter().zip(outcomes) {
            round.settle(index, connection.host(), outcome);
        }
        if reusable {
            self.idle.put(destination.clone(), connection);
        }
    }
}

/// One attempt over all hosts.
struct Round<'a> {
    mail: &'a Outgoing<'a>,
    attempts: BTreeMap<usize, Attempt>,
    /// The last thing that kept a host from taking it.
    obstacle: Option<String>,
}

impl<'a> Round<'a> {
    fn new(mail: &'a Outgoing<'a>) -> Self {
        Self { mail, attempts: BTreeMap::new(), obstacle: None }
    }

    fn is_over(&self) -> bool {
        self.attempts.len() >= self.mail.recipients.len()
    }

    /// What is still to be tried.
    fn rest(&self) -> (Vec<usize>, Mail) {
        let open = |index: &usize| !self.attempts.contains_key(index);
        let indexes: Vec<_> = (0..self.mail.recipients.len()).filter(open).collect();
        let recipients =
            indexes.iter().filter_map(|index| self.mail.recipients.get(*index).cloned()).collect();
        let mail = Mail {
            sender: self.mail.sender.clone(),
            recipients,
            size_bytes: self.mail.size_bytes,
            eight_bit: self.mail.eight_bit,
            smtp_utf8: self.mail.smtp_utf8,
        };
        (indexes, mail)
    }

    fn note(&mut self, obstacle: String) {
        self.obstacle = Some(obstacle);
    }

    fn settle(&mut self, index: usize, host: &Host, outcome: Outcome) {
        let attempt = match outcome {
            Outcome::Delivered(reply) => Attempt::Delivered(said(host, &reply)),
            // Another host may take it at once.
            Outcome::Deferred(cause) if cause.is_of_the_connection() => {
                return self.note(format!("{} {cause}", at(host)));
            }
            Outcome::Deferred(cause) => Attempt::Deferred(format!("{} {cause}", at(host))),
            Outcome::Refused(refusal) => Attempt::Refused(refused(host, refusal)),
        };
        self.attempts.insert(index, attempt);
    }

    fn give_up(&mut self, attempt: &Attempt) {
        for index in 0..self.mail.recipients.len() {
            self.attempts.entry(index).or_insert_with(|| attempt.clone());
        }
    }

    fn give_up_for_now(&mut self) {
        let text = self.obstacle.take().unwrap_or_else(|| "no host could be reached".to_owned());
        self.give_up(&Attempt::Deferred(text));
    }

    fn finish(mut self) -> Vec<Attempt> {
        self.give_up_for_now();
        self.attempts.into_values().collect()
    }
}

fn at(host: &Host) -> String {
    format!("{} [{}]", host.name, host.address.ip())
}

fn said(host: &Host, reply: &RemoteReply) -> String {
    format!("{} said: {reply}", at(host))
}

fn refused_by(host: &Host, reply: &RemoteReply) -> Refused {
    // Without an enhanced code of the host nothing more precise is known (RFC 3463 section 3.1).
    let code = reply.enhanced.filter(|(class, ..)| *class == 5).unwrap_or((5, 0, 0));
    Refused { code, host: Some(host.name.clone()), reply: Some(reply.one_line()), text: said(host, reply) }
}

fn refused(host: &Host, refusal: Refusal) -> Refused {
    let own = |code, text: String| Refused { code, host: Some(host.name.clone()), reply: None, text };
    match refusal {
        Refusal::Reply(reply) => refused_by(host, &reply),
        Refusal::TooLarge(limit) => own(
            (5, 3, 4),
            format!("{} takes messages up to {limit} octets only; this one is larger", at(host)),
        ),
        Refusal::NeedsUtf8 => {
            own((5, 6, 7), format!("{} cannot take internationalized addresses (SMTPUTF8)", at(host)))
        }
    }
}

fn describe(host: &Host, error: &OpenError) -> String {
    match error {
        OpenError::Unreachable(error) => format!("{} cannot be reached: {error}", at(host)),
        OpenError::OwnAddress => format!("{} is this machine", at(host)),
        OpenError::Ended(Ending::Unwilling(cause)) => format!("{} {cause}", at(host)),
        OpenError::Ended(Ending::TlsBroken) => format!("{} failed in TLS", at(host)),
        OpenError::Ended(Ending::TakesNoMail(reply)) => said(host, reply),
        OpenError::Ended(Ending::Quit) => format!("{} {}", at(host), Cause::OwnContent),
    }
}

/// The smarthost is the operator's word: no MX, no rule about networks.
async fn look_up(smarthost: &Smarthost) -> Result<Vec<Host>, NoRoute> {
    let temporary =
        |why: String| NoRoute::Temporary(format!("the smarthost {} cannot be found: {why}", smarthost.host));
    let looking = tokio::net::lookup_host((smarthost.host.as_str(), smarthost.port));
    match tokio::time::timeout(Duration::from_secs(10), looking).await {
        Err(_) => Err(temporary("no answer in time".to_owned())),
        Ok(Err(error)) => Err(temporary(error.to_string())),
        Ok(Ok(addresses)) => {
            let host = |address| Host { name: smarthost.host.clone(), address };
            let hosts: Vec<_> = addresses.map(host).collect();
            if hosts.is_empty() { Err(temporary("it has no address".to_owned())) } else { Ok(hosts) }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
