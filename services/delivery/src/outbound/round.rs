//! One attempt over all hosts of a destination: what is decided for whom, and what is still to be tried.

use std::{collections::BTreeMap, time::Duration};

use postern_smtp::client::{Cause, Ending, Mail, Outcome, Refusal, RemoteReply};
use tokio::time::Instant;

use super::{Attempt, Later, Outgoing, Refused, Taken, connection::OpenError, hosts::Host};

/// Code of what only a host with SMTPUTF8 takes (RFC 6531 section 3.5).
pub(crate) const NEEDS_UTF8: (u8, u16, u16) = (5, 6, 7);

/// A host that has greeted gets so much time for the envelope, also when nothing is left of the attempt's.
const GREETED_TIME_MIN: Duration = Duration::from_secs(60);

/// One attempt over all hosts.
pub(super) struct Round<'a> {
    pub(super) mail: &'a Outgoing<'a>,
    attempts: BTreeMap<usize, Attempt>,
    /// The last thing that kept a host from taking it for now, of each recipient.
    pub(super) obstacles: BTreeMap<usize, String>,
    /// What needs SMTPUTF8, of each recipient: a host that does not offer it. Another one may (RFC 6531 section 3.2).
    without_utf8: BTreeMap<usize, Refused>,
    /// By then a host must want the content.
    until: Instant,
}

impl<'a> Round<'a> {
    pub(super) fn new(mail: &'a Outgoing<'a>, until: Instant) -> Self {
        let (attempts, obstacles, without_utf8) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { mail, attempts, obstacles, without_utf8, until }
    }

    /// Time in which the next of `left` hosts must have greeted: all are asked in time, however many of them are silent.
    pub(super) fn share_of(&self, left: usize) -> Duration {
        let rest = self.until.saturating_duration_since(Instant::now());
        rest / u32::try_from(left.max(1)).unwrap_or(u32::MAX)
    }

    /// When a host that has greeted must want the content.
    pub(super) fn until_content(&self) -> Instant {
        self.until.max(Instant::now() + GREETED_TIME_MIN)
    }

    pub(super) fn is_over(&self) -> bool {
        self.attempts.len() >= self.mail.recipients.len()
    }

    fn open(&self) -> Vec<usize> {
        (0..self.mail.recipients.len()).filter(|index| !self.attempts.contains_key(index)).collect()
    }

    /// What is still to be tried.
    pub(super) fn rest(&self) -> (Vec<usize>, Mail) {
        let indexes = self.open();
        let recipients =
            indexes.iter().filter_map(|index| self.mail.recipients.get(*index).cloned()).collect();
        let mail = Mail {
            sender: self.mail.sender.clone(),
            recipients,
            size_bytes: self.mail.size_bytes,
            eight_bit: self.mail.eight_bit,
            smtp_utf8: self.mail.smtp_utf8,
            dsn: self.mail.dsn.clone(),
            recipient_dsn: indexes
                .iter()
                .map(|index| self.mail.recipient_dsn.get(*index).cloned().unwrap_or_default())
                .collect(),
        };
        (indexes, mail)
    }

    /// A host takes nothing for now.
    pub(super) fn note(&mut self, obstacle: &str) {
        for index in self.open() {
            self.obstacles.insert(index, obstacle.to_owned());
        }
    }

    /// `tells_sender`: the host knows what the sender wants to hear (DSN). False when that was no word on this recipient: the
    /// connection failed.
    pub(super) fn settle(&mut self, index: usize, host: &Host, tells_sender: bool, outcome: Outcome) -> bool {
        let attempt = match outcome {
            Outcome::Delivered(reply) => Attempt::Delivered(Taken {
                host: host.name.clone(),
                text: said(host, &reply),
                reply: reply.one_line(),
                tells_sender,
            }),
            // Another host may take it at once.
            Outcome::Deferred(cause) if cause.is_of_the_connection() => {
                self.obstacles.insert(index, format!("{} {cause}", at(host)));
                return false;
            }
            Outcome::Deferred(cause) => Attempt::Deferred(Later {
                text: format!("{} {cause}", at(host)),
                is_of_mailbox: is_of_mailbox(&cause),
            }),
            Outcome::Refused(refusal @ Refusal::NeedsUtf8) => {
                self.without_utf8.entry(index).or_insert_with(|| refused(host, refusal));
                return true;
            }
            Outcome::Refused(refusal) => Attempt::Refused(refused(host, refusal)),
        };
        self.attempts.insert(index, attempt);
        true
    }

