//! What comes back to the sender of a member's copy: is it a report that the copy was not delivered for good? Pure.

use crate::content::Header;

/// Octets of a report that are looked at; what matters stands before the returned message.
const LOOKED_AT_BYTES: usize = 64 * 1024;

/// True for a delivery status notification (RFC 3464) of a failure for good. Whatever else comes to such an address (answers of
/// people on holiday, delays, spam) says nothing of the member.
pub(crate) fn is_failure(message: &[u8]) -> bool {
    let message = message.get(..LOOKED_AT_BYTES).unwrap_or(message);
    let (header, length) = Header::read(message);
    let kind =
        header.field("content-type").map(|field| field.text().to_ascii_lowercase()).unwrap_or_default();
    if !kind.starts_with("multipart/report") || !kind.contains("delivery-status") {
        return false;
    }
    let body = String::from_utf8_lossy(message.get(length..).unwrap_or_default());
    let (mut failed, mut for_good) = (false, false);
    for line in body.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.trim().to_ascii_lowercase().as_str() {
            "action" => failed |= value.trim().eq_ignore_ascii_case("failed"),
            "status" => for_good |= value.trim().starts_with("5."),
            _ => {}
        }
    }
    failed && for_good
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l_05_only_failures_for_good_count() {
        let report = |kind: &str, action: &str, status: &str| {
            format!(
                "From: MAILER-DAEMON@far.test\r\nContent-Type: {kind}\r\n\r\n--x\r\n\r\nsorry\r\n--x\r\n\
                 Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; far.test\r\n\r\n\
                 Action: {action}\r\nStatus: {status}\r\n--x--\r\n"
            )
        };
        let dsn = "multipart/report; report-type=delivery-status; boundary=x";
        assert!(is_failure(report(dsn, "failed", "5.1.1").as_bytes()));
        assert!(is_failure(
            report("Multipart/Report;\r\n report-type=\"delivery-status\"", "Failed", "5.0.0").as_bytes()
        ));
        assert!(!is_failure(report(dsn, "delayed", "4.4.1").as_bytes()));
        assert!(!is_failure(report(dsn, "failed", "4.4.7").as_bytes()));
        assert!(!is_failure(
            report("multipart/report; report-type=disposition-notification", "failed", "5.1.1").as_bytes()
        ));
        assert!(!is_failure(report("text/plain", "failed", "5.1.1").as_bytes()));
        assert!(!is_failure(b""));
    }
}
