//! What a person must know of each record: what the world sees, what it should see, and what to do.

use futures_util::future::join_all;
use hickory_resolver::proto::rr::{RData, RecordType};
use postern_mail::DomainName;
use postern_proto::account::v1::{DnsFinding, DnsPurpose, DnsVerdict, Domain, DomainState};
use tokio::time::Instant;

use super::{
    Delegation, LOOK_TIMEOUT, Look,
    dkim::{self, KeyRecord},
    dns::Answer,
    settings::{Expected, Sender},
    spf::{self, NoAnswer},
};
use crate::store::mail_keys::Stage;

/// Octets of one string of a TXT record (RFC 1035 section 3.3).
const TXT_STRING_MAX_BYTES: usize = 255;

impl Delegation {
    /// Asks for everything that a domain should have. `dkim`: the records of its keys; without them, and for a claim,
    /// only what decides about the claim.
    pub(super) async fn examine(
        &self,
        name: &DomainName,
        domain: &Domain,
        dkim: Option<&[KeyRecord]>,
    ) -> (Look, Vec<DnsFinding>) {
        let until = Instant::now() + LOOK_TIMEOUT;
        let is_claim = domain.state() == DomainState::Claimed;
        let (look, rest) = tokio::join!(self.look(name, until), async {
            match dkim {
                Some(dkim) if !is_claim => self.ask_for_the_rest(name, dkim, until).await,
                _ => Vec::new(),
            }
        });
        let mut findings = delegation(name, &look, &self.expected);
        findings.extend(claim(domain, &look));
        findings.extend(rest);
        (look, findings)
    }

    async fn ask_for_the_rest(
        &self,
        name: &DomainName,
        dkim: &[KeyRecord],
        until: Instant,
    ) -> Vec<DnsFinding> {
        let host = format!("mail.{name}");
        let policy_name = format!("_dmarc.{name}");
        let keys = join_all(dkim.iter().map(|key| self.dns.ask(&key.name, RecordType::TXT, until)));
        let (four, six, own_four, own_six, texts, keys, policy) = tokio::join!(
            self.dns.ask(&host, RecordType::A, until),
            self.dns.ask(&host, RecordType::AAAA, until),
            self.own_addresses(RecordType::A, until),
            self.own_addresses(RecordType::AAAA, until),
            self.dns.ask(name.as_str(), RecordType::TXT, until),
            keys,
            self.dns.ask(&policy_name, RecordType::TXT, until),
        );
        let mut findings = Vec::new();
        findings.extend(mail_host(&host, "A", &four, own_four.as_ref()));
        findings.extend(mail_host(&host, "AAAA", &six, own_six.as_ref()));
        let own = own_four.zip(own_six).map(|(four, six)| [four, six].concat());
        findings.push(self.sender_policy(name, &texts, own.as_deref(), until).await);
        findings.extend(dkim.iter().zip(&keys).map(|(key, answer)| signing_key(key, answer)));
        findings.push(dmarc(&policy_name, &policy));
        findings
    }

    /// The addresses of the mail host of one family; `None`: not known now.
    async fn own_addresses(&self, kind: RecordType, until: Instant) -> Option<Vec<std::net::IpAddr>> {
        if self.expected.addresses.is_empty() {
            return self.dns.ask(&self.expected.mail_host, kind, until).await.addresses();
        }
        let of_family = self.expected.addresses.iter().filter(|ip| ip.is_ipv4() == (kind == RecordType::A));
        Some(of_family.copied().collect())
    }

    async fn sender_policy(
        &self,
        name: &DomainName,
        answer: &Answer,
        own: Option<&[std::net::IpAddr]>,
        until: Instant,
    ) -> DnsFinding {
        let Sender { mechanism, addresses } = &self.expected.sender;
        let own = addresses.as_deref().or(own);
        let records: Option<Vec<String>> =
            answer.texts().map(|texts| texts.into_iter().filter(|text| spf::is_record(text)).collect());
        let (verdict, wanted, advice) = match records.as_deref() {
            None => (DnsVerdict::NoAnswer, format!("v=spf1 {mechanism} ~all"), ASK_AGAIN.to_owned()),
            Some([]) => (
                DnsVerdict::Missing,
                format!("v=spf1 {mechanism} ~all"),
                format!(
                    "add this TXT record to {name}, so that others believe mail that this platform sends for it"
                ),
            ),
            Some([record]) => match self.permitted(name, record, own, until).await {
                Ok(true) => (DnsVerdict::Good, record.clone(), String::new()),
                Ok(false) => (
                    DnsVerdict::Different,
                    spf::with(record, mechanism),
                    format!(
                        "the SPF record of {name} does not let this platform send: add {mechanism} to it"
                    ),
                ),
                Err(NoAnswer) => (DnsVerdict::NoAnswer, record.clone(), ASK_AGAIN.to_owned()),
            },
            Some([first, ..]) => (
                DnsVerdict::Different,
                spf::with(first, mechanism),
                format!("{name} has more than one SPF record, which makes all of them void: leave one"),
            ),
        };
        DnsFinding {
            purpose: DnsPurpose::Spf.into(),
            name: name.to_string(),
            record_type: "TXT".to_owned(),
            found: records.unwrap_or_default().iter().map(|text| quoted(text)).collect(),
            expected: vec![quoted(&wanted)],
            ttl_seconds: answer.ttl_seconds(),
            verdict: verdict.into(),
            needed: false,
            advice,
        }
    }

