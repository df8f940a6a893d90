//! Does a domain's SPF record let an address send (RFC 7208)? Only as far as the record names addresses: what hangs on macros,
//! `exists` or `ptr` permits nothing here.

use std::{future::Future, net::IpAddr, pin::Pin};

use hickory_resolver::proto::rr::RecordType;
use ipnet::IpNet;
use tokio::time::Instant;

use super::dns::Dns;

/// Questions to DNS that one record may cost (section 4.6.4).
const LOOKUPS_MAX: u32 = 10;
/// Hosts of one `mx` that are looked at (section 4.6.4).
const EXCHANGERS_MAX: usize = 10;

/// DNS did not say enough to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoAnswer;

/// What a record says of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Pass,
    /// Fail, softfail, neutral, or a record that cannot be followed.
    NotPass,
    /// No mechanism matches.
    Nothing,
}

/// True for the record among a domain's texts.
pub(super) fn is_record(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower == "v=spf1" || lower.starts_with("v=spf1 ")
}

/// True when each of the addresses may send for the domain.
pub(super) async fn permits(
    dns: &Dns,
    domain: &str,
    record: &str,
    addresses: &[IpAddr],
    until: Instant,
) -> Result<bool, NoAnswer> {
    for address in addresses {
        let mut walk = Walk { dns, address: *address, lookups: 0, until };
        if walk.judge(domain.to_owned(), record.to_owned()).await? != Word::Pass {
            return Ok(false);
        }
    }
    Ok(!addresses.is_empty())
}

/// The record with `mechanism` put before what ends it.
pub(super) fn with(record: &str, mechanism: &str) -> String {
    let mut terms: Vec<&str> = record.split_whitespace().collect();
    let end = terms.iter().position(|term| {
        let term = term.to_ascii_lowercase();
        term.trim_start_matches(['+', '-', '~', '?']) == "all" || term.starts_with("redirect=")
    });
    terms.insert(end.unwrap_or(terms.len()), mechanism);
    terms.join(" ")
}

struct Walk<'d> {
    dns: &'d Dns,
    address: IpAddr,
    lookups: u32,
    until: Instant,
}

impl Walk<'_> {
    /// Terms from left to right; the first that matches decides (section 4.6).
    fn judge(
        &mut self,
        domain: String,
        record: String,
    ) -> Pin<Box<dyn Future<Output = Result<Word, NoAnswer>> + Send + '_>> {
        Box::pin(async move {
            let mut redirect = None;
            for term in record.split_whitespace().skip(1) {
                if let Some(target) = strip(term, "redirect=") {
                    redirect = Some(target.to_owned());
                    continue;
                }
                let mechanism = term.trim_start_matches(['+', '-', '~', '?']);
                let passes = mechanism == term || term.starts_with('+');
                match self.matches(&domain, mechanism).await? {
                    None => return Ok(Word::NotPass),
                    Some(true) => return Ok(if passes { Word::Pass } else { Word::NotPass }),
                    Some(false) => {}
                }
            }
            match redirect {
                Some(target) => self.follow(&target).await,
                None => Ok(Word::Nothing),
            }
        })
    }

    /// Whether a mechanism matches the address; `None`: the record cannot be followed.
    async fn matches(&mut self, domain: &str, mechanism: &str) -> Result<Option<bool>, NoAnswer> {
        if mechanism.eq_ignore_ascii_case("all") {
            return Ok(Some(true));
        }
        if let Some(target) = strip(mechanism, "include:") {
            return Ok(match self.follow(target).await? {
                Word::Pass => Some(true),
                Word::NotPass | Word::Nothing => Some(false),
            });
        }
        if let Some(network) = strip(mechanism, "ip4:").or_else(|| strip(mechanism, "ip6:")) {
            let network = network.parse().or_else(|_| network.parse().map(|ip: IpAddr| IpNet::from(ip)));
            return Ok(network.ok().map(|network: IpNet| network.contains(&self.address)));
        }
        let (named, prefixes) = mechanism.split_once('/').unwrap_or((mechanism, ""));
        let (kind, host) = named.split_once(':').unwrap_or((named, domain));
        let hosts = if kind.eq_ignore_ascii_case("a") {
            vec![host.to_owned()]
        } else if kind.eq_ignore_ascii_case("mx") {
            let Some(answer) = self.ask(host, RecordType::MX).await? else { return Ok(None) };
            answer.exchangers().unwrap_or_default().into_iter().take(EXCHANGERS_MAX).collect()
        } else {
            // Modifiers and mechanisms that name no address.
            return Ok(Some(false));
        };
        for host in hosts {
            if host.contains('%') {
                continue;
            }
            let kind = if self.address.is_ipv4() { RecordType::A } else { RecordType::AAAA };
            let Some(answer) = self.ask(&host, kind).await? else { return Ok(None) };
            let found = answer.addresses().unwrap_or_default();
            if found.into_iter().any(|ip| is_within(self.address, ip, prefixes)) {
                return Ok(Some(true));
            }
        }
        Ok(Some(false))
    }

    async fn follow(&mut self, domain: &str) -> Result<Word, NoAnswer> {
        if domain.contains('%') {
            return Ok(Word::NotPass);
        }
        let Some(answer) = self.ask(domain, RecordType::TXT).await? else { return Ok(Word::NotPass) };
        let texts = answer.texts().unwrap_or_default();
        let records: Vec<_> = texts.into_iter().filter(|text| is_record(text)).collect();
        match <[String; 1]>::try_from(records) {
            Ok([record]) => self.judge(domain.to_owned(), record).await,
            Err(_) => Ok(Word::NotPass),
        }
    }

    /// One question; `None`: the record asks for too many.
    async fn ask(&mut self, name: &str, kind: RecordType) -> Result<Option<super::dns::Answer>, NoAnswer> {
        self.lookups += 1;
        if self.lookups > LOOKUPS_MAX {
            return Ok(None);
        }
        let answer = self.dns.ask(name, kind, self.until).await;
        if answer.records().is_none() { Err(NoAnswer) } else { Ok(Some(answer)) }
    }
}

