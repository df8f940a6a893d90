//! MAIL, RCPT, DATA within a session (RFC 5321 section 3.3).

use postern_mail::{EmailAddress, Reason, Verdict};
use postern_smtp::{
    command::{Chunk, MailCommand, RcptCommand, Refused},
    dsn::{self, RecipientDsn},
    reply::Reply,
};

use super::{
    Accepted, Effects, Envelope, Hello, Next, Phase, Question, RelayRight, Session, Stamp, failure, reply,
};

/// A chunk of so many times the largest message is not read over: its client is broken or hostile.
const ABSURD_TIMES: u64 = 4;

/// A mail that is being named.
#[derive(Debug)]
pub(super) struct Transaction {
    stamp: Stamp,
    mail: MailCommand,
    recipients: Vec<EmailAddress>,
    /// What the client wants to hear of each of them.
    recipient_dsn: Vec<RecipientDsn>,
    /// At least one RCPT came, good or bad.
    tried: bool,
    /// What lets the mail out, or who the client said it is.
    right: Option<RelayRight>,
}

impl Transaction {
    /// Octets of its recipients, and of what the client wants to hear of them.
    pub(super) fn named_bytes(&self) -> usize {
        let recipients = self.recipients.iter().map(address_bytes).sum::<usize>();
        recipients + self.recipient_dsn.iter().map(wish_bytes).sum::<usize>()
    }
}

/// Octets of one address in memory.
pub(crate) fn address_bytes(address: &EmailAddress) -> usize {
    size_of::<EmailAddress>() + address.local().len() + address.domain().as_str().len()
}

fn wish_bytes(wish: &RecipientDsn) -> usize {
    size_of::<RecipientDsn>() + wish.original_recipient.as_ref().map_or(0, String::len)
}

impl Asked {
    /// Octets of what is kept of it if it is taken.
    pub(super) fn named_bytes(&self) -> usize {
        match self {
            Self::Open(wish) => wish_bytes(wish),
            Self::Refused(_) | Self::OverLimit => 0,
        }
    }
}

/// One RCPT of a group that waits for answers.
#[derive(Debug)]
pub(super) enum Asked {
    /// Its answer is on the way.
    Open(RecipientDsn),
    /// Already decided, and counted as an error.
    Refused(Refused),
    /// Over the limit of one transaction; no error of the client (RFC 5321 section 4.5.3.1.10).
    OverLimit,
}

impl Session {
    pub(super) fn mail(&mut self, mail: MailCommand, stamp: Stamp) -> Effects {
        // RFC 5321 section 4.1.4: HELO or EHLO first; section 3.3: no MAIL within a transaction.
        if self.hello.is_none() || !matches!(self.phase, Phase::Ready) {
            return self.refuse(Reason::BadSequence);
        }
        // RFC 1870 section 6.1.
        let too_large = |max| mail.declared_size_bytes.is_some_and(|size| size > max);
        if self.profile.message_max_bytes.is_some_and(too_large) {
            return self.fail(&Reason::MessageTooLarge.into());
        }
        let sender = mail.sender.clone();
        let login = self.login.clone();
        let transaction = Transaction {
            stamp,
            mail,
            recipients: Vec::new(),
            recipient_dsn: Vec::new(),
            tried: false,
            right: login.as_ref().map(super::Login::right),
        };
        if login.is_none() && !self.profile.door.is_submission() {
            self.phase = Phase::Open(transaction);
            return reply(Reply::sender_ok(), Next::Command);
        }
        self.phase = Phase::CheckingSender(transaction);
        Effects { replies: Vec::new(), next: Next::Ask(Question::Sender { sender, login }) }
    }

    /// On the submission doors only AUTH or a live grant lets MAIL through, and neither in the name of another customer's domain
    /// without its owner's leave, wherever the mail goes.
    pub(super) fn sender_answered(&mut self, answer: Result<RelayRight, Refused>) -> Effects {
        match std::mem::replace(&mut self.phase, Phase::Ready) {
            Phase::CheckingSender(mut transaction) => match answer {
                Ok(right) => {
                    self.keep_right(&right);
                    transaction.right = Some(right);
                    self.phase = Phase::Open(transaction);
                    reply(Reply::sender_ok(), Next::Command)
                }
                // Nobody can say now, so nothing is taken in this name (R0).
                Err(refused) if refused.reason.verdict() == Verdict::Temporary => self.fail(&refused),
                // The client's to mend: asked again and again it is an error like others, for each costs a look at grants and domains.
                Err(refused) => self.refuse(refused),
            },
            phase => {
                self.phase = phase;
                self.refuse(Reason::BadSequence)
            }
        }
    }

