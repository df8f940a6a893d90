//! One SMTP session as a pure function of (state, event): no socket, no clock, no await.
//!
//! Third step of the walk: [`crate::connection`] turns octets into [`Event`]s, [`Session::step`] answers with replies
//! and with what comes next, [`crate::upstream`] answers its questions.

mod event;
mod login;
mod transaction;

use std::{borrow::Cow, sync::Arc};

use postern_mail::{PeerIp, Reason, sasl::Exchange};
use postern_smtp::{
    command::{ClientName, Command, Offers, Refused},
    reply::Reply,
};

pub(crate) use event::{
    Accepted, Door, Effects, Envelope, Event, Login, Next, Question, RelayRight, Revocation, Stamp,
};
pub(crate) use transaction::address_bytes;
use transaction::{Asked, Transaction};

/// Wrong commands after which a session ends (S-07). Good ones between them do not help.
const ERRORS_MAX: u32 = 20;

/// What is fixed for the life of a session.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// Which port.
    pub(crate) door: Door,
    /// Our name.
    pub(crate) mail_host: Arc<str>,
    /// The client.
    pub(crate) peer: PeerIp,
    /// STARTTLS can be offered.
    pub(crate) tls_available: bool,
    /// AUTH may go in plain text.
    pub(crate) plaintext_login: bool,
    /// And then the domain of the login decides whether it takes that.
    pub(crate) plaintext_by_domain: bool,
    /// Content, octets.
    pub(crate) message_max_bytes: Option<u64>,
    /// Recipients of one message.
    pub(crate) recipients_max: usize,
    /// Refused recipients after which the session ends; `None`: no limit.
    pub(crate) refused_recipients_max: Option<u32>,
    /// Its mail counts against what a recipient here gets in an hour.
    pub(crate) inbound_limited: bool,
}

/// Where a session stands. What belongs to a state lives in it.
#[derive(Debug)]
enum Phase {
    /// Before the greeting.
    New,
    /// Between transactions.
    Ready,
    /// Within AUTH, the client is to answer.
    Exchange(Exchange),
    /// Within AUTH, auth is to answer.
    CheckingLogin,
    /// After MAIL, auth is to say whether the client may send, and in this name.
    CheckingSender(Transaction),
    /// After MAIL.
    Open(Transaction),
    /// After RCPT, account and auth are to answer.
    CheckingRecipients(Transaction, Vec<Asked>),
    /// After DATA or the last BDAT, content is read and stored.
    Content(Stamp),
    /// After a BDAT that is not the last.
    Chunks(Stamp),
    /// After STARTTLS.
    Handshake,
    /// Over.
    Closed,
}

/// What HELO or EHLO said.
#[derive(Clone, Debug)]
struct Hello {
    name: ClientName,
    extended: bool,
}

/// The machine of one connection.
#[derive(Debug)]
pub(crate) struct Session {
    profile: Profile,
    phase: Phase,
    hello: Option<Hello>,
    /// Version and cipher suite.
    tls: Option<String>,
    login: Option<Login>,
    login_failures: u32,
    errors: u32,
    refused_recipients: u32,
    /// What recipients were accepted by, and the login: whoever loses one of these is cut off.
    rights: Vec<RelayRight>,
}

impl Session {
    /// A session before its first event.
    #[must_use]
    pub(crate) fn new(profile: Profile) -> Self {
        Self {
            profile,
            phase: Phase::New,
            hello: None,
            tls: None,
            login: None,
            login_failures: 0,
            errors: 0,
            refused_recipients: 0,
            rights: Vec::new(),
        }
    }

    /// What the command grammar may take now.
    #[must_use]
    pub(crate) fn offers(&self) -> Offers {
        // An extension is there for who said EHLO (RFC 5321 section 4.1.1.1).
        let smtp_utf8 = self.hello.as_ref().is_some_and(|hello| hello.extended);
        Offers { smtp_utf8, auth: self.profile.door.is_submission() }
    }

    /// True between the chunks of one message.
    #[must_use]
    pub(crate) fn is_between_chunks(&self) -> bool {
        matches!(self.phase, Phase::Chunks(_))
    }