fn strip<'t>(term: &'t str, prefix: &str) -> Option<&'t str> {
    let head = term.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| term.get(prefix.len()..)).flatten()
}

/// `prefixes`: what stands after the first slash of `a` and `mx`: `24`, `24//64` or `/64` (section 5.6).
fn is_within(address: IpAddr, of: IpAddr, prefixes: &str) -> bool {
    let (four, six) = prefixes
        .split_once("//")
        .or_else(|| Some(("", prefixes.strip_prefix('/')?)))
        .unwrap_or((prefixes, ""));
    let (chosen, whole) = if of.is_ipv4() { (four, 32) } else { (six, 128) };
    let prefix = if chosen.is_empty() { Some(whole) } else { chosen.parse().ok() };
    prefix.and_then(|prefix| IpNet::new(of, prefix).ok()).is_some_and(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mechanism_is_put_where_it_counts() {
        for (record, mended) in [
            ("v=spf1", "v=spf1 a:m.test"),
            ("v=spf1 mx -all", "v=spf1 mx a:m.test -all"),
            ("v=spf1 ALL", "v=spf1 a:m.test ALL"),
            ("v=spf1 redirect=x.test", "v=spf1 a:m.test redirect=x.test"),
        ] {
            assert_eq!(with(record, "a:m.test"), mended);
        }
    }

    #[test]
    fn prefixes_of_both_families() {
        let within = |address: &str, of: &str, prefixes: &str| {
            is_within(address.parse().expect(address), of.parse().expect(of), prefixes)
        };
        assert!(within("192.0.2.1", "192.0.2.1", ""));
        assert!(!within("192.0.2.2", "192.0.2.1", ""));
        assert!(within("192.0.2.2", "192.0.2.1", "24"));
        assert!(within("192.0.2.2", "192.0.2.1", "24//64"));
        assert!(within("2001:db8::2", "2001:db8::1", "24//64"));
        assert!(within("2001:db8::2", "2001:db8::1", "/64"));
        assert!(!within("192.0.2.2", "192.0.2.1", "/64"));
        assert!(!within("192.0.2.2", "192.0.2.1", "nonsense"));
    }
}
