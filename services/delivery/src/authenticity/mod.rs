//! Is mail from strangers what it says it is? SPF, DKIM, ARC and DMARC (RFC 7208, 6376, 8617, 7489), checked when the message is
//! there and before it is accepted, within a deadline.
//!
//! The walk: `grpc/submission` has the content and asks here; what is found goes as Authentication-Results into our prefix (for
//! readers, and for the ARC set of a forward), a domain that follows DMARC refuses what the author's policy refuses, and a sender
//! whose domain says that it takes no mail is refused everywhere. Mail of our own clients and of exempt networks is not looked at.
//! What DNS does not say in time is a temporary error, and never a reason to refuse.

mod patience;
mod settings;

use std::{future::Future, time::Duration};

use futures_util::StreamExt as _;
use hickory_resolver::{
    TokioResolver,
    proto::rr::{Name, RData, RecordType},
};
use ipnet::IpNet;
use mail_auth::{
    ArcOutput, AuthenticatedMessage, AuthenticationResults, DkimOutput, DkimResult, DmarcOutput, DmarcResult,
    DnsError, Error, MessageAuthenticator, SpfOutput, SpfResult,
    common::{
        crypto::{HashAlgorithm, HashContext, HashImpl as _, Sha1, Sha256},
        headers::HeaderWriter as _,
    },
    dkim::canonicalize::BodyHasher,
    dmarc::{Policy, verify::DmarcParameters},
    spf::verify::SpfParameters,
};
use postern_mail::{DomainName, PeerIp, ReversePath};
use postern_mesh::StartError;
use tokio::time::{Instant, timeout_at};

use crate::{
    content::open_header,
    outbound::{ContentError, resolver},
    queue::{ContentSource, QueuedMessage},
};
use patience::Patience;
pub use settings::AuthenticitySettings;

/// Signatures of one message that are looked at: nobody needs more, and each is a question to DNS.
const SIGNATURES_MAX: usize = 10;
/// How long one DNS server may take before it is asked again, or the next one.
const SERVER_TIMEOUT: Duration = Duration::from_secs(2);

/// Checks messages. Clones share the cache of DNS.
#[derive(Clone)]
pub struct Checks {
    authenticator: MessageAuthenticator,
    resolver: TokioResolver,
    patience: Patience,
    deadline: Duration,
    exempt: Vec<IpNet>,
    /// Our name in Authentication-Results (RFC 8601 section 2.5).
    mail_host: String,
}

/// A message that came from a stranger.
pub(crate) struct Arrival<'a> {
    pub(crate) peer: PeerIp,
    /// What it called itself.
    pub(crate) helo: &'a str,
    pub(crate) message: &'a QueuedMessage,
}

/// What the author's domain wants done with mail that is not from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Nothing: it passes, there is no policy, or it could not be learned.
    Nothing,
    Quarantine,
    Reject,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Findings {
    /// `Authentication-Results`, ending with CRLF.
    pub(crate) field: String,
    pub(crate) wanted: Wanted,
    /// Nothing shows that the sender sent it, and DNS said all that it was asked.
    pub(crate) unproven: bool,
    /// The sender's domain says that it takes no mail, so nothing could be told to the sender (RFC 7505 section 4.2).
    pub(crate) null_mx: bool,
}

/// What the checks of one message came to.
struct Outputs<'m> {
    spf: SpfOutput,
    dkim: Vec<DkimOutput<'m>>,
    arc: ArcOutput<'m>,
    dmarc: DmarcOutput,
    null_mx: bool,
}

impl Checks {
    /// Checks that ask `resolver`, or whatever the system asks.
    ///
    /// # Errors
    /// A setting makes no sense, or the system's resolver configuration cannot be read.
    pub fn new(
        settings: &AuthenticitySettings,
        resolvers: &[std::net::SocketAddr],
        mail_host: &str,
    ) -> Result<Self, StartError> {
        let resolver = resolver(resolvers, SERVER_TIMEOUT)?;
        Ok(Self {
            patience: Patience::new(resolver.clone()),
            resolver: resolver.clone(),
            authenticator: MessageAuthenticator(resolver),
            deadline: Duration::from_millis(settings.mail_check_millis),
            exempt: settings.exempt_networks()?,
            mail_host: mail_host.to_ascii_lowercase(),
        })
    }