    pub(super) fn give_up(&mut self, attempt: &Attempt) {
        for index in 0..self.mail.recipients.len() {
            self.attempts.entry(index).or_insert_with(|| attempt.clone());
        }
    }

    /// Every host was asked. What is still open is refused only where each of them said no for good (RFC 7504 section 4,
    /// RFC 6531 section 3.2); `takes_no_mail`: one that takes no mail at all.
    pub(super) fn end_hosts(&mut self, takes_no_mail: Option<Refused>) {
        for index in self.open() {
            let refused = match self.obstacles.contains_key(&index) {
                true => None,
                false => self.without_utf8.remove(&index).or_else(|| takes_no_mail.clone()),
            };
            if let Some(refused) = refused {
                self.attempts.insert(index, Attempt::Refused(refused));
            }
        }
    }

    /// One for each recipient, in their order; what is still open may be tried again.
    pub(super) fn finish(mut self) -> Vec<Attempt> {
        for index in self.open() {
            let obstacle = self.obstacles.remove(&index);
            let text = obstacle.unwrap_or_else(|| "no host could be reached".to_owned());
            self.attempts.insert(index, Attempt::Deferred(Later::because(text)));
        }
        self.attempts.into_values().collect()
    }
}

/// Subject 2 of an enhanced code: the mailbox (RFC 3463 section 3.3).
fn is_of_mailbox(cause: &Cause) -> bool {
    matches!(cause, Cause::Reply(reply) if matches!(reply.enhanced, Some((4, 2, _))))
}

fn at(host: &Host) -> String {
    format!("{} [{}]", host.name, host.address.ip())
}

fn said(host: &Host, reply: &RemoteReply) -> String {
    format!("{} said: {reply}", at(host))
}

pub(super) fn refused_by(host: &Host, reply: &RemoteReply) -> Refused {
    // Without an enhanced code of the host nothing more precise is known (RFC 3463 section 3.1).
    let code = reply.enhanced.filter(|(class, ..)| *class == 5).unwrap_or((5, 0, 0));
    Refused { code, host: Some(host.name.clone()), reply: Some(reply.one_line()), text: said(host, reply) }
}

fn refused(host: &Host, refusal: Refusal) -> Refused {
    let own = |code, text: String| Refused { code, host: Some(host.name.clone()), reply: None, text };
    match refusal {
        Refusal::Reply(reply) => refused_by(host, &reply),
        Refusal::TooLarge(limit) => own(
            (5, 3, 4),
            format!("{} takes messages up to {limit} octets only; this one is larger", at(host)),
        ),
        Refusal::NeedsEightBit => {
            own((5, 6, 3), format!("{} takes seven bit content only (no 8BITMIME)", at(host)))
        }
        Refusal::NeedsUtf8 => {
            own(NEEDS_UTF8, format!("{} cannot take internationalized addresses (SMTPUTF8)", at(host)))
        }
    }
}

pub(super) fn describe(host: &Host, error: &OpenError) -> String {
    match error {
        OpenError::Unreachable(error) => format!("{} cannot be reached: {error}", at(host)),
        OpenError::OwnAddress => format!("{} is this machine", at(host)),
        OpenError::Ended(Ending::Unwilling(cause)) => format!("{} {cause}", at(host)),
        OpenError::Ended(Ending::TlsBroken) => format!("{} failed in TLS", at(host)),
        OpenError::Ended(Ending::TlsMissing) => {
            format!("{} gives no TLS, which is demanded for this destination", at(host))
        }
        OpenError::Ended(Ending::TakesNoMail(reply)) => said(host, reply),
        OpenError::Ended(Ending::Quit) => format!("{} {}", at(host), Cause::OwnContent),
    }
}