    pub(super) fn recipients(&mut self, group: Vec<Result<RcptCommand, Refused>>) -> Effects {
        let mut transaction = match std::mem::replace(&mut self.phase, Phase::Ready) {
            Phase::Open(transaction) => transaction,
            phase => {
                self.phase = phase;
                return self.out_of_order(group.len());
            }
        };
        transaction.tried = true;
        let mut paths = Vec::with_capacity(group.len());
        let mut asked = Vec::with_capacity(group.len());
        for recipient in group {
            asked.push(match recipient {
                Err(refused) => Asked::Refused(refused),
                Ok(_) if transaction.recipients.len() + paths.len() >= self.profile.recipients_max => {
                    Asked::OverLimit
                }
                // RFC 6531 section 3.5.
                Ok(RcptCommand { written: Some(_), .. }) if !transaction.mail.smtp_utf8 => {
                    Asked::Refused(Reason::NonAsciiAddress.into())
                }
                Ok(RcptCommand { path, written, dsn }) => {
                    paths.push(path);
                    Asked::Open(with_written(dsn, written.as_deref()))
                }
            });
        }
        let sender = transaction.mail.sender.clone();
        self.phase = Phase::CheckingRecipients(transaction, asked);
        if paths.is_empty() {
            return self.recipients_answered(Vec::new());
        }
        let login = self.login.clone();
        // Who may send is no stranger, whether by AUTH or by having checked mail.
        let counted = self.profile.inbound_limited && login.is_none() && self.rights.is_empty();
        let question = Question::Recipients { sender, login, paths, counted };
        Effects { replies: Vec::new(), next: Next::Ask(question) }
    }

    pub(super) fn recipients_answered(&mut self, answers: Vec<Result<Accepted, Refused>>) -> Effects {
        let (mut transaction, asked) = match std::mem::replace(&mut self.phase, Phase::Ready) {
            Phase::CheckingRecipients(transaction, asked) => (transaction, asked),
            phase => {
                self.phase = phase;
                return self.refuse(Reason::BadSequence);
            }
        };
        let mut answers = answers.into_iter();
        let mut replies = Vec::with_capacity(asked.len());
        for one in asked {
            let next = match one {
                Asked::Refused(refused) => self.object(&refused, &mut replies),
                Asked::OverLimit => {
                    replies.push(Reason::TooManyRecipients.into());
                    Next::Command
                }
                Asked::Open(dsn) => {
                    // An answer that is missing is a failure of ours (R0).
                    let answer = answers.next().unwrap_or_else(|| Err(Reason::Unavailable.into()));
                    self.recipient_answered(&mut transaction, answer, dsn, &mut replies)
                }
            };
            if matches!(next, Next::Close) {
                return Effects { replies, next };
            }
        }
        self.phase = Phase::Open(transaction);
        Effects { replies, next: Next::Command }
    }

    fn recipient_answered(
        &mut self,
        transaction: &mut Transaction,
        answer: Result<Accepted, Refused>,
        dsn: RecipientDsn,
        replies: &mut Vec<Reply>,
    ) -> Next {
        match answer {
            Ok(accepted) => {
                if let Some(right) = accepted.right {
                    self.keep_right(&right);
                    transaction.right = Some(right);
                }
                // The same twice is one copy (S-16).
                if !transaction.recipients.contains(&accepted.address) {
                    transaction.recipients.push(accepted.address);
                    transaction.recipient_dsn.push(dsn);
                }
                replies.push(Reply::recipient_ok());
                Next::Command
            }
            Err(refused) => {
                replies.push(failure(&refused));
                if matches!(refused.reason, Reason::NoSuchMailbox | Reason::RelayProhibited) {
                    self.refused_recipients += 1;
                }
                match self.profile.refused_recipients_max {
                    Some(max) if self.refused_recipients >= max => {
                        self.end(Reason::TooManyUnknownRecipients, replies)
                    }
                    _ => Next::Command,
                }
            }
        }
    }

    fn out_of_order(&mut self, count: usize) -> Effects {
        let mut replies = Vec::with_capacity(count);
        for _ in 0..count {
            let next = self.object(&Reason::BadSequence.into(), &mut replies);
            if matches!(next, Next::Close) {
                return Effects { replies, next };
            }
        }
        Effects { replies, next: Next::Command }
    }