    /// True when mail is checked at all.
    pub(crate) fn are_on(&self) -> bool {
        !self.deadline.is_zero()
    }

    /// True for clients whose mail is not looked at.
    pub(crate) fn exempts(&self, peer: PeerIp) -> bool {
        peer.is_in(&self.exempt)
    }

    /// Looks at a message. It takes no longer than the deadline, whatever DNS does.
    ///
    /// # Errors
    /// The content cannot be read.
    pub(crate) async fn look(
        &self,
        arrival: &Arrival<'_>,
        contents: &dyn ContentSource,
    ) -> Result<Findings, ContentError> {
        let (block, hashes) = read(arrival.message, contents).await?;
        let message = hashes.parse(&block);
        let sender_domain = domain_of(&arrival.message.sender, arrival.helo);
        let author_domain = message.from().rsplit_once('@').map_or("", |(_, domain)| domain);
        let names = format!("{sender_domain} {author_domain}");
        let until = match self.patience.has_run_out(&names) {
            // Asked all the same, for what is known already; there is no time for more.
            true => Instant::now(),
            false => Instant::now() + self.deadline,
        };
        let began = Instant::now();
        let outputs = self.ask(arrival, &message, sender_domain, until).await;
        metrics::histogram!("postern_mail_check_seconds").record(began.elapsed().as_secs_f64());
        if Instant::now() >= until {
            self.patience.lose(names);
        }
        Ok(self.findings(arrival, &message, &outputs))
    }

    async fn ask<'m>(
        &self,
        arrival: &Arrival<'_>,
        message: &'m AuthenticatedMessage<'m>,
        sender_domain: &str,
        until: Instant,
    ) -> Outputs<'m> {
        let (ip, helo, host) = (arrival.peer.ip(), arrival.helo, self.mail_host.as_str());
        let sender = arrival.message.sender.to_string();
        let parameters = match sender.as_str() {
            "" => SpfParameters::verify_ehlo(ip, helo, host),
            sender => SpfParameters::verify_mail_from(ip, helo, host, sender),
        };
        let (spf, dkim, arc, null_mx) = tokio::join!(
            in_time(until, self.authenticator.verify_spf(parameters)),
            in_time(until, self.authenticator.verify_dkim(message)),
            in_time(until, self.authenticator.verify_arc(message)),
            in_time(until, self.takes_no_mail(&arrival.message.sender)),
        );
        let late = || Error::Dns(DnsError::Resolver("no answer in time".to_owned()));
        let spf =
            spf.unwrap_or_else(|| SpfOutput::new(sender_domain.to_owned()).with_result(SpfResult::TempError));
        let dkim = dkim.unwrap_or_else(|| {
            let signatures = message.dkim_headers.iter().map(|header| &header.header);
            signatures.map(|signature| DkimOutput::temp_err(late()).with_signature(signature)).collect()
        });
        let arc = arc.unwrap_or_else(|| ArcOutput::default().with_result(DkimResult::TempError(late())));
        let parameters = DmarcParameters::new(message, &dkim, sender_domain, &spf);
        let dmarc = in_time(until, self.authenticator.verify_dmarc(parameters)).await;
        let dmarc = dmarc.unwrap_or_else(|| {
            let author = message.from().rsplit_once('@').map_or("", |(_, domain)| domain);
            DmarcOutput::new(author.to_owned()).with_dkim_result(DmarcResult::TempError(late()))
        });
        Outputs { spf, dkim, arc, dmarc, null_mx: null_mx.unwrap_or(false) }
    }

    /// True when the sender's domain has the null MX (RFC 7505 section 3). What DNS does not tell is no reason.
    async fn takes_no_mail(&self, sender: &ReversePath) -> bool {
        let Some(address) = sender.address() else { return false };
        let Ok(mut name) = Name::from_ascii(address.domain().as_str()) else { return false };
        name.set_fqdn(true);
        match self.resolver.lookup(name, RecordType::MX).await {
            Ok(found) => is_null_mx(found.answers().iter().map(|record| &record.data)),
            Err(_) => false,
        }
    }

    fn findings(
        &self,
        arrival: &Arrival<'_>,
        message: &AuthenticatedMessage<'_>,
        outputs: &Outputs<'_>,
    ) -> Findings {
        let Outputs { spf, dkim, arc, dmarc, null_mx } = outputs;
        let (peer, helo) = (arrival.peer.ip(), arrival.helo);
        let sender = arrival.message.sender.to_string();
        let results = AuthenticationResults::new(&self.mail_host);
        let results = match sender.as_str() {
            "" => results.with_spf_ehlo_result(spf, peer, helo),
            sender => results.with_spf_mailfrom_result(spf, peer, sender, helo),
        };
        let mut results = match dkim.as_slice() {
            [] => results,
            some => results.with_dkim_results(some, message.from()),
        };
        if *arc.result() != DkimResult::None {
            results = results.with_arc_result(arc, peer);
        }
        let field = results.with_dmarc_result(dmarc).to_header();
        let wanted = match (dmarc.result(), dmarc.policy()) {
            (DmarcResult::Fail(_), Policy::Reject) => Wanted::Reject,
            (DmarcResult::Fail(_), Policy::Quarantine) => Wanted::Quarantine,
            _ => Wanted::Nothing,
        };
        count(spf, dkim, dmarc);
        Findings { field: safe(field), wanted, unproven: is_unproven(spf, dkim), null_mx: *null_mx }
    }

    /// What the owner of a domain wants done with mail of it that others changed on the way (as a list does): its DMARC policy.
    /// What DNS does not tell in time counts as strict.
    pub(crate) async fn policy_is_strict(&self, author: &DomainName) -> bool {
        let header = format!("From: author@{author}\r\n\r\n");
        let Some(message) = AuthenticatedMessage::parse(header.as_bytes()) else { return true };
        let spf = SpfOutput::new(String::new()).with_result(SpfResult::None);
        let parameters = DmarcParameters::new(&message, &[], "", &spf);
        let names = format!("- {author}");
        if self.patience.has_run_out(&names) {
            return true;
        }
        let until = Instant::now() + self.deadline.max(SERVER_TIMEOUT);
        match in_time(until, self.authenticator.verify_dmarc(parameters)).await {
            None => {
                self.patience.lose(names);
                true
            }
            Some(found) => {
                matches!(found.policy(), Policy::Reject | Policy::Quarantine)
                    || matches!(found.result(), DmarcResult::TempError(_))
            }
        }
    }
}

