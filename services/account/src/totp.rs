//! Codes that change with time (TOTP, RFC 6238, with SHA-1 and steps of 30 seconds as every authenticator knows them).

use ring::hmac;

/// Octets of a secret: as long as the hash (RFC 4226 section 4, R6).
pub(crate) const SECRET_BYTES: usize = 20;
/// Seconds of a step.
const STEP_SECONDS: i64 = 30;
/// Steps that the clock of an authenticator, or whoever types, may be off.
const STEPS_OFF: i64 = 1;
const DIGITS: usize = 6;

/// The step that a code is of; `None`: it is of none that is taken now, or of one that is not newer than `last_step`.
pub(crate) fn step_of(secret: &[u8], code: &str, seconds: i64, last_step: i64) -> Option<i64> {
    let typed: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    if typed.len() != DIGITS || !typed.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let now = seconds.div_euclid(STEP_SECONDS);
    let steps = now - STEPS_OFF..=now + STEPS_OFF;
    steps.filter(|step| *step > last_step).find(|step| typed == shown(secret, *step))
}

/// What an authenticator shows in a step.
pub(crate) fn shown(secret: &[u8], step: i64) -> String {
    format!("{:06}", number(secret, step) % 1_000_000)
}

/// 31 bits of the step's HMAC (RFC 4226 section 5.3).
fn number(secret: &[u8], step: i64) -> u32 {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let octets = tag.as_ref();
    let offset = usize::from(octets.last().copied().unwrap_or(0) & 0x0f);
    let word = octets.get(offset..offset + 4).and_then(|word| word.try_into().ok()).unwrap_or([0; 4]);
    u32::from_be_bytes(word) & 0x7fff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238 appendix B.
    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn codes_are_those_of_the_standard() {
        for (seconds, code) in [
            (59, 94_287_082),
            (1_111_111_109, 7_081_804),
            (1_111_111_111, 14_050_471),
            (1_234_567_890, 89_005_924),
            (2_000_000_000, 69_279_037),
            (20_000_000_000_i64, 65_353_130),
        ] {
            assert_eq!(number(SECRET, seconds / 30) % 100_000_000, code, "{seconds}");
        }
        assert_eq!(shown(SECRET, 1), "287082");
        assert_eq!(shown(SECRET, 37_037_036), "081804", "with its zero in front");
    }

    #[test]
    fn a_code_is_taken_around_its_time_and_never_again() {
        let code = shown(SECRET, 1000);
        for (seconds, taken) in [
            (999 * 30 - 1, false),
            (999 * 30, true),
            (1000 * 30, true),
            (1001 * 30 + 29, true),
            (1002 * 30, false),
        ] {
            assert_eq!(step_of(SECRET, &code, seconds, 0).is_some(), taken, "{seconds}");
        }
        assert_eq!(step_of(SECRET, &code, 30_000, 999), Some(1000));
        assert_eq!(step_of(SECRET, &code, 30_000, 1000), None);
        assert_eq!(step_of(SECRET, &format!(" {} {} ", &code[..3], &code[3..]), 30_000, 0), Some(1000));
        for junk in ["", "12345", "1234567", "12345x", "\u{0661}23456"] {
            assert_eq!(step_of(SECRET, junk, 30_000, 0), None, "{junk}");
        }
    }
}
