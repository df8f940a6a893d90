//! One mail transaction of the sending side: MAIL, RCPT for each recipient, DATA, content, dot.
//!
//! Commands wait in `to_say`, said ones in `owed` until their reply comes. With PIPELINING (RFC 2920) the whole group is
//! said at once, without it one at a time; everything else is the same.

use std::{collections::VecDeque, fmt};

use postern_mail::{EmailAddress, ReversePath};

use super::{Offers, RemoteReply};
use crate::dsn::{MessageDsn, RecipientDsn};

/// A mail to send.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Envelope sender.
    pub sender: ReversePath,
    /// 1 to 100: more would fill both sides' buffers in one pipelined group.
    pub recipients: Vec<EmailAddress>,
    /// Octets of the content in wire form, not stuffed.
    pub size_bytes: u64,
    /// The content has octets over 127.
    pub eight_bit: bool,
    /// The header needs SMTPUTF8 (RFC 6531 section 3.2); whether the addresses do is seen by themselves.
    pub smtp_utf8: bool,
    /// What the sender wants to hear of it: told to hosts that offer DSN.
    pub dsn: MessageDsn,
    /// The same of each recipient, in their order; whoever is missing said nothing.
    pub recipient_dsn: Vec<RecipientDsn>,
}

/// Where in the talk something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Connection to banner.
    Banner,
    /// EHLO, HELO, STARTTLS.
    Hello,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Recipient,
    /// DATA up to its 354.
    Data,
    /// Content, before its end was written.
    Content,
    /// The end was written, its reply is awaited. A loss here leaves it open who has the mail.
    Dot,
    /// After the work.
    Quit,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Banner => "waiting for the banner",
            Self::Hello => "in EHLO",
            Self::Mail => "in MAIL FROM",
            Self::Recipient => "in RCPT TO",
            Self::Data => "in DATA",
            Self::Content => "sending the content",
            Self::Dot => "waiting for the answer to the end of data",
            Self::Quit => "in QUIT",
        })
    }
}

/// Why something is to be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The host said so.
    Reply(RemoteReply),
    /// Nothing came in time.
    TimedOut(Stage),
    /// The connection ended.
    Lost(Stage),
    /// What came was no SMTP, or answered what was not asked.
    Garbled(Stage),
    /// Our own content could not be read.
    OwnContent,
}

impl Cause {
    /// True when another host of the same domain may well take it: this one went away, or is going to.
    #[must_use]
    pub fn is_of_the_connection(&self) -> bool {
        match self {
            Self::Reply(reply) => reply.code == 421,
            // After the end of data it is open who has the mail: not to be sent elsewhere at once.
            Self::TimedOut(stage) | Self::Lost(stage) | Self::Garbled(stage) => *stage != Stage::Dot,
            Self::OwnContent => false,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply(reply) => write!(f, "said: {reply}"),
            Self::TimedOut(stage) => write!(f, "timed out while {stage}"),
            Self::Lost(stage) => write!(f, "lost the connection while {stage}"),
            Self::Garbled(stage) => write!(f, "sent no proper SMTP reply while {stage}"),
            Self::OwnContent => f.write_str("the stored content could not be read here"),
        }
    }
}

/// Why something will never be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The host said so.
    Reply(RemoteReply),
    /// It is over the size that the host announced, octets (RFC 1870 section 6.1).
    TooLarge(u64),
    /// It needs SMTPUTF8 and the host does not know that (RFC 6531 section 3.2).
    NeedsUtf8,
    /// It has octets over 127 and the host does not take them: nothing here converts (RFC 6152 section 3).
    NeedsEightBit,
}

/// How it ended for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The host took responsibility.
    Delivered(RemoteReply),
    /// Try again later.
    Deferred(Cause),
    /// Give up.
    Refused(Refusal),
}

impl Outcome {
    fn of(reply: &RemoteReply) -> Self {
        if reply.is_permanent() {
            Self::Refused(Refusal::Reply(reply.clone()))
        } else {
            Self::Deferred(Cause::Reply(reply.clone()))
        }
    }
}