/// The message's own header block, with an empty line, and the hashes of its body that its signatures ask for.
async fn read(
    message: &QueuedMessage,
    contents: &dyn ContentSource,
) -> Result<(Vec<u8>, Hashes), ContentError> {
    let mut opened = open_header(contents, message).await?;
    let block = [opened.header.octets(), b"\r\n"].concat();
    let mut hashers: Vec<_> = match AuthenticatedMessage::parse(&block) {
        Some(parsed) => {
            let hasher = |algorithm| match algorithm {
                HashAlgorithm::Sha1 => Sha1::hasher(),
                HashAlgorithm::Sha256 => Sha256::hasher(),
            };
            let wanted = parsed.body_hashes.iter();
            wanted
                .map(|(form, algorithm, length, _)| BodyHasher::new(hasher(*algorithm), *form, *length))
                .collect()
        }
        None => Vec::new(),
    };
    if !hashers.is_empty() {
        let begun = std::mem::take(&mut opened.begun);
        hashers.iter_mut().for_each(|hasher| hasher.write(&begun));
        while let Some(piece) = opened.rest.next().await {
            let piece = piece?;
            hashers.iter_mut().for_each(|hasher| hasher.write(&piece));
        }
    }
    Ok((block, Hashes(hashers.into_iter().map(hash).collect())))
}

fn hash(hasher: BodyHasher<impl HashContext>) -> Vec<u8> {
    hasher.finish().0.complete().as_ref().to_vec()
}

/// Hashes of a body, in the order in which its header asks for them.
struct Hashes(Vec<Vec<u8>>);