    async fn permitted(
        &self,
        name: &DomainName,
        record: &str,
        own: Option<&[std::net::IpAddr]>,
        until: Instant,
    ) -> Result<bool, NoAnswer> {
        match own {
            Some(addresses) if !addresses.is_empty() => {
                spf::permits(&self.dns, name.as_str(), record, addresses, until).await
            }
            // Without an address of ours only the words can be compared.
            _ => Ok(self.expected.sender.mechanism.split(' ').all(|wanted| {
                record
                    .split_whitespace()
                    .any(|term| term.trim_start_matches('+').eq_ignore_ascii_case(wanted))
            })),
        }
    }
}

const ASK_AGAIN: &str = "DNS did not answer: try again in a few minutes; nothing was changed";

/// NS and MX: one of them must lead here.
fn delegation(name: &DomainName, look: &Look, expected: &Expected) -> Vec<DnsFinding> {
    let (by_servers, by_exchangers) = (look.by_name_servers(expected), look.by_exchangers(expected));
    let mut findings = Vec::new();
    if !expected.name_servers.is_empty() {
        let advice = if by_exchangers == Some(true) {
            format!(
                "not needed, since the MX of {name} leads here; only if this platform is to serve all of its DNS"
            )
        } else {
            format!("set these name servers where {name} is registered, or set the MX below")
        };
        findings.push(DnsFinding {
            purpose: DnsPurpose::Delegation.into(),
            name: name.to_string(),
            record_type: "NS".to_owned(),
            found: shown(&look.name_servers),
            expected: expected.name_servers.iter().map(|server| format!("{server}.")).collect(),
            needed: by_exchangers != Some(true),
            ..judged(&look.name_servers, by_servers, advice)
        });
    }
    let advice = if by_servers == Some(true) {
        format!("the name servers of {name} are ours already; mail comes here only with this MX in its zone")
    } else {
        format!("set this MX in the DNS of {name}; without it the world's mail for {name} does not come here")
    };
    findings.push(DnsFinding {
        purpose: DnsPurpose::Mx.into(),
        name: name.to_string(),
        record_type: "MX".to_owned(),
        found: shown(&look.exchangers),
        expected: vec![format!("10 {}.", expected.mail_host)],
        needed: by_servers != Some(true),
        ..judged(&look.exchangers, by_exchangers, advice)
    });
    findings
}

/// The record that says whose the domain is, where that is in question.
fn claim(domain: &Domain, look: &Look) -> Option<DnsFinding> {
    let claim = domain.claim.as_ref().filter(|claim| claim.txt_required)?;
    let is_there = look.claims.texts().map(|texts| texts.contains(&claim.txt_value));
    let advice = format!(
        "more than one customer asked for {0}, or it had another owner here: add this TXT record at {1} to show that it is \
         yours",
        domain.name, claim.txt_name
    );
    Some(DnsFinding {
        purpose: DnsPurpose::Claim.into(),
        name: claim.txt_name.clone(),
        record_type: "TXT".to_owned(),
        found: shown(&look.claims),
        expected: vec![quoted(&claim.txt_value)],
        needed: true,
        ..judged(&look.claims, is_there, advice)
    })
}

/// Addresses of the host that mail programs use. `None`: of this family there is nothing to say.
fn mail_host(
    host: &str,
    record_type: &str,
    answer: &Answer,
    own: Option<&Vec<std::net::IpAddr>>,
) -> Option<DnsFinding> {
    let found = answer.addresses();
    let expected = own.cloned().unwrap_or_default();
    if own.is_some_and(Vec::is_empty) && found.as_ref().is_none_or(Vec::is_empty) {
        return None;
    }
    // What the mail host's own addresses are may be unknown, too.
    let is_good =
        found.zip(own).map(|(found, own)| !found.is_empty() && found.iter().all(|ip| own.contains(ip)));
    let advice = if expected.is_empty() {
        format!(
            "remove this record: the platform has no address of this kind, so that mail programs wait for nothing at {host}"
        )
    } else {
        format!("set {host} to the addresses expected: mail programs look for the platform there")
    };
    Some(DnsFinding {
        purpose: DnsPurpose::MailHost.into(),
        name: host.to_owned(),
        record_type: record_type.to_owned(),
        found: shown(answer),
        expected: expected.iter().map(ToString::to_string).collect(),
        needed: false,
        ..judged(answer, is_good, advice)
    })
}

