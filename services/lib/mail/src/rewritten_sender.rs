//! Rewritten senders (SRS): what leaves by a forward has a sender at the forwarding domain, so that SPF can pass, and what
//! comes back to it is led to the original sender. Pure.
//!
//! `SRS0=<mark>=<day>=<domain>=<local>@forwarder` holds the original sender, the day and a mark (HMAC) that only this
//! platform can make. A sender that another forwarder rewrote becomes `SRS1=<mark>=<its domain>=<its SRS0 without that
//! word>@forwarder`, which is not made longer by further hops. The mark is lower case and compared as it is: hosts may fold
//! the case of the rest, whose own case is not under the mark.

use ring::hmac;

use crate::{DomainName, EmailAddress};

/// How long a bounce may come back, days.
pub const LIFE_DAYS: u64 = 7;

/// RFC 4648 section 6, lower case.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// 40 bits: nobody tries them all in seven days over SMTP.
const MARK_CHARS: usize = 8;
/// Days are told modulo this.
const DAY_CIRCLE: u64 = 1024;

/// A key of the marks.
#[derive(Clone, Debug)]
pub struct SenderKey(hmac::Key);

/// Why an address of this form leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRestored {
    /// No key of ours made its mark, or it is not of the form.
    Forged,
    /// It was made too long ago.
    Old,
}

impl SenderKey {
    /// A key of at least 32 random octets.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    fn mark(&self, form: &str, text: &str) -> String {
        let tag = hmac::sign(&self.0, format!("{form}\0{}", text.to_lowercase()).as_bytes());
        // 5 octets are 8 characters of 5 bits.
        let bits = tag.as_ref().iter().take(5).fold(0u64, |bits, octet| bits << 8 | u64::from(*octet));
        (0..MARK_CHARS).rev().map(|at| letter(bits >> (5 * at))).collect()
    }
}

/// Days since 1970, of seconds since then.
#[must_use]
pub fn day_of(unix_seconds: u64) -> u64 {
    unix_seconds / 86_400
}

/// True for a local part of this form, whoever made it.
#[must_use]
pub fn is_rewritten(local: &str) -> bool {
    form_of(local).is_some()
}

/// The sender at `domain` that stands for `sender`. `None`: it would be no address, since it is too long.
#[must_use]
pub fn rewrite(
    sender: &EmailAddress,
    domain: &DomainName,
    key: &SenderKey,
    today: u64,
) -> Option<EmailAddress> {
    let (first, rest) = match form_of(sender.local()) {
        Some((Form::First, rest)) => (sender.domain().as_str(), rest),
        Some((Form::Further, rest)) if let Some(hop) = first_hop(rest) => hop,
        // Also what only looks like a further hop: it is led back as it is.
        _ => {
            let day = today % DAY_CIRCLE;
            let body = format!("{}{}={}={}", letter(day >> 5), letter(day), sender.domain(), sender.local());
            return address(&format!("SRS0={}={body}", key.mark("0", &body)), domain);
        }
    };
    let body = format!("{first}={rest}");
    address(&format!("SRS1={}={body}", key.mark("1", &body)), domain)
}

/// The domain of the first hop and what stands behind its SRS0. The hops between it and us are left out: it knows the sender.
fn first_hop(rest: &str) -> Option<(&str, &str)> {
    let (_mark, rest) = rest.get(1..)?.split_once('=')?;
    let (first, rest) = rest.split_once('=')?;
    let leads_back = address(&format!("SRS0{rest}"), &first.parse().ok()?).is_some();
    leads_back.then_some((first, rest))
}

/// What an address leads back to; `None`: it is not of this form.
///
/// # Errors
/// It is of the form, and not ours or too old.
#[must_use]
pub fn restore(
    address: &EmailAddress,
    keys: &[SenderKey],
    today: u64,
) -> Option<Result<EmailAddress, NotRestored>> {
    let (form, rest) = form_of(address.local())?;
    Some(restored(&form, rest, keys, today))
}

fn restored(form: &Form, rest: &str, keys: &[SenderKey], today: u64) -> Result<EmailAddress, NotRestored> {
    let forged = NotRestored::Forged;
    let (mark, body) = rest.get(1..).and_then(|rest| rest.split_once('=')).ok_or(forged)?;
    let word = match form {
        Form::First => "0",
        Form::Further => "1",
    };
    // An online guess needs a message each: the time of the comparison tells nobody anything.
    if !keys.iter().any(|key| key.mark(word, body) == mark) {
        return Err(forged);
    }
    let (begin, rest) = body.split_once('=').ok_or(forged)?;
    match form {
        Form::First => {
            let made = day_in(begin).ok_or(forged)?;
            if (today % DAY_CIRCLE + DAY_CIRCLE - made) % DAY_CIRCLE > LIFE_DAYS {
                return Err(NotRestored::Old);
            }
            let (domain, local) = rest.split_once('=').ok_or(forged)?;
            self::address(local, &domain.parse().map_err(|_| forged)?).ok_or(forged)
        }
        Form::Further => {
            let domain = begin.parse().map_err(|_| forged)?;
            self::address(&format!("SRS0{rest}"), &domain).ok_or(forged)
        }
    }
}

/// What follows the word, its separator included.
enum Form {
    First,
    Further,
}