/// What the transaction wants next.
#[derive(Debug)]
pub(super) enum Next {
    ReadOn,
    Say(Vec<u8>),
    SendContent,
    Done {
        outcomes: Vec<Outcome>,
        reusable: bool,
        /// No RSET is needed before the next mail.
        clean: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Reset,
    Mail,
    /// Index of the recipient.
    Recipient(usize),
    Data,
    /// The end of an empty content that no recipient gets (RFC 2920 section 3.1).
    Nothing,
    /// The end of the content.
    Dot,
}

#[derive(Clone, Debug)]
enum Progress {
    Undecided,
    Accepted,
    Decided(Outcome),
}

/// State of one mail on its way.
#[derive(Debug)]
pub(super) struct Transaction {
    mail: Mail,
    offers: Offers,
    to_say: VecDeque<Verb>,
    owed: VecDeque<Verb>,
    progress: Vec<Progress>,
    /// The content is being written.
    content_open: bool,
    /// The host took recipients of a mail that it had refused: it would take an empty content for them as well.
    sloppy: bool,
    clean: bool,
}

impl Transaction {
    /// Begins: decides what can be known without asking, and says the first commands.
    pub(super) fn begin(mail: Mail, offers: Offers, clean: bool) -> (Self, Next) {
        let progress = mail.recipients.iter().map(|to| refused_here(&mail, to, offers)).collect();
        let mut transaction = Self {
            mail,
            offers,
            to_say: VecDeque::new(),
            owed: VecDeque::new(),
            progress,
            content_open: false,
            sloppy: false,
            clean,
        };
        let open: Vec<_> =
            transaction.indexes(|p| matches!(p, Progress::Undecided)).map(Verb::Recipient).collect();
        if open.is_empty() {
            let next = transaction.done(true);
            return (transaction, next);
        }
        if !clean {
            transaction.to_say.push_back(Verb::Reset);
        }
        transaction.to_say.push_back(Verb::Mail);
        transaction.to_say.extend(open);
        transaction.to_say.push_back(Verb::Data);
        transaction.clean = false;
        let next = transaction.say_next();
        (transaction, next)
    }

    /// Takes the reply to the oldest command that is owed one.
    pub(super) fn take(&mut self, reply: RemoteReply) -> Next {
        let Some(verb) = self.owed.pop_front() else {
            // Nothing was asked: early end of a content, or a host that counts wrong.
            return self.interrupted(&reply);
        };
        // The host is closing (RFC 5321 section 3.8): nothing more will be answered.
        if reply.code == 421 && verb != Verb::Dot {
            return self.interrupted(&reply);
        }
        match verb {
            Verb::Reset => {}
            Verb::Mail => self.mail_answered(&reply),
            Verb::Recipient(index) => self.recipient_answered(index, &reply),
            Verb::Data => return self.data_answered(&reply),
            Verb::Nothing => return self.done(true),
            Verb::Dot => return self.dot_answered(&reply),
        }
        self.go_on()
    }

    /// The content is on its way and its end was not written yet.
    pub(super) fn is_sending_content(&self) -> bool {
        self.content_open
    }

    /// The content and its end were written.
    pub(super) fn content_sent(&mut self) {
        self.content_open = false;
        self.owed.push_back(Verb::Dot);
    }

    /// Outcomes when nothing more will come.
    pub(super) fn cut_short(&self, cause: &Cause) -> Vec<Outcome> {
        self.outcomes(&Outcome::Deferred(cause.clone()))
    }

    /// Where the talk is.
    pub(super) fn stage(&self) -> Stage {
        match self.owed.front() {
            Some(Verb::Reset | Verb::Mail) => Stage::Mail,
            Some(Verb::Recipient(_)) => Stage::Recipient,
            Some(Verb::Data | Verb::Nothing) => Stage::Data,
            Some(Verb::Dot) => Stage::Dot,
            None if self.content_open => Stage::Content,
            None => Stage::Mail,
        }
    }

    fn mail_answered(&mut self, reply: &RemoteReply) {
        if reply.is_positive() {
            return;
        }
        let outcome = Outcome::of(reply);
        for progress in self.progress.iter_mut().filter(|p| matches!(p, Progress::Undecided)) {
            *progress = Progress::Decided(outcome.clone());
        }
        self.to_say.clear();
    }

    fn recipient_answered(&mut self, index: usize, reply: &RemoteReply) {
        let others_accepted = self.progress.iter().any(|p| matches!(p, Progress::Accepted));
        let Some(progress @ Progress::Undecided) = self.progress.get_mut(index) else {
            self.sloppy |= reply.is_positive();
            return;
        };
        *progress = match reply.code {
            200..300 => Progress::Accepted,
            // "Too many recipients" of old hosts: the rest goes in the next transaction (RFC 5321 4.5.3.1.10).
            552 if others_accepted && matches!(reply.enhanced, None | Some((5, 5, 3))) => {
                Progress::Decided(Outcome::Deferred(Cause::Reply(reply.clone())))
            }
            _ => Progress::Decided(Outcome::of(reply)),
        };
    }

    fn data_answered(&mut self, reply: &RemoteReply) -> Next {
        let anybody = self.progress.iter().any(|p| matches!(p, Progress::Accepted));
        match (reply.code, anybody) {
            (354, true) => {
                self.content_open = true;
                Next::SendContent
            }
            (354, false) if self.sloppy => self.done(false),
            // The host waits for a content that nobody is to get: an empty one ends it (RFC 2920 section 3.1).
            (354, false) => {
                self.owed.push_back(Verb::Nothing);
                Next::Say(b".\r\n".to_vec())
            }
            _ => {
                self.settle(&Outcome::of(reply));
                self.done(true)
            }
        }
    }

    fn dot_answered(&mut self, reply: &RemoteReply) -> Next {
        let outcome =
            if reply.is_positive() { Outcome::Delivered(reply.clone()) } else { Outcome::of(reply) };
        self.settle(&outcome);
        self.clean = true;
        self.done(reply.code != 421)
    }