fn signing_key(record: &KeyRecord, answer: &Answer) -> DnsFinding {
    let (name, wanted) = (&record.name, &record.text);
    let key = dkim::key_of(wanted);
    let advice = match record.stage {
        Stage::InUse => {
            format!("add this TXT record at {name}: it shows the key that the domain's mail is signed with")
        }
        Stage::Waiting => format!(
            "add this TXT record at {name} and leave the other one: it shows the next key; mail is signed with it once DNS shows it"
        ),
        Stage::Ended => format!(
            "leave this TXT record at {name} for some days more: mail that was signed with this key is still under way"
        ),
    };
    let is_good = answer.texts().map(|texts| texts.iter().any(|text| dkim::key_of(text) == key));
    DnsFinding {
        purpose: DnsPurpose::Dkim.into(),
        name: name.clone(),
        record_type: "TXT".to_owned(),
        found: shown(answer),
        expected: vec![quoted(wanted)],
        needed: false,
        ..judged(answer, is_good, advice)
    }
}

fn dmarc(name: &str, answer: &Answer) -> DnsFinding {
    let policies: Option<Vec<String>> =
        answer.texts().map(|texts| texts.into_iter().filter(|text| text.starts_with("v=DMARC1")).collect());
    let is_good = policies.as_deref().map(|policies| match policies {
        [policy] => policy.split(';').any(|tag| tag.trim_start().starts_with("p=")),
        _ => false,
    });
    let advice = match policies.as_deref() {
        Some([_, _, ..]) => {
            format!("{name} has more than one DMARC record, which makes all of them void: leave one")
        }
        _ => format!(
            "add this TXT record at {name}; others are to know what to do with mail that is not really from the domain"
        ),
    };
    DnsFinding {
        purpose: DnsPurpose::Dmarc.into(),
        name: name.to_owned(),
        record_type: "TXT".to_owned(),
        found: shown(answer),
        expected: vec![quoted("v=DMARC1; p=none")],
        needed: false,
        ..judged(answer, is_good, advice)
    }
}

/// Verdict, time to live and advice, which only what is not good needs.
fn judged(answer: &Answer, is_good: Option<bool>, advice: String) -> DnsFinding {
    let verdict = match (answer, is_good) {
        (Answer::Unknown, _) | (_, None) => DnsVerdict::NoAnswer,
        (_, Some(true)) => DnsVerdict::Good,
        (Answer::Nothing, Some(false)) => DnsVerdict::Missing,
        (Answer::Found(..), Some(false)) => DnsVerdict::Different,
    };
    let advice = match verdict {
        DnsVerdict::Good => String::new(),
        DnsVerdict::NoAnswer => ASK_AGAIN.to_owned(),
        _ => advice,
    };
    DnsFinding { ttl_seconds: answer.ttl_seconds(), verdict: verdict.into(), advice, ..DnsFinding::default() }
}

/// Records as a zone file has them, in a steady order.
fn shown(answer: &Answer) -> Vec<String> {
    let mut shown: Vec<_> = answer.records().unwrap_or_default().iter().map(in_zone_file).collect();
    shown.sort_unstable();
    shown
}

fn in_zone_file(record: &RData) -> String {
    match record {
        RData::TXT(txt) => quoted(&String::from_utf8_lossy(&txt.txt_data.concat())),
        other => other.to_string(),
    }
}

/// A text as the strings of a TXT record (RFC 1035 section 5.1).
fn quoted(text: &str) -> String {
    let mut strings: Vec<String> = Vec::new();
    let mut octets = TXT_STRING_MAX_BYTES;
    for character in text.chars() {
        octets += character.len_utf8();
        if octets > TXT_STRING_MAX_BYTES {
            strings.push(String::new());
            octets = character.len_utf8();
        }
        if let Some(last) = strings.last_mut() {
            if matches!(character, '"' | '\\') {
                last.push('\\');
            }
            last.push(if character.is_control() { '?' } else { character });
        }
    }
    if strings.is_empty() {
        strings.push(String::new());
    }
    strings.iter().map(|string| format!("\"{string}\"")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_shown_as_in_a_zone_file() {
        assert_eq!(quoted(""), "\"\"");
        assert_eq!(quoted("a \"b\" \\"), "\"a \\\"b\\\" \\\\\"");
        assert_eq!(quoted("a\r\nb"), "\"a??b\"");
        let long = "x".repeat(300);
        assert_eq!(quoted(&long), format!("\"{}\" \"{}\"", "x".repeat(255), "x".repeat(45)));
    }
}