impl Hashes {
    /// Reads the header block again, now with what is known of the body.
    fn parse(self, block: &[u8]) -> AuthenticatedMessage<'_> {
        let mut message = AuthenticatedMessage::parse(block).unwrap_or_default();
        for ((.., hash), known) in message.body_hashes.iter_mut().zip(self.0) {
            *hash = known;
        }
        message.dkim_headers.truncate(SIGNATURES_MAX);
        message
    }
}

/// One MX or more, all of them the root.
fn is_null_mx<'a>(records: impl Iterator<Item = &'a RData>) -> bool {
    let mut exchanges = records
        .filter_map(|record| match record {
            RData::MX(mx) => Some(mx.exchange.is_root()),
            _ => None,
        })
        .peekable();
    exchanges.peek().is_some() && exchanges.all(|is_root| is_root)
}

async fn in_time<T>(until: Instant, asking: impl Future<Output = T>) -> Option<T> {
    timeout_at(until, asking).await.ok()
}

/// The domain that SPF is about.
fn domain_of<'a>(sender: &'a ReversePath, helo: &'a str) -> &'a str {
    sender.address().map_or(helo, |sender| sender.domain().as_str())
}

/// Neither the sender's host nor a signature vouches for it. What DNS could not tell now may still prove it.
fn is_unproven(spf: &SpfOutput, dkim: &[DkimOutput<'_>]) -> bool {
    let spf_is_open = matches!(spf.result(), SpfResult::Pass | SpfResult::TempError);
    let dkim_is_open =
        dkim.iter().any(|output| matches!(output.result(), DkimResult::Pass | DkimResult::TempError(_)));
    !spf_is_open && !dkim_is_open
}

/// What the field is made of came from strangers: whatever is not a folded line of printable ASCII does not pass.
fn safe(field: String) -> String {
    let lines: Vec<&str> = field.trim_end().split("\r\n").collect();
    let is_good = |(at, line): (usize, &&str)| {
        (at == 0) != line.starts_with(['\t', ' '])
            && line.bytes().all(|octet| octet == b'\t' || (b' '..=b'~').contains(&octet))
    };
    if lines.iter().enumerate().all(is_good) { field } else { String::new() }
}

fn count(spf: &SpfOutput, dkim: &[DkimOutput<'_>], dmarc: &DmarcOutput) {
    let spf = match spf.result() {
        SpfResult::Pass => "pass",
        SpfResult::Fail | SpfResult::SoftFail => "fail",
        SpfResult::TempError => "temperror",
        SpfResult::Neutral | SpfResult::PermError | SpfResult::None => "none",
    };
    let dmarc = match dmarc.result() {
        DmarcResult::Pass => "pass",
        DmarcResult::Fail(_) => "fail",
        DmarcResult::TempError(_) => "temperror",
        DmarcResult::PermError(_) | DmarcResult::None => "none",
    };
    let dkim = match () {
        () if dkim.iter().any(|output| *output.result() == DkimResult::Pass) => "pass",
        () if dkim.is_empty() => "none",
        () => "fail",
    };
    metrics::counter!("postern_mail_checks_total", "spf" => spf, "dkim" => dkim, "dmarc" => dmarc)
        .increment(1);
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::rdata::MX;

    use super::*;

    #[test]
    fn s_93_only_the_root_alone_is_the_null_mx() {
        let mx = |name: &str| RData::MX(MX::new(0, Name::from_ascii(name).expect("a name")));
        for (records, null) in [
            (vec![mx(".")], true),
            (vec![mx("."), mx(".")], true),
            (vec![mx("."), mx("mx.far.test.")], false),
            (vec![mx("mx.far.test.")], false),
            (vec![], false),
        ] {
            assert_eq!(is_null_mx(records.iter()), null, "{records:?}");
        }
    }

    #[test]
    fn s_02_no_field_but_a_folded_one_passes() {
        for (field, passes) in [
            ("Authentication-Results: m; spf=pass\r\n\tsmtp.mailfrom=a@b.test\r\n", true),
            ("Authentication-Results: m; spf=pass\r\nBcc: x\r\n", false),
            ("Authentication-Results: m; x=\u{fc}\r\n", false),
            ("Authentication-Results: m\n\tx\r\n", false),
        ] {
            assert_eq!(safe(field.to_owned()), if passes { field } else { "" }, "{field:?}");
        }
    }
}