    /// True from MAIL to the word on its content.
    #[must_use]
    pub(crate) fn is_in_transaction(&self) -> bool {
        match self.phase {
            Phase::CheckingSender(_)
            | Phase::Open(_)
            | Phase::CheckingRecipients(..)
            | Phase::Content(_)
            | Phase::Chunks(_) => true,
            Phase::New
            | Phase::Ready
            | Phase::Exchange(_)
            | Phase::CheckingLogin
            | Phase::Handshake
            | Phase::Closed => false,
        }
    }

    /// Octets of what was named in the transaction so far, without what the answers to a group of RCPT will add.
    #[must_use]
    pub(crate) fn named_bytes(&self) -> usize {
        match &self.phase {
            Phase::CheckingSender(transaction) | Phase::Open(transaction) => transaction.named_bytes(),
            Phase::CheckingRecipients(transaction, asked) => {
                transaction.named_bytes() + asked.iter().map(Asked::named_bytes).sum::<usize>()
            }
            _ => 0,
        }
    }

    /// True while a revocation could end this session.
    #[must_use]
    pub(crate) fn has_rights(&self) -> bool {
        !self.rights.is_empty()
    }

    /// True when this session relies on a right that is no more.
    #[must_use]
    pub(crate) fn is_ended_by(&self, revocation: &Revocation) -> bool {
        self.rights.iter().any(|right| revocation.ends(right, self.profile.peer))
    }

    /// Takes one event.
    pub(crate) fn step(&mut self, event: Event) -> Effects {
        match event {
            Event::Opened { spoke_early: false } => {
                self.phase = Phase::Ready;
                reply(Reply::greeting(&self.profile.mail_host), Next::Command)
            }
            // Whoever speaks first is no mail server (S-01, RFC 5321 section 3.1).
            Event::Opened { spoke_early: true } | Event::SpokeBeforeTls => self.close(Reason::Unsynchronized),
            Event::TlsEstablished(tls) => self.tls_established(tls),
            Event::Idle => self.close(Reason::IdleTimeout),
            Event::ShuttingDown => self.close(Reason::ShuttingDown),
            Event::BrokenLine(reason) => self.close(reason),
            Event::Revoked(revocation) => {
                if self.is_ended_by(&revocation) {
                    return self.close(Reason::Disconnected);
                }
                Effects { replies: Vec::new(), next: Next::Stay }
            }
            // What stands behind the end of a group (RFC 2920 section 3.1) was smuggled in (S-41, S-71).
            Event::Command { hasty: true, .. } | Event::Refused { hasty: true, .. } => {
                self.close(Reason::Unsynchronized)
            }
            Event::Refused { refused, hasty: false } => self.refuse(refused),
            Event::Command { command, hasty: false } => self.command(command),
            Event::Mail(mail, stamp) => self.mail(mail, stamp),
            Event::Recipients(recipients) => self.recipients(recipients),
            Event::SaslLine(line) => self.sasl_line(&line),
            Event::SaslLineTooLong => self.sasl_line_too_long(),
            Event::LoginAnswered(answer) => self.login_answered(answer),
            Event::SenderAnswered(answer) => self.sender_answered(answer),
            Event::RecipientsAnswered(answers) => self.recipients_answered(answers),
            Event::ChunkAnswered(answer) => self.chunk_answered(answer),
            Event::ContentAnswered(answer) => self.content_answered(answer),
        }
    }

    fn command(&mut self, command: Command) -> Effects {
        match command {
            Command::Helo(name) => self.helo(Hello { name, extended: false }),
            Command::Ehlo(name) => self.helo(Hello { name, extended: true }),
            Command::Data => self.data(),
            Command::Rset => {
                self.phase = Phase::Ready;
                reply(Reply::done(), Next::Command)
            }
            Command::Noop => reply(Reply::done(), Next::Command),
            Command::Help => reply(Reply::help(), Next::Command),
            Command::Vrfy => reply(Reply::cannot_verify(), Next::Command),
            Command::Quit => {
                self.phase = Phase::Closed;
                reply(Reply::goodbye(&self.profile.mail_host), Next::Close)
            }
            Command::StartTls => self.start_tls(),
            Command::Auth(mechanism, initial) => self.auth(mechanism, initial),
            Command::Bdat(Some(chunk)) => self.bdat(chunk),
            // What follows is content, and nobody can say how much of it (RFC 3030 section 2).
            Command::Bdat(None) => self.close(Reason::BadArguments),
            // They come as events of their own.
            Command::Mail(_) | Command::Rcpt(_) => self.refuse(Reason::BadSequence),
        }
    }

