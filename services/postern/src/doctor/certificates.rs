//! Certificates that the doors choose by name: each pair in the folder fits together and does not end soon; and where we get them
//! ourselves, whatever keeps a host from having one.

use jiff::Timestamp;
use postern_mesh::tls::{self, Seen};

use super::{Doctor, Findings};
use crate::certificates::{Folder, Kind, Memory, Trouble};

/// A certificate that ends sooner should have been renewed.
pub(super) const RENEW_DAYS: i64 = 14;
const DAY_SECONDS: i64 = 24 * 60 * 60;
const SUBJECT: &str = "certificates by name";
/// What we get ourselves, of an authority.
const ACME: &str = "certificates by ACME";
/// Hosts that are told one by one.
const HOSTS_MAX: usize = 20;

/// Whole days from now to a time in seconds since 1970; below 0 when it is over.
pub(super) fn days_until(ends: i64, now: Timestamp) -> i64 {
    (ends - now.as_second()).div_euclid(DAY_SECONDS)
}

/// Looks at the folder when one is named. What is good is told as a number, for there may be thousands.
pub(super) fn look(doctor: &Doctor, findings: &mut Findings) {
    let Some(folder) = &doctor.tls_certificates else { return };
    let seen = match tls::look_at(folder) {
        Ok(seen) => seen,
        Err(error) => {
            let advice = "POSTERN_TLS_CERTIFICATES is the folder that the doors read";
            return findings.wrong(SUBJECT, error.to_string(), advice);
        }
    };
    let now = Timestamp::now();
    match Memory::read(&Folder::at(folder).own()) {
        Ok(memory) => tell(&memory, findings),
        Err(error) => {
            let advice = "look from where `postern certificates` runs, as its user or one of its group";
            findings.unknown(ACME, format!("what was tried cannot be read: {error}"), advice);
        }
    }
    let count = seen.len();
    let good = seen.into_iter().filter(|one| is_good(one, now, findings)).count();
    if good == count {
        findings.good(SUBJECT, format!("{count} pairs, none ends within {RENEW_DAYS} days"));
    }
}

fn is_good(seen: &Seen, now: Timestamp, findings: &mut Findings) -> bool {
    let subject = format!("certificate {}", seen.certificate.display());
    let renew = "renew it, or take it out of the folder when the name is not served any more";
    match &seen.pair {
        Err(why) => {
            findings.wrong(
                subject,
                why,
                "put a pair there that fits together; the doors keep what they read before",
            );
        }
        Ok(about) => {
            let (names, days) = (about.names.join(", "), days_until(about.ends, now));
            if days < 0 {
                findings.wrong(subject, format!("for {names}, ended {} days ago", -days), renew);
            } else if days < RENEW_DAYS {
                findings.care(subject, format!("for {names}, ends in {days} days"), renew);
            } else {
                return true;
            }
        }
    }
    false
}

/// The last failure of the authority and of each host that waits for a certificate.
fn tell(memory: &Memory, findings: &mut Findings) {
    let seen = |trouble: &Trouble| {
        let (at, again, times) = (seconds(trouble.at), seconds(trouble.again), trouble.times.max(1));
        format!("{} (at {at}, {times} in a row; tried again after {again})", trouble.why)
    };
    if let Some(trouble) = &memory.authority {
        let advice = "the certificates that stand are used on; its log says more (`postern certificates`)";
        findings.care(ACME, format!("no certificates are to be had: {}", seen(trouble)), advice);
    }
    let of = |kind| memory.hosts.iter().filter(move |(_, trouble)| trouble.kind == kind);
    for (host, trouble) in of(Kind::Refused).take(HOSTS_MAX) {
        let advice = "a certificate that stands is used on; mend what is said, and wait for the next try";
        findings.care(format!("certificate for {host}"), seen(trouble), advice);
    }
    let more = of(Kind::Refused).count().saturating_sub(HOSTS_MAX);
    if more > 0 {
        findings.care(ACME, format!("{more} more hosts wait for a certificate"), "the log names them");
    }
    let elsewhere: Vec<&str> = of(Kind::NotHere).map(|(host, _)| host.as_str()).collect();
    if let Some(first) = elsewhere.first() {
        let found = match elsewhere.len() {
            1 => format!("{first} does not lead here and gets no certificate"),
            count => {
                format!("{count} mail hosts do not lead here and get no certificate, {first} among them")
            }
        };
        findings.care(
            ACME,
            found,
            "`postern domain verify DOMAIN` says what DNS lacks; until then nothing is ordered",
        );
    }
}

/// A time without fractions.
fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}
