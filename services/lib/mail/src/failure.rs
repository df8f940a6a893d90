//! The failure table: one [`Reason`] becomes a reply code, an enhanced code and a text, here and nowhere else.
//!
//! Rule R0: a permanent answer needs a reason that the domain itself gave. Whatever else goes wrong is
//! [`Reason::Unavailable`], which is temporary to SMTP (451), to AUTH (454) and to POP3 (`[SYS/TEMP]`).

use std::{borrow::Cow, fmt, str::FromStr};

use crate::PeerIp;

/// First question about every failure (RFC 5321 section 4.2.1): may trying again help?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// 4xx, `[SYS/TEMP]`.
    Temporary,
    /// 5xx, `[AUTH]`, `[SYS/PERM]`.
    Permanent,
}

/// Response code in front of a POP3 error text (RFC 2449 section 8, RFC 3206).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pop3Code {
    /// No code: the command was wrong, or the message is not there.
    None,
    /// The login was wrong.
    Auth,
    /// The login was right, the box is held by another session.
    InUse,
    /// Logins come too often.
    LoginDelay,
    /// A part is away.
    SysTemp,
    /// It will not get better by itself.
    SysPerm,
}

impl Pop3Code {
    /// The code in its brackets with a trailing space, or nothing.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Auth => "[AUTH] ",
            Self::InUse => "[IN-USE] ",
            Self::LoginDelay => "[LOGIN-DELAY] ",
            Self::SysTemp => "[SYS/TEMP] ",
            Self::SysPerm => "[SYS/PERM] ",
        }
    }
}

/// A reply of the table: `550 5.1.1 text` (RFC 5321 section 4.2, RFC 3463).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpReply {
    /// 200 to 599.
    pub code: u16,
    /// Class, subject and detail; the class is the first digit of the code. `None` for 3xx.
    pub enhanced: Option<(u8, u16, u16)>,
    /// One line for the peer: no host, path or SQL of ours.
    pub text: Cow<'static, str>,
}

impl fmt::Display for SmtpReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.code)?;
        if let Some((class, subject, detail)) = self.enhanced {
            write!(f, "{class}.{subject}.{detail} ")?;
        }
        f.write_str(&self.text)
    }
}

/// One row of the table: name over gRPC, SMTP code, enhanced subject and detail, POP3 code, text.
struct Row {
    name: &'static str,
    smtp: u16,
    subject: u16,
    detail: u16,
    pop3: Pop3Code,
    text: &'static str,
}

