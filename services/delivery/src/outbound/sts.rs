//! MTA-STS (RFC 8461): a domain says over HTTPS which hosts take its mail and that they must be proven by TLS. What it said is kept
//! for as long as it said, in the database too, so that whoever spoils its DNS later cannot take it back.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use moka::future::Cache;
use postern_mail::DomainName;
use rustls_pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::{
    hosts::{HostFinder, TextRecord},
    kept_policies::{KeptPolicies, KeptPolicy},
};

/// Time for the whole of a policy: DNS, connection and answer (RFC 8461 section 3.3).
const FETCH_TIMEOUT: Duration = Duration::from_secs(20);
/// Octets of a policy (RFC 8461 section 3.2 lets 64 KiB be the bound).
const POLICY_MAX_BYTES: usize = 64 * 1024;
/// Hosts that a policy may name.
const PATTERNS_MAX: usize = 100;
/// Longest life of a policy (RFC 8461 section 3.2).
const MAX_AGE_MAX: u64 = 31_557_600;
/// How often the record of a domain is asked for that has one, and that has none.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);
/// After a failure.
const LOOK_AGAIN_FAILED: Duration = Duration::from_secs(300);
/// Domains that are remembered.
const DOMAINS_MAX: u64 = 50_000;

/// What a domain demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) mode: Mode,
    patterns: Vec<String>,
    max_age: Duration,
}

/// How it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// No mail to a host that does not prove itself.
    Enforce,
    /// Mail as ever; what would have been refused is logged.
    Testing,
    /// As if there were no policy.
    None,
}

impl Policy {
    /// RFC 8461 section 3.2. `None`: it is no policy.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (mut version, mut mode, mut max_age, mut patterns) = (false, None, None, Vec::new());
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':')?;
            let value = value.trim();
            match name.trim() {
                "version" => version = value == "STSv1",
                "mode" => {
                    mode = Some(match value {
                        "enforce" => Mode::Enforce,
                        "testing" => Mode::Testing,
                        "none" => Mode::None,
                        _ => return None,
                    });
                }
                "max_age" => max_age = Some(value.parse::<u64>().ok()?.min(MAX_AGE_MAX)),
                "mx" if patterns.len() < PATTERNS_MAX => patterns.push(value.to_ascii_lowercase()),
                // Fields of later versions.
                _ => {}
            }
        }
        let (mode, max_age) = (mode?, Duration::from_secs(max_age?));
        let is_whole = version && (mode == Mode::None || !patterns.is_empty());
        is_whole.then_some(Self { mode, patterns, max_age })
    }

    /// RFC 8461 section 4.1: `*.` stands for one label.
    pub(super) fn names(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.patterns.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(parent) => {
                host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent)
            }
            None => *pattern == host,
        })
    }
}

/// What is remembered of a domain.
#[derive(Clone, Debug)]
struct Remembered {
    policy: Option<Arc<Policy>>,
    id: String,
    /// Half of its life is over: it is read again, so that it does not end while the domain still means it.
    renew: Instant,
    end: Instant,
    look_again: Instant,
}

impl Remembered {
    /// A policy of this age; `None`: there is none.
    fn new(policy: Option<Policy>, id: String, age: Duration, look_again: Instant) -> Self {
        let now = Instant::now();
        let max_age = policy.as_ref().map(|policy| policy.max_age).unwrap_or_default();
        Self {
            policy: policy.map(Arc::new),
            id,
            renew: now + (max_age / 2).saturating_sub(age),
            end: now + max_age.saturating_sub(age),
            look_again,
        }
    }

    fn nothing(look_again: Instant) -> Self {
        Self::new(None, String::new(), Duration::ZERO, look_again)
    }

    fn living(&self, now: Instant) -> Option<Arc<Policy>> {
        self.policy.clone().filter(|_| now < self.end)
    }
}

/// Finds and keeps policies.
pub(super) struct PolicyFinder {
    finder: HostFinder,
    tls: Arc<rustls::ClientConfig>,
    port: u16,
    remembered: Cache<DomainName, Remembered>,
    kept: Option<KeptPolicies>,
}

impl PolicyFinder {
    /// `tls` judges certificates; `port` is where policies are served.
    pub(super) fn new(finder: HostFinder, tls: Arc<rustls::ClientConfig>, port: u16) -> Self {
        let remembered = Cache::builder().max_capacity(DOMAINS_MAX).build();
        Self { finder, tls, port, remembered, kept: None }
    }

    /// The same, with policies that outlive it.
    pub(super) fn keeping(self, kept: KeptPolicies) -> Self {
        Self { kept: Some(kept), ..self }
    }

    /// The policy of a domain that is in force now.
    pub(super) async fn find(&self, domain: &DomainName) -> Option<Arc<Policy>> {
        let now = Instant::now();
        let known = match self.remembered.get(domain).await {
            Some(known) => Some(known),
            None => self.kept_before(domain).await,
        };
        if let Some(known) = &known
            && now < known.look_again
        {
            return known.living(now);
        }
        // What was said before holds until its end, whatever is heard or not heard now (RFC 8461 section 5.1).
        let before = known.filter(|known| known.living(now).is_some());
        let found = timeout(FETCH_TIMEOUT, self.look(domain, before.as_ref())).await;
        let remembered = match found {
            Ok(Ok(fresh)) => fresh,
            Ok(Err(why)) => self.failed(domain, before, why),
            Err(_) => self.failed(domain, before, "no answer in time".to_owned()),
        };
        let policy = remembered.living(Instant::now());
        self.remembered.insert(domain.clone(), remembered).await;
        policy
    }