    fn interrupted(&mut self, reply: &RemoteReply) -> Next {
        // A good reply here would answer something else: whatever it says, nobody has the mail.
        let outcome = match Outcome::of(reply) {
            refused @ Outcome::Refused(_) if self.content_open => refused,
            _ if reply.is_positive() => Outcome::Deferred(Cause::Garbled(self.stage())),
            _ => Outcome::Deferred(Cause::Reply(reply.clone())),
        };
        Next::Done { outcomes: self.outcomes(&outcome), reusable: false, clean: false }
    }

    fn go_on(&mut self) -> Next {
        if !self.owed.is_empty() {
            return Next::ReadOn;
        }
        let anybody = self.progress.iter().any(|p| matches!(p, Progress::Undecided | Progress::Accepted));
        if self.to_say.is_empty() || !anybody {
            return self.done(true);
        }
        self.say_next()
    }

    fn say_next(&mut self) -> Next {
        let mut octets = String::new();
        while let Some(verb) = self.to_say.pop_front() {
            octets.push_str(&self.line(verb));
            self.owed.push_back(verb);
            if !self.offers.pipelining {
                break;
            }
        }
        Next::Say(octets.into_bytes())
    }

    fn line(&self, verb: Verb) -> String {
        match verb {
            Verb::Reset => "RSET\r\n".to_owned(),
            Verb::Mail => self.mail_line(),
            Verb::Recipient(index) => self.recipient_line(index),
            Verb::Data => "DATA\r\n".to_owned(),
            Verb::Nothing | Verb::Dot => ".\r\n".to_owned(),
        }
    }

    fn mail_line(&self) -> String {
        let mut line = format!("MAIL FROM:<{}>", self.mail.sender);
        if self.offers.size.is_some() {
            line.push_str(&format!(" SIZE={}", self.mail.size_bytes));
        }
        if self.offers.eight_bit && self.mail.eight_bit {
            line.push_str(" BODY=8BITMIME");
        }
        if self.offers.smtp_utf8 && needs_utf8(&self.mail) {
            line.push_str(" SMTPUTF8");
        }
        if self.offers.dsn {
            if let Some(content) = self.mail.dsn.return_content {
                line.push_str(&format!(" RET={content}"));
            }
            if let Some(id) = &self.mail.dsn.envelope_id {
                line.push_str(&format!(" ENVID={id}"));
            }
        }
        line.push_str("\r\n");
        line
    }

    fn recipient_line(&self, index: usize) -> String {
        let Some(to) = self.mail.recipients.get(index) else { return String::new() };
        let mut line = format!("RCPT TO:<{to}>");
        if let Some(dsn) = self.mail.recipient_dsn.get(index).filter(|_| self.offers.dsn) {
            if let Some(notify) = dsn.notify {
                line.push_str(&format!(" NOTIFY={notify}"));
            }
            if let Some(original) = &dsn.original_recipient {
                line.push_str(&format!(" ORCPT={original}"));
            }
        }
        line.push_str("\r\n");
        line
    }

    fn indexes(&self, wanted: impl Fn(&Progress) -> bool) -> impl Iterator<Item = usize> {
        let found: Vec<_> =
            (0..self.progress.len()).filter(|i| self.progress.get(*i).is_some_and(&wanted)).collect();
        found.into_iter()
    }

    /// What is not decided yet ends so.
    fn settle(&mut self, outcome: &Outcome) {
        for progress in &mut self.progress {
            if !matches!(progress, Progress::Decided(_)) {
                *progress = Progress::Decided(outcome.clone());
            }
        }
    }

    fn outcomes(&self, undecided: &Outcome) -> Vec<Outcome> {
        let one = |progress: &Progress| match progress {
            Progress::Decided(outcome) => outcome.clone(),
            Progress::Undecided | Progress::Accepted => undecided.clone(),
        };
        self.progress.iter().map(one).collect()
    }

    fn done(&self, reusable: bool) -> Next {
        let outcomes = self.outcomes(&Outcome::Deferred(Cause::Garbled(self.stage())));
        Next::Done { outcomes, reusable, clean: self.clean }
    }
}

fn needs_utf8(mail: &Mail) -> bool {
    let sender_needs = mail.sender.address().is_some_and(|address| !address.is_ascii());
    mail.smtp_utf8 || sender_needs || mail.recipients.iter().any(|to| !to.is_ascii())
}

/// What the host's offers already say no to.
fn refused_here(mail: &Mail, recipient: &EmailAddress, offers: Offers) -> Progress {
    let sender_needs = mail.sender.address().is_some_and(|address| !address.is_ascii());
    if !offers.smtp_utf8 && (mail.smtp_utf8 || sender_needs || !recipient.is_ascii()) {
        return Progress::Decided(Outcome::Refused(Refusal::NeedsUtf8));
    }
    if mail.eight_bit && !offers.eight_bit {
        return Progress::Decided(Outcome::Refused(Refusal::NeedsEightBit));
    }
    match offers.size {
        Some(Some(limit)) if mail.size_bytes > limit => {
            Progress::Decided(Outcome::Refused(Refusal::TooLarge(limit)))
        }
        _ => Progress::Undecided,
    }
}