macro_rules! failure_table {
    ($( $(#[doc = $doc:literal])+ $variant:ident, $name:literal, $smtp:literal, ($subject:literal, $detail:literal), $pop3:ident, $text:literal; )+) => {
        /// Why something was not done. Each is one row of the failure table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $( $(#[doc = $doc])+ $variant, )+
        }

        impl Reason {
            /// Every reason, in the order of the table.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )+ ];

            fn row(self) -> Row {
                match self {
                    $( Self::$variant => Row {
                        name: $name, smtp: $smtp, subject: $subject, detail: $detail,
                        pop3: Pop3Code::$pop3, text: $text,
                    }, )+
                }
            }
        }
    };
}

failure_table! {
    // A part of ours
    /// A part is away, or gave an answer that is none (R0).
    Unavailable, "UNAVAILABLE", 451, (3, 0), SysTemp, "temporary failure on our side, please try again later";
    /// Versions or rights of our own parts do not fit; needs the operator.
    Misconfigured, "MISCONFIGURED", 451, (3, 5), SysTemp, "temporary failure on our side, please try again later";
    /// Disk or memory is short.
    InsufficientStorage, "INSUFFICIENT_STORAGE", 452, (3, 1), SysTemp, "insufficient system storage, please try again later";
    /// More at once than a part can take.
    Overloaded, "OVERLOADED", 451, (3, 2), SysTemp, "too busy, please try again later";
    /// This server is going down.
    ShuttingDown, "SHUTTING_DOWN", 421, (3, 2), SysTemp, "service is closing down, please try again";
    /// A part is away while a password is to be checked (RFC 4954 section 6).
    AuthenticationUnavailable, "AUTHENTICATION_UNAVAILABLE", 454, (7, 0), SysTemp, "temporary authentication failure, please try again later";

    // Recipients
    /// A hosted, live domain has nobody of this name.
    NoSuchMailbox, "NO_SUCH_MAILBOX", 550, (1, 1), None, "no such mailbox here";
    /// The domain is known here and not delegated yet.
    DomainNotLive, "DOMAIN_NOT_LIVE", 450, (3, 2), None, "mail for this domain is not in service yet, please try again later";
    /// The box is full.
    OverQuota, "OVER_QUOTA", 452, (2, 2), None, "mailbox is full: its owner can delete mail or raise the quota in the control panel";
    /// The recipient gets more mail than it may in an hour.
    InboundLimit, "INBOUND_LIMIT", 450, (2, 1), None, "this recipient gets too much mail now, please try again later";
    /// The list takes no post from this sender (RFC 3463: X.7.2).
    PostingNotPermitted, "POSTING_NOT_PERMITTED", 550, (7, 2), None, "you may not post to this mailing list";
    /// More recipients than one transaction may have (RFC 5321 section 4.5.3.1.10).
    TooManyRecipients, "TOO_MANY_RECIPIENTS", 452, (5, 3), None, "too many recipients";
    /// The session named too many unknown recipients.
    TooManyUnknownRecipients, "TOO_MANY_UNKNOWN_RECIPIENTS", 421, (7, 0), None, "too many unknown recipients";

    // Relay
    /// Neither a live grant nor AUTH. The text is completed with the mail host.
    RelayProhibited, "RELAY_PROHIBITED", 550, (7, 1), None, "relaying prohibited";
    /// The same before MAIL on a submission port (RFC 4954 section 6).
    AuthenticationRequired, "AUTHENTICATION_REQUIRED", 530, (7, 0), None, "relaying prohibited";
    /// The sender's domain belongs to another customer who did not allow it.
    SenderNotPermitted, "SENDER_NOT_PERMITTED", 550, (7, 1), None, "this sender address belongs to another customer";
    /// The domain of an author in the header belongs to another customer who did not allow it.
    AuthorNotPermitted, "AUTHOR_NOT_PERMITTED", 550, (7, 1), None, "an address in From or Sender belongs to another customer";
    /// Too many recipients in this hour.
    BudgetExhausted, "BUDGET_EXHAUSTED", 452, (7, 1), None, "sending limit reached, please try again later";
    /// What let this session send was taken away.
    Disconnected, "DISCONNECTED", 421, (7, 0), SysTemp, "disconnected by administrator";

    // Login
    /// Unknown login, wrong password, suspended, not live: all the same from outside.
    BadCredentials, "BAD_CREDENTIALS", 535, (7, 8), Auth, "login or password is wrong";
    /// The password is right, and the operator has stopped the box or its customer (RFC 5248: X.7.13). Nobody else hears it.
    AccountSuspended, "ACCOUNT_SUSPENDED", 525, (7, 13), SysPerm, "disconnected by administrator: this account is suspended, please contact your provider";
    /// Too many failures by this account or network.
    LoginThrottled, "LOGIN_THROTTLED", 454, (7, 0), LoginDelay, "too many login attempts, please wait a minute and try again";
    /// Too many failures in this session.
    TooManyFailures, "TOO_MANY_FAILURES", 421, (7, 0), Auth, "too many failed login attempts";
    /// The mechanism is not offered (RFC 4954 section 4).
    UnknownMechanism, "UNKNOWN_MECHANISM", 504, (5, 4), None, "unrecognized authentication type";
    /// The client cancelled AUTH.
    AuthenticationCancelled, "AUTHENTICATION_CANCELLED", 501, (5, 2), None, "authentication cancelled";
    /// The SASL answer is not base64, or not of the mechanism's form.
    AuthenticationMalformed, "AUTHENTICATION_MALFORMED", 501, (5, 2), None, "authentication data cannot be decoded";
    /// A password over a connection that anybody can read (RFC 4954 section 6).
    EncryptionRequired, "ENCRYPTION_REQUIRED", 538, (7, 11), None, "encryption is required for this login, use STARTTLS first";

    // Maildrop
    /// Right password, box held by another session. The text is completed with since and from.
    MailboxInUse, "MAILBOX_IN_USE", 450, (2, 1), InUse, "can't lock account";
    /// Right password, and the box was opened too short a time ago (RFC 2449 section 6.5). The text is completed with when it may be
    /// opened again.
    LoginTooSoon, "LOGIN_TOO_SOON", 450, (2, 1), LoginDelay, "this mailbox was checked a moment ago";
    /// The lock was lost: it ran out, or its owner freed the box.
    LockLost, "LOCK_LOST", 450, (2, 1), SysTemp, "some deleted messages not removed: this session lost its lock";
    /// The box was removed while the session was open.
    MailboxRemoved, "MAILBOX_REMOVED", 550, (2, 1), SysPerm, "this mailbox was removed";
    /// The stored message does not match its checksum.
    MessageDamaged, "MESSAGE_DAMAGED", 550, (3, 0), SysPerm, "this message is damaged; the others are not affected";
    /// The message was deleted meanwhile.
    MessageGone, "MESSAGE_GONE", 550, (2, 0), None, "this message is gone";

    // Messages
    /// Over the size limit (RFC 1870 section 6).
    MessageTooLarge, "MESSAGE_TOO_LARGE", 552, (3, 4), None, "message is too large";
    /// A loop: our own Delivered-To, or too many hops (RFC 5321 section 6.3).
    MailLoop, "MAIL_LOOP", 554, (4, 6), None, "mail loop detected";
    /// Bare CR, bare LF or NUL in the content (RFC 5321 section 2.3.8).
    BadContent, "BAD_CONTENT", 550, (6, 0), None, "message has a bare CR, a bare LF or a NUL";
    /// The author's domain asks to refuse what it did not send (RFC 7489 section 10.3, RFC 7372: X.7.26).
    FailsAuthentication, "FAILS_AUTHENTICATION", 550, (7, 26), None, "message fails the policy of its author's domain (DMARC)";
    /// The sender's domain has the null MX: nothing can be told to the sender (RFC 7505 section 4.2, RFC 7372: X.7.27).
    SenderTakesNoMail, "SENDER_TAKES_NO_MAIL", 550, (7, 27), None, "sender address cannot receive mail (null MX)";
    /// The spam scanner rejects it, and a recipient's domain follows it (RFC 3463: X.7.1).
    LooksLikeSpam, "LOOKS_LIKE_SPAM", 550, (7, 1), None, "message looks like spam";
    /// The spam scanner wants to see it again later, or gave no answer and the operator has such mail put off.
    SpamUndecided, "SPAM_UNDECIDED", 451, (7, 1), None, "message cannot be judged now, please try again later";
    /// A line of content over the limit.
    ContentLineTooLong, "CONTENT_LINE_TOO_LONG", 554, (6, 0), None, "message has a line that is too long";
    /// The header block is over the limit.
    HeadersTooLarge, "HEADERS_TOO_LARGE", 552, (3, 4), None, "message headers are too large";

    // Commands
    /// No such command.
    UnknownCommand, "UNKNOWN_COMMAND", 500, (5, 1), None, "command not recognized";
    /// A command of the protocol that is not offered.
    NotImplemented, "NOT_IMPLEMENTED", 502, (5, 1), None, "command not implemented";
    /// Not now.
    BadSequence, "BAD_SEQUENCE", 503, (5, 1), None, "bad sequence of commands";
    /// Not so.
    BadArguments, "BAD_ARGUMENTS", 501, (5, 4), None, "syntax error in arguments";
    /// A parameter of MAIL or RCPT that is not offered (RFC 5321 section 4.1.1.11).
    UnknownParameter, "UNKNOWN_PARAMETER", 555, (5, 4), None, "parameter not recognized";
    /// The path is no address (RFC 5321 section 4.1.2).
    BadSenderAddress, "BAD_SENDER_ADDRESS", 501, (1, 7), None, "sender address is not valid";
    /// The path is no address (RFC 5321 section 4.1.2).
    BadRecipientAddress, "BAD_RECIPIENT_ADDRESS", 501, (1, 3), None, "recipient address is not valid";
    /// A non-ASCII path without SMTPUTF8 (RFC 6531 section 3.5).
    NonAsciiAddress, "NON_ASCII_ADDRESS", 553, (6, 7), None, "non-ASCII address needs SMTPUTF8";
    /// DATA without one good recipient (RFC 5321 section 3.3).
    NoValidRecipients, "NO_VALID_RECIPIENTS", 554, (5, 1), None, "no valid recipients";
    /// The line is over the limit.
    LineTooLong, "LINE_TOO_LONG", 500, (5, 2), None, "line too long";
    /// A SASL line over the limit (RFC 4954 section 4).
    SaslLineTooLong, "SASL_LINE_TOO_LONG", 500, (5, 6), None, "authentication exchange line is too long";
    /// NUL, bare CR or bare LF in a command.
    BadCharacter, "BAD_CHARACTER", 500, (5, 2), None, "command has a control character";
    /// The client speaks before it may (RFC 2920 section 3.1).
    Unsynchronized, "UNSYNCHRONIZED", 554, (5, 0), None, "protocol synchronization error";
    /// Too many wrong commands.
    TooManyErrors, "TOO_MANY_ERRORS", 421, (7, 0), None, "too many errors";
    /// The client was silent for too long (RFC 5321 section 4.5.3.2).
    IdleTimeout, "IDLE_TIMEOUT", 421, (4, 2), None, "timeout, closing connection";
    /// TLS is not to be had.
    TlsNotAvailable, "TLS_NOT_AVAILABLE", 454, (7, 0), SysTemp, "TLS not available";
    /// Too many connections at once.
    TooManyConnections, "TOO_MANY_CONNECTIONS", 421, (7, 0), SysTemp, "too many connections, please try again later";

    // Administration
    /// What was asked for does not exist.
    NotFound, "NOT_FOUND", 550, (1, 1), None, "not found";
    /// The name is taken; the detail says by which kind.
    AlreadyExists, "ALREADY_EXISTS", 550, (5, 4), None, "already exists";
    /// A field of the request is wrong; the detail names it and says why.
    InvalidArgument, "INVALID_ARGUMENT", 501, (5, 4), None, "invalid argument";
    /// It cannot be done as things stand; the detail says why.
    FailedPrecondition, "FAILED_PRECONDITION", 550, (5, 4), None, "not possible now";
    /// The customer has as many of these as it may have; the detail says what and how many.
    LimitReached, "LIMIT_REACHED", 452, (5, 3), None, "limit reached";
    /// Somebody else changed it since it was read.
    EtagMismatch, "ETAG_MISMATCH", 450, (5, 4), None, "it was changed meanwhile, read it again";
    /// The caller may not do this.
    CallerNotPermitted, "CALLER_NOT_PERMITTED", 550, (7, 1), None, "not permitted";
    /// The caller did not say who it is.
    CallerUnknown, "CALLER_UNKNOWN", 530, (7, 0), None, "who are you? a valid assertion is needed";
}

impl Reason {
    /// Name in `google.rpc.ErrorInfo.reason` (domain `postern`).
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Temporary or permanent, to SMTP.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        if self.row().smtp < 500 { Verdict::Temporary } else { Verdict::Permanent }
    }

    /// Text for the peer.
    #[must_use]
    pub fn text(self) -> &'static str {
        self.row().text
    }

    /// Response code for POP3.
    #[must_use]
    pub fn pop3_code(self) -> Pop3Code {
        self.row().pop3
    }

    /// The SMTP reply with the table's own text.
    #[must_use]
    pub fn smtp_reply(self) -> SmtpReply {
        let row = self.row();
        // The class is derived, so that it can never differ from the code (RFC 2034 section 4).
        let class = if row.smtp < 500 { 4 } else { 5 };
        SmtpReply {
            code: row.smtp,
            enhanced: Some((class, row.subject, row.detail)),
            text: Cow::Borrowed(row.text),
        }
    }

    /// The SMTP reply with more said after the table's text: `text: detail`.
    ///
    /// What stands in the detail must be fit for the peer; control characters become spaces.
    #[must_use]
    pub fn smtp_reply_with(self, detail: &str) -> SmtpReply {
        let mut reply = self.smtp_reply();
        reply.text = Cow::Owned(format!("{}: {}", reply.text, one_line(detail)));
        reply
    }

    /// What POP3 says after `-ERR `, without CRLF.
    #[must_use]
    pub fn pop3_text(self) -> String {
        format!("{}{}", self.row().pop3.as_str(), self.row().text)
    }

    /// The same with more said after the table's text.
    #[must_use]
    pub fn pop3_text_with(self, detail: &str) -> String {
        format!("{}: {}", self.pop3_text(), one_line(detail))
    }

    /// What POP3 says to a login for this reason. To a client, a login that failed without a response code is a wrong
    /// password; so a reason that has none becomes temporary there (R0, P-42).
    #[must_use]
    pub fn at_pop3_login(self) -> Self {
        match self.pop3_code() {
            // Without a code on purpose: the password was not looked at (P-30).
            Pop3Code::None if self == Self::EncryptionRequired => self,
            Pop3Code::None => Self::Unavailable,
            Pop3Code::Auth
            | Pop3Code::InUse
            | Pop3Code::LoginDelay
            | Pop3Code::SysTemp
            | Pop3Code::SysPerm => self,
        }
    }

    /// What SMTP says to AUTH for this reason: a verdict on the login as it is, everything else is a part that is away
    /// (RFC 4954 section 6).
    #[must_use]
    pub fn at_smtp_login(self) -> Self {
        match self {
            Self::BadCredentials
            | Self::LoginThrottled
            | Self::AccountSuspended
            | Self::EncryptionRequired => self,
            _ => Self::AuthenticationUnavailable,
        }
    }

    /// The detail of [`Self::MailboxInUse`]: since when (seconds of the Unix epoch, shown as time of day in UTC) and from
    /// where the box is held, as far as that is known (PROMISES.md, "The lock").
    #[must_use]
    pub fn held_since(since_seconds: Option<i64>, peer: Option<PeerIp>) -> String {
        let since = since_seconds.map(|seconds| {
            let minute = seconds.rem_euclid(86_400) / 60;
            format!(" since {:02}:{:02}", minute / 60, minute % 60)
        });
        let peer = peer.map(|peer| format!(" from {peer}"));
        let (since, peer) = (since.unwrap_or_default(), peer.unwrap_or_default());
        format!("in use{since}{peer}; it frees itself within 60 s of that session ending")
    }

    /// The detail of [`Self::LoginTooSoon`]: how long to wait.
    #[must_use]
    pub fn login_again_in(seconds: u64) -> String {
        format!("log in again in {seconds} s")
    }

    /// The detail of [`Self::BudgetExhausted`]: budgets are by the hour, so each frees with the next one (shown in UTC).
    #[must_use]
    pub fn budget_frees(now_seconds: i64) -> String {
        let next_hour = (now_seconds.rem_euclid(86_400) / 3600 + 1) % 24;
        format!("it frees at {next_hour:02}:00 UTC")
    }

    /// The detail of [`Self::RelayProhibited`] and [`Self::AuthenticationRequired`]: what to do, at which host.
    #[must_use]
    pub fn check_mail_first(mail_host: &str) -> String {
        format!("check your mail at {mail_host} first, then send again")
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl FromStr for Reason {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|reason| reason.name() == name).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_read_back() {
        let names: HashSet<_> = Reason::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert_eq!(reason.name().parse(), Ok(*reason));
        }
    }

    #[test]
    fn s_90_class_digit_is_that_of_the_code() {
        for reason in Reason::ALL {
            let reply = reason.smtp_reply();
            let (class, ..) = reply.enhanced.expect("every failure has an enhanced code");
            assert_eq!(u16::from(class), reply.code / 100, "{reason:?}");
            assert!(reply.to_string().len() <= 510, "{reason:?}");
        }
    }

    #[test]
    fn what_is_temporary_to_smtp_is_never_permanent_to_pop3() {
        for reason in Reason::ALL {
            if reason.verdict() == Verdict::Temporary && *reason != Reason::TooManyFailures {
                assert!(!matches!(reason.pop3_code(), Pop3Code::Auth | Pop3Code::SysPerm), "{reason:?}");
            }
        }
    }

    #[test]
    fn the_phrase_of_the_platform() {
        let hint = Reason::check_mail_first("mail.homepage.test");
        assert_eq!(
            Reason::RelayProhibited.smtp_reply_with(&hint).to_string(),
            "550 5.7.1 relaying prohibited: check your mail at mail.homepage.test first, then send again"
        );
    }

    #[test]
    fn p_40_who_holds_the_box() {
        let peer = "::ffff:203.0.113.9".parse().ok();
        // 2026-11-23 12:03:44 UTC.
        let since = Some(1_795_435_424);
        let tail = "it frees itself within 60 s of that session ending";
        let held = Reason::held_since;
        assert_eq!(held(since, peer), format!("in use since 12:03 from 203.0.113.9; {tail}"));
        assert_eq!(held(since, None), format!("in use since 12:03; {tail}"));
        assert_eq!(held(None, None), format!("in use; {tail}"));
    }

    #[test]
    fn what_a_login_hears_is_a_verdict_or_temporary() {
        for reason in Reason::ALL {
            let coded = reason.at_pop3_login().pop3_code() != Pop3Code::None;
            assert!(coded || *reason == Reason::EncryptionRequired, "{reason:?}");
            let said = reason.at_smtp_login();
            let verdicts = [Reason::BadCredentials, Reason::AccountSuspended, Reason::EncryptionRequired];
            assert!(said.verdict() == Verdict::Temporary || verdicts.contains(&said), "{reason:?}");
        }
    }

    #[test]
    fn a_detail_cannot_start_a_second_line() {
        let reply = Reason::InvalidArgument.smtp_reply_with("a\r\n250 ok");
        assert!(!reply.to_string().contains(['\r', '\n']));
    }
}