    /// What another process heard; it is asked for again at once.
    async fn kept_before(&self, domain: &DomainName) -> Option<Remembered> {
        let KeptPolicy { policy, id, age } = self.kept.as_ref()?.get(domain).await?;
        Some(Remembered::new(Some(policy), id, age, Instant::now()))
    }

    fn failed(&self, domain: &DomainName, before: Option<Remembered>, why: String) -> Remembered {
        tracing::info!(%domain, why, kept = before.is_some(), "no MTA-STS policy to be had now");
        let look_again = Instant::now() + LOOK_AGAIN_FAILED;
        Remembered { look_again, ..before.unwrap_or_else(|| Remembered::nothing(look_again)) }
    }

    async fn look(&self, domain: &DomainName, before: Option<&Remembered>) -> Result<Remembered, String> {
        let now = Instant::now();
        let look_again = now + LOOK_AGAIN;
        let id = match self.finder.text(&format!("_mta-sts.{domain}")).await {
            TextRecord::Found(texts) => match record_id(&texts) {
                Some(id) => id,
                None => return Ok(unchanged(before, look_again)),
            },
            TextRecord::Missing => return Ok(unchanged(before, look_again)),
            TextRecord::Unknown(why) => return Err(why),
        };
        if let Some(known) = before.filter(|known| known.id == id && now < known.renew) {
            return Ok(Remembered { look_again, ..known.clone() });
        }
        let text = self.fetch(domain).await.map_err(|error| error.to_string())?;
        let policy = Policy::parse(&text).ok_or_else(|| "what is served there is no policy".to_owned())?;
        let policy = Some(policy).filter(|policy| policy.mode != Mode::None);
        if let Some(kept) = &self.kept {
            let said = policy.as_ref().map(|policy| (text.as_str(), policy.max_age));
            kept.put(domain, &id, said).await;
        }
        Ok(Remembered::new(policy, id, Duration::ZERO, look_again))
    }

    /// RFC 8461 section 3.3: HTTPS with a proven name, no redirects.
    async fn fetch(&self, domain: &DomainName) -> io::Result<String> {
        let host = format!("mta-sts.{domain}");
        let addresses = self.finder.public_addresses(&host).await.map_err(io::Error::other)?;
        let mut last = io::Error::other("it has no public address");
        for ip in addresses {
            match self.fetch_from(&host, SocketAddr::new(ip, self.port)).await {
                Ok(text) => return Ok(text),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn fetch_from(&self, host: &str, address: SocketAddr) -> io::Result<String> {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let secured = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(secured)).await.map_err(io::Error::other)?;
        let driving = tokio::spawn(connection);
        let request = Request::get("/.well-known/mta-sts.txt")
            .header(header::HOST, host)
            .body(Empty::<Bytes>::new())
            .map_err(io::Error::other)?;
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        if answer.status() != StatusCode::OK {
            return Err(io::Error::other(format!("it answers {}", answer.status())));
        }
        let body = Limited::new(answer.into_body(), POLICY_MAX_BYTES).collect().await;
        driving.abort();
        let octets = body.map_err(io::Error::other)?.to_bytes();
        String::from_utf8(octets.to_vec()).map_err(io::Error::other)
    }
}

/// Nothing new was said.
fn unchanged(before: Option<&Remembered>, look_again: Instant) -> Remembered {
    match before {
        Some(known) => Remembered { look_again, ..known.clone() },
        None => Remembered::nothing(look_again),
    }
}

/// RFC 8461 section 3.1: exactly one record that begins so.
fn record_id(texts: &[String]) -> Option<String> {
    let mut records = texts.iter().filter(|text| text.starts_with("v=STSv1;"));
    let (Some(record), None) = (records.next(), records.next()) else { return None };
    let id = record.split(';').find_map(|field| field.trim().strip_prefix("id="))?;
    let is_id = (1..=32).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_alphanumeric());
    is_id.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read_to_the_letter() {
        let text = "version: STSv1\r\nmode: enforce\r\nmx: mail.far.test\r\nmx: *.MX.far.test\r\nmax_age: 604800\r\nnew: x\r\n";
        let policy = Policy::parse(text).expect("a policy");
        assert_eq!((policy.mode, policy.max_age), (Mode::Enforce, Duration::from_secs(604_800)));
        for (host, named) in [
            ("mail.far.test", true),
            ("MAIL.far.test.", true),
            ("a.mx.far.test", true),
            ("mx.far.test", false),
            ("a.b.mx.far.test", false),
            ("far.test", false),
            ("evil.test", false),
        ] {
            assert_eq!(policy.names(host), named, "{host}");
        }
        for bad in [
            "",
            "version: STSv2\nmode: enforce\nmx: a\nmax_age: 1",
            "version: STSv1\nmode: enforce\nmax_age: 1",
            "version: STSv1\nmode: must\nmx: a\nmax_age: 1",
            "version: STSv1\nmode: enforce\nmx: a",
            "version: STSv1\nmode: enforce\nmx: a\nmax_age: soon",
            "<html>",
        ] {
            assert_eq!(Policy::parse(bad), None, "{bad}");
        }
        assert!(Policy::parse("version: STSv1\nmode: none\nmax_age: 1").is_some());
    }

    #[test]
    fn one_record_with_an_id() {
        let id = |texts: &[&str]| record_id(&texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        assert_eq!(id(&["v=spf1 -all", "v=STSv1; id=2026a;"]), Some("2026a".to_owned()));
        for bad in
            [&["v=STSv1; id=;"][..], &["v=STSv1;"], &["v=STSv1; id=a", "v=STSv1; id=b"], &["id=a"], &[]]
        {
            assert_eq!(id(bad), None, "{bad:?}");
        }
    }
}
