//! The time a call may take until its answer begins, as `grpc-timeout` carries it.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::access::{Method, Shape};

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// Deadline of a call that brings none (conformance, "Deadlines").
pub(crate) const DEFAULT: Duration = Duration::from_secs(3);
const DEFAULT_TEXT: HeaderValue = HeaderValue::from_static("3S");

/// What the caller set, else the default; an upload has none by itself, its caller knows how long it sends.
pub(crate) fn settle(headers: &mut HeaderMap, method: Option<&Method>) -> Option<Duration> {
    if let Some(value) = headers.get(GRPC_TIMEOUT) {
        return value.to_str().ok().and_then(parse).or(Some(DEFAULT));
    }
    if method.is_some_and(|method| method.shape == Shape::Upload) {
        return None;
    }
    headers.insert(GRPC_TIMEOUT, DEFAULT_TEXT);
    Some(DEFAULT)
}

/// gRPC over HTTP/2, "Timeout": at most eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let digits = text.strip_suffix(unit)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        'H' => Duration::from_secs(count * 3600),
        'M' => Duration::from_secs(count * 60),
        'S' => Duration::from_secs(count),
        'm' => Duration::from_millis(count),
        'u' => Duration::from_micros(count),
        'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access;

    #[test]
    fn timeouts_are_read() {
        assert_eq!(parse("3S"), Some(Duration::from_secs(3)));
        assert_eq!(parse("1500000u"), Some(Duration::from_millis(1500)));
        assert_eq!(parse("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for bad in ["", "S", "3", "3s", "123456789S", "-1S", "é", "1.5S"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_caller_decides_else_three_seconds_but_not_for_an_upload() {
        let read = access::method("/postern.account.v1.DirectoryService/LookupLogin");
        let upload = access::method("/postern.delivery.v1.SubmissionService/SubmitMessage");
        let mut headers = HeaderMap::new();
        assert_eq!(settle(&mut headers, upload), None);
        assert!(headers.is_empty());
        assert_eq!(settle(&mut headers, read), Some(DEFAULT));
        assert_eq!(headers.get(GRPC_TIMEOUT), Some(&DEFAULT_TEXT));
        headers.insert(GRPC_TIMEOUT, HeaderValue::from_static("45S"));
        assert_eq!(settle(&mut headers, upload), Some(Duration::from_secs(45)));
    }
}