    pub(super) fn data(&mut self) -> Effects {
        match self.envelope() {
            Ok(envelope) => {
                self.phase = Phase::Content(envelope.stamp);
                reply(Reply::start_mail_input(), Next::Content(Box::new(envelope)))
            }
            Err(reason) => self.refuse(reason),
        }
    }

    /// RFC 3030 section 2: the octets come in any case, also when nobody wants them.
    pub(super) fn bdat(&mut self, chunk: Chunk) -> Effects {
        if self
            .profile
            .message_max_bytes
            .is_some_and(|max| chunk.size_bytes > max.saturating_mul(ABSURD_TIMES))
        {
            return self.close(Reason::MessageTooLarge);
        }
        let (stamp, envelope) = match self.phase {
            Phase::Chunks(stamp) => (stamp, None),
            _ => match self.envelope() {
                Ok(envelope) => (envelope.stamp, Some(Box::new(envelope))),
                Err(reason) => {
                    let Effects { replies, next } = self.refuse(reason);
                    let next = match next {
                        Next::Command => Next::Discard(chunk.size_bytes),
                        end => end,
                    };
                    return Effects { replies, next };
                }
            },
        };
        self.phase = if chunk.last { Phase::Content(stamp) } else { Phase::Chunks(stamp) };
        Effects { replies: Vec::new(), next: Next::Chunk(chunk, envelope) }
    }

    /// What was named so far, when content may come now; else the transaction stays as it is.
    fn envelope(&mut self) -> Result<Envelope, Reason> {
        let transaction = match std::mem::replace(&mut self.phase, Phase::Ready) {
            Phase::Open(transaction) => transaction,
            phase => {
                self.phase = phase;
                return Err(Reason::BadSequence);
            }
        };
        if transaction.recipients.is_empty() {
            // RFC 5321 section 3.3: 503 before RCPT, 554 when none was good. The transaction goes on.
            let reason = if transaction.tried { Reason::NoValidRecipients } else { Reason::BadSequence };
            self.phase = Phase::Open(transaction);
            return Err(reason);
        }
        let hello = self.hello.clone().ok_or(Reason::BadSequence)?;
        Ok(Envelope {
            stamp: transaction.stamp,
            recipients: transaction.recipients,
            recipient_dsn: transaction.recipient_dsn,
            right: transaction.right,
            with_protocol: self.with_protocol(&hello, transaction.mail.smtp_utf8),
            mail: transaction.mail,
            client_name: hello.name,
            tls: self.tls.clone().unwrap_or_default(),
        })
    }

    pub(super) fn chunk_answered(&mut self, answer: Result<u64, Reason>) -> Effects {
        match answer {
            Ok(size_bytes) => reply(Reply::chunk_ok(size_bytes), Next::Command),
            Err(reason) => {
                self.phase = Phase::Ready;
                self.fail(&reason.into())
            }
        }
    }

    /// RFC 3848, and RFC 6531 section 4.3.
    fn with_protocol(&self, hello: &Hello, smtp_utf8: bool) -> &'static str {
        match (hello.extended, smtp_utf8, self.tls.is_some(), self.login.is_some()) {
            (false, ..) => "SMTP",
            (true, false, false, false) => "ESMTP",
            (true, false, true, false) => "ESMTPS",
            (true, false, false, true) => "ESMTPA",
            (true, false, true, true) => "ESMTPSA",
            (true, true, false, false) => "UTF8SMTP",
            (true, true, true, false) => "UTF8SMTPS",
            (true, true, false, true) => "UTF8SMTPA",
            (true, true, true, true) => "UTF8SMTPSA",
        }
    }

    pub(super) fn content_answered(&mut self, answer: Result<(), Reason>) -> Effects {
        match std::mem::replace(&mut self.phase, Phase::Ready) {
            Phase::Content(stamp) => match answer {
                Ok(()) => reply(Reply::queued(stamp.message_id), Next::Command),
                Err(reason) => self.fail(&reason.into()),
            },
            phase => {
                self.phase = phase;
                self.refuse(Reason::BadSequence)
            }
        }
    }
}

/// A domain that was written with U-labels is routed by its A-labels; reports and the next host are told what was written.
fn with_written(dsn: RecipientDsn, written: Option<&str>) -> RecipientDsn {
    let domain = written.and_then(|written| written.rsplit('@').next());
    match written {
        Some(written)
            if dsn.original_recipient.is_none() && domain.is_some_and(|domain| !domain.is_ascii()) =>
        {
            RecipientDsn { original_recipient: Some(dsn::original_recipient_of(written)), ..dsn }
        }
        _ => dsn,
    }
}
