//! Replies as they go out (RFC 5321 section 4.2, RFC 2034): failures come from the table in lib/mail, the rest is here.
//!
//! No reply line is longer than 512 octets with its CRLF, and no text can start a second line.

use std::{borrow::Cow, fmt::Write as _};

use bytes::{BufMut as _, BytesMut};
use postern_mail::{MessageId, Reason, SmtpReply};

/// Reply line with its CRLF, octets (RFC 5321 section 4.5.3.1.5).
pub const REPLY_LINE_MAX_BYTES: usize = 512;

/// One reply, of one line or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    first: SmtpReply,
    /// Texts of the lines after the first.
    more: Vec<Cow<'static, str>>,
}

impl Reply {
    fn new(code: u16, enhanced: Option<(u16, u16)>, text: impl Into<Cow<'static, str>>) -> Self {
        // The class is derived, so that it cannot differ from the code (RFC 2034 section 4).
        let class = if code < 300 { 2 } else { 5 };
        let enhanced = enhanced.map(|(subject, detail)| (class, subject, detail));
        Self { first: SmtpReply { code, enhanced, text: text.into() }, more: Vec::new() }
    }

    /// 220 of a new connection.
    #[must_use]
    pub fn greeting(host: &str) -> Self {
        Self::new(220, None, format!("{host} ESMTP Postern"))
    }

    /// 220 before the TLS handshake (RFC 3207 section 4).
    #[must_use]
    pub fn ready_for_tls() -> Self {
        Self::new(220, Some((0, 0)), "ready to start TLS")
    }

    /// 221 to QUIT.
    #[must_use]
    pub fn goodbye(host: &str) -> Self {
        Self::new(221, Some((0, 0)), format!("{host} closing connection"))
    }

    /// 250 to HELO.
    #[must_use]
    pub fn helo(host: &str) -> Self {
        Self::new(250, None, host.to_owned())
    }

    /// 250 to EHLO, one keyword a line (RFC 5321 section 4.1.1.1).
    #[must_use]
    pub fn ehlo(host: &str, keywords: Vec<Cow<'static, str>>) -> Self {
        Self { more: keywords, ..Self::helo(host) }
    }

    /// 250 to NOOP and RSET.
    #[must_use]
    pub fn done() -> Self {
        Self::new(250, Some((0, 0)), "ok")
    }

    /// 250 to MAIL.
    #[must_use]
    pub fn sender_ok() -> Self {
        Self::new(250, Some((1, 0)), "sender ok")
    }

    /// 250 to RCPT.
    #[must_use]
    pub fn recipient_ok() -> Self {
        Self::new(250, Some((1, 5)), "recipient ok")
    }

    /// 354 to DATA.
    #[must_use]
    pub fn start_mail_input() -> Self {
        Self::new(354, None, "start mail input, end with <CRLF>.<CRLF>")
    }

    /// 250 to a chunk that is not the last (RFC 3030 section 2).
    #[must_use]
    pub fn chunk_ok(size_bytes: u64) -> Self {
        Self::new(250, Some((0, 0)), format!("{size_bytes} octets received"))
    }

    /// 250 after the final dot: the message is ours now.
    #[must_use]
    pub fn queued(id: MessageId) -> Self {
        Self::new(250, Some((0, 0)), format!("queued as {id}"))
    }

    /// 252 to VRFY, whatever was asked (RFC 5321 section 3.5.3).
    #[must_use]
    pub fn cannot_verify() -> Self {
        Self::new(252, Some((0, 0)), "cannot verify, but will take mail and try to deliver it")
    }

    /// 214 to HELP.
    #[must_use]
    pub fn help() -> Self {
        Self::new(214, Some((0, 0)), "see RFC 5321")
    }

    /// 235 after a good login (RFC 4954 section 6).
    #[must_use]
    pub fn authenticated() -> Self {
        Self::new(235, Some((7, 0)), "authentication succeeded")
    }

    /// 334 with a challenge, base64 (RFC 4954 section 4).
    #[must_use]
    pub fn challenge(base64: &'static str) -> Self {
        Self::new(334, None, base64)
    }

    /// A failure with more said about it.
    #[must_use]
    pub fn failure(reason: Reason, detail: Option<&str>) -> Self {
        let first = detail.map_or_else(|| reason.smtp_reply(), |detail| reason.smtp_reply_with(detail));
        Self { first, more: Vec::new() }
    }

    /// The three digits.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.first.code
    }

    /// Adds the reply to `out`.
    pub fn write_to(&self, out: &mut BytesMut) {
        let texts = std::iter::once(&self.first.text).chain(&self.more);
        let last = self.more.len();
        for (i, text) in texts.enumerate() {
            let start = out.len();
            let between = if i < last { '-' } else { ' ' };
            // Writing into a BytesMut cannot fail.
            let _ = write!(out, "{}{between}", self.first.code);
            if let Some((class, subject, detail)) = self.first.enhanced {
                let _ = write!(out, "{class}.{subject}.{detail} ");
            }
            let room = REPLY_LINE_MAX_BYTES - 2 - (out.len() - start);
            // Replies are printable US-ASCII (RFC 5321 section 4.2); UTF-8 only where RFC 6531 was asked for.
            out.extend(text.chars().take(room).map(|c| if matches!(c, ' '..='~') { c as u8 } else { b'?' }));
            out.put_slice(b"\r\n");
        }
    }
}

impl From<Reason> for Reply {
    fn from(reason: Reason) -> Self {
        Self::failure(reason, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(reply: &Reply) -> String {
        let mut out = BytesMut::new();
        reply.write_to(&mut out);
        String::from_utf8(out.to_vec()).expect("ascii")
    }

    #[test]
    fn replies_look_like_the_rfc_says() {
        let id: MessageId = "0193c2a1b4c97f3e8d4a5b6c7d8e9f00".parse().expect("id");
        for (reply, wire) in [
            (Reply::greeting("mail.x.test"), "220 mail.x.test ESMTP Postern\r\n"),
            (Reply::done(), "250 2.0.0 ok\r\n"),
            (Reply::recipient_ok(), "250 2.1.5 recipient ok\r\n"),
            (Reply::challenge(""), "334 \r\n"),
            (Reply::queued(id), "250 2.0.0 queued as 0193c2a1b4c97f3e8d4a5b6c7d8e9f00\r\n"),
            (Reason::NoSuchMailbox.into(), "550 5.1.1 no such mailbox here\r\n"),
            (
                Reply::ehlo("mail.x.test", vec!["SIZE 1".into(), "HELP".into()]),
                "250-mail.x.test\r\n250-SIZE 1\r\n250 HELP\r\n",
            ),
        ] {
            assert_eq!(text(&reply), wire);
        }
    }

    #[test]
    fn s_90_first_digits_agree() {
        for reply in [
            Reply::done(),
            Reply::cannot_verify(),
            Reply::authenticated(),
            Reply::help(),
            Reply::goodbye("h"),
            Reply::sender_ok(),
        ] {
            let wire = text(&reply);
            assert_eq!(wire.as_bytes()[0], wire.as_bytes()[4], "{wire}");
        }
    }

    #[test]
    fn no_line_is_over_the_limit_and_no_text_starts_another() {
        let reply = Reply::failure(Reason::BadArguments, Some(&format!("\r\n250 ok\0ü{}", "x".repeat(3000))));
        let wire = text(&reply);
        assert_eq!(wire.len(), REPLY_LINE_MAX_BYTES);
        assert_eq!(wire.matches('\r').count(), 1);
        assert!(wire.ends_with("\r\n"));
        assert!(wire.is_ascii());
    }
}
