//! Certificates that the doors choose by name: each pair in the folder fits together and does not end soon.

use jiff::Timestamp;
use postern_mesh::tls::{self, Seen};

use super::{Doctor, Findings};

/// A certificate that ends sooner should have been renewed.
pub(super) const RENEW_DAYS: i64 = 14;
const DAY_SECONDS: i64 = 24 * 60 * 60;
const SUBJECT: &str = "certificates by name";

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
        Ok((names, ends)) => {
            let (names, days) = (names.join(", "), days_until(*ends, now));
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