fn form_of(local: &str) -> Option<(Form, &str)> {
    let (word, rest) = local.split_at_checked(4)?;
    if !rest.starts_with(['=', '+', '-']) {
        return None;
    }
    match () {
        () if word.eq_ignore_ascii_case("srs0") => Some((Form::First, rest)),
        () if word.eq_ignore_ascii_case("srs1") => Some((Form::Further, rest)),
        () => None,
    }
}

fn letter(bits: u64) -> char {
    char::from(ALPHABET[usize::try_from(bits & 31).unwrap_or_default()])
}

fn day_in(text: &str) -> Option<u64> {
    let value = |octet: u8| ALPHABET.iter().position(|letter| *letter == octet.to_ascii_lowercase());
    match text.as_bytes() {
        [high, low] => Some((value(*high)? << 5 | value(*low)?) as u64),
        _ => None,
    }
}

fn address(local: &str, domain: &DomainName) -> Option<EmailAddress> {
    let quoted = || format!("\"{}\"@{domain}", local.replace('\\', "\\\\").replace('"', "\\\""));
    format!("{local}@{domain}").parse().or_else(|_| quoted().parse()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TODAY: u64 = 20_784;

    fn email(text: &str) -> EmailAddress {
        text.parse().expect(text)
    }

    fn key(octet: u8) -> SenderKey {
        SenderKey::new(&[octet; 32])
    }

    fn rewritten(sender: &str) -> EmailAddress {
        rewrite(&email(sender), &"shop.test".parse().expect("a domain"), &key(1), TODAY).expect("it fits")
    }

    #[test]
    fn f_01_what_was_rewritten_leads_back() {
        for sender in [
            "Anna.B@home.test",
            "bounces+1=2=anna=home.test-x@mail.news.test",
            "\"a b\"@home.test",
            &format!("{}@home.test", "l".repeat(64)),
        ] {
            let address = rewritten(sender);
            assert!(address.to_string().contains("SRS0=") && address.domain().as_str() == "shop.test");
            assert_eq!(restore(&address, &[key(2), key(1)], TODAY + 7), Some(Ok(email(sender))));
            // A host that folds case costs the case of the sender, nothing else.
            let folded = address.canonical();
            assert_eq!(restore(&folded, &[key(1)], TODAY), Some(Ok(email(sender).canonical())));
        }
        assert_eq!(restore(&email("srs0@shop.test"), &[key(1)], TODAY), None);
        assert_eq!(restore(&email("srs0x=a@shop.test"), &[key(1)], TODAY), None);
    }

    #[test]
    fn f_01_what_is_forged_or_old_does_not() {
        let good = rewritten("anna@home.test");
        assert_eq!(restore(&good, &[key(1)], TODAY + 8), Some(Err(NotRestored::Old)));
        assert_eq!(restore(&good, &[key(1)], TODAY - 1), Some(Err(NotRestored::Old)));
        assert_eq!(restore(&good, &[key(2)], TODAY), Some(Err(NotRestored::Forged)));
        let text = good.to_string();
        let mark = text.get(5..13).expect("a mark");
        for forged in [
            text.replace("anna", "bert"),
            text.replace("home.test", "other.test"),
            text.replace(mark, &mark.to_uppercase()),
            "SRS0=a=b@shop.test".to_owned(),
            "SRS1=abcdefgh=x@shop.test".to_owned(),
        ] {
            assert_eq!(
                restore(&email(&forged), &[key(1)], TODAY),
                Some(Err(NotRestored::Forged)),
                "{forged}"
            );
        }
    }

    #[test]
    fn f_01_a_second_hop_leads_to_the_first_and_grows_no_more() {
        let first = email("SRS0+AbCd=Xy=home.test=anna@first.test");
        let second = rewritten(&first.to_string());
        assert!(
            second.local().starts_with("SRS1=")
                && second.local().ends_with("=first.test=+AbCd=Xy=home.test=anna")
        );
        assert_eq!(restore(&second, &[key(1)], TODAY + 300), Some(Ok(first.clone())));
        let third =
            rewrite(&second, &"third.test".parse().expect("a domain"), &key(3), TODAY).expect("it fits");
        assert_eq!(third.local().len(), second.local().len());
        assert_eq!(restore(&third, &[key(3)], TODAY), Some(Ok(first)));
    }

    /// Found by fuzzing: such a sender was rewritten into one that led nowhere.
    #[test]
    fn f_01_what_only_looks_like_a_further_hop_leads_back_as_it_is() {
        for sender in ["SRS1=x=nodomain=abc@home.test", "srs1=x@home.test", "SRS1-a=b@home.test"] {
            let address = rewritten(sender);
            assert!(address.local().starts_with("SRS0="), "{address}");
            assert_eq!(restore(&address, &[key(1)], TODAY), Some(Ok(email(sender))));
        }
    }

    proptest! {
        #[test]
        fn anything_comes_back_or_is_refused(local in "[a-zA-Z0-9=+-]{1,64}", text in "\\PC{0,80}") {
            if let Ok(sender) = format!("{local}@home.test").parse::<EmailAddress>() {
                let domain = "shop.test".parse().expect("a domain");
                if let Some(address) = rewrite(&sender, &domain, &key(1), TODAY) {
                    let back = restore(&address, &[key(1)], TODAY);
                    prop_assert!(matches!(back, Some(Ok(_))), "{:?} {:?}", address, back);
                }
            }
            if let Ok(address) = format!("SRS0={text}@shop.test").parse::<EmailAddress>() {
                prop_assert!(!matches!(restore(&address, &[key(1)], TODAY), Some(Ok(_))));
            }
        }
    }
}