    /// RFC 5321 section 4.1.4: EHLO resets a transaction.
    fn helo(&mut self, hello: Hello) -> Effects {
        self.phase = Phase::Ready;
        let host = &self.profile.mail_host;
        let answer = if hello.extended { Reply::ehlo(host, self.keywords()) } else { Reply::helo(host) };
        self.hello = Some(hello);
        reply(answer, Next::Command)
    }

    fn keywords(&self) -> Vec<Cow<'static, str>> {
        let size =
            self.profile.message_max_bytes.map_or(Cow::Borrowed("SIZE"), |max| format!("SIZE {max}").into());
        let mut keywords: Vec<Cow<'static, str>> = vec![
            "PIPELINING".into(),
            size,
            "8BITMIME".into(),
            "SMTPUTF8".into(),
            "ENHANCEDSTATUSCODES".into(),
            "CHUNKING".into(),
            "DSN".into(),
        ];
        if self.tls_is_offered() {
            keywords.push("STARTTLS".into());
        }
        if self.login_is_offered() {
            keywords.push("AUTH PLAIN LOGIN".into());
        }
        keywords
    }

    fn tls_is_offered(&self) -> bool {
        self.profile.tls_available && self.tls.is_none()
    }

    /// RFC 3207 section 4.
    fn start_tls(&mut self) -> Effects {
        // A session must not carry anything from plain text into TLS, nor a login (S-72).
        if self.tls.is_some() || self.login.is_some() || !matches!(self.phase, Phase::Ready) {
            return self.refuse(Reason::BadSequence);
        }
        if !self.profile.tls_available {
            return self.refuse(Reason::TlsNotAvailable);
        }
        self.phase = Phase::Handshake;
        reply(Reply::ready_for_tls(), Next::StartTls)
    }

    /// RFC 3207 section 4.2: the server forgets what it knew. On the implicit port this comes before the greeting.
    fn tls_established(&mut self, tls: String) -> Effects {
        self.tls = Some(tls);
        self.hello = None;
        if matches!(self.phase, Phase::Handshake) {
            self.phase = Phase::Ready;
        }
        Effects { replies: Vec::new(), next: Next::Command }
    }

    /// A failure of the client: counted, and too many end the session.
    fn refuse(&mut self, refused: impl Into<Refused>) -> Effects {
        let mut replies = Vec::with_capacity(1);
        let next = self.object(&refused.into(), &mut replies);
        Effects { replies, next }
    }

    fn object(&mut self, refused: &Refused, replies: &mut Vec<Reply>) -> Next {
        replies.push(failure(refused));
        self.errors += 1;
        if self.errors >= ERRORS_MAX {
            return self.end(Reason::TooManyErrors, replies);
        }
        Next::Command
    }

    /// The last reply of this session.
    fn close(&mut self, reason: Reason) -> Effects {
        let mut replies = Vec::with_capacity(1);
        let next = self.end(reason, &mut replies);
        Effects { replies, next }
    }

    fn end(&mut self, reason: Reason, replies: &mut Vec<Reply>) -> Next {
        self.phase = Phase::Closed;
        replies.push(reason.into());
        Next::Close
    }

    /// A failure of ours: not counted. 421 always closes (RFC 5321 section 4.2.1).
    fn fail(&mut self, refused: &Refused) -> Effects {
        let answer = failure(refused);
        if answer.code() == 421 {
            self.phase = Phase::Closed;
            return reply(answer, Next::Close);
        }
        reply(answer, Next::Command)
    }

    fn keep_right(&mut self, right: &RelayRight) {
        if !self.rights.contains(right) {
            self.rights.push(right.clone());
        }
    }
}

fn reply(reply: Reply, next: Next) -> Effects {
    Effects { replies: vec![reply], next }
}

fn failure(refused: &Refused) -> Reply {
    Reply::failure(refused.reason, refused.detail.as_deref())
}

#[cfg(test)]
mod tests;
