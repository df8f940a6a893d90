//! The sending side of SMTP as a pure machine: no socket, no clock. [`Client::step`] takes what happened and says what
//! to do next; a driver (delivery's `outbound::connection`) owns the socket, the clock and the content.
//!
//! One machine is one connection. It greets, turns TLS on when it can, then takes one [`Mail`] after another. Each mail
//! ends in [`Action::Done`] with one [`Outcome`] for each recipient: permanent only when the host itself said so (R0).

mod reading;
mod stuffing;
mod transaction;

use std::time::Duration;

use reading::ReplyReader;
pub use reading::{Garbled, RemoteReply};
pub use stuffing::DotStuffer;
pub use transaction::{Cause, Mail, Outcome, Refusal, Stage};
use transaction::{Next, Transaction};

/// How long to wait for a reply at each step (RFC 5321 section 4.5.3.2).
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// The banner.
    pub banner: Duration,
    /// EHLO, HELO and STARTTLS, for which the RFC names nothing.
    pub hello: Duration,
    /// MAIL.
    pub mail: Duration,
    /// RCPT.
    pub recipient: Duration,
    /// DATA up to its 354.
    pub data: Duration,
    /// Each write of content; the driver applies it.
    pub block: Duration,
    /// The final dot.
    pub dot: Duration,
    /// QUIT and RSET: nothing depends on them.
    pub farewell: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        Self {
            banner: minutes(5),
            hello: minutes(5),
            mail: minutes(5),
            recipient: minutes(5),
            data: minutes(2),
            block: minutes(3),
            dot: minutes(10),
            farewell: Duration::from_secs(5),
        }
    }
}

/// How the machine behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our own host name for EHLO (RFC 5321 section 4.1.1.1).
    pub hello_name: String,
    /// Take STARTTLS when it is offered (RFC 7435: opportunistic).
    pub use_tls: bool,
    /// No mail without TLS.
    pub require_tls: bool,
    /// Waiting times.
    pub timeouts: Timeouts,
}

/// What happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// The connection stands. First event.
    Connected,
    /// Octets came.
    Received(&'a [u8]),
    /// The time of the last action is over.
    TimedOut,
    /// The connection is gone, in whatever way.
    Lost,
    /// The handshake asked for by [`Action::StartTls`] succeeded.
    TlsReady,
    /// It failed.
    TlsFailed,
    /// A mail to send; only after [`Action::Ready`] or a [`Action::Done`] that is `reusable`.
    Deliver(Mail),
    /// The content and its end were written.
    ContentSent,
    /// Our own side could not give the content: the end was not written and must not be.
    ContentBroken,
    /// Say goodbye.
    Quit,
}

/// What to do next.
#[derive(Debug)]
pub enum Action {
    /// Write `octets` (none: only wait), then report what comes within `timeout`.
    Exchange {
        /// To write.
        octets: Vec<u8>,
        /// For the write and for the next octets, each.
        timeout: Duration,
    },
    /// Do a TLS handshake.
    StartTls,
    /// The host waits for a mail.
    Ready,
    /// Write the content through a [`DotStuffer`] with its end. Report octets that come meanwhile.
    SendContent,
    /// The mail is done with.
    Done {
        /// One for each recipient, in their order.
        outcomes: Vec<Outcome>,
        /// Another mail may be sent over this connection.
        reusable: bool,
    },
    /// Close the connection; no mail is being sent.
    Close(Ending),
}

/// Why a connection ends while no mail is being sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// We said goodbye.
    Quit,
    /// This host takes no mail from us now: another one may.
    Unwilling(Cause),
    /// It takes no mail at all (RFC 7504 section 4: 521 and 556).
    TakesNoMail(RemoteReply),
    /// TLS was offered and does not work: where it is not demanded, try again without (RFC 7435 section 3).
    TlsBroken,
    /// TLS is demanded, and was not offered or not given.
    TlsMissing,
}

/// What the host offered in its answer to EHLO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// RFC 2920
    pub pipelining: bool,
    /// RFC 1870: offered, with the greatest size when one is named.
    pub size: Option<Option<u64>>,
    /// RFC 6152
    pub eight_bit: bool,
    /// RFC 6531
    pub smtp_utf8: bool,
    /// RFC 3207
    pub start_tls: bool,
    /// RFC 3461
    pub dsn: bool,
}

impl Offers {
    fn of(reply: &RemoteReply) -> Self {
        let mut offers = Self::default();
        // The first line is the greeting.
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
                "PIPELINING" => offers.pipelining = true,
                // 0 means that no limit is known (RFC 1870 section 4).
                "SIZE" => offers.size = Some(words.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0)),
                "8BITMIME" => offers.eight_bit = true,
                "SMTPUTF8" => offers.smtp_utf8 = true,
                "STARTTLS" => offers.start_tls = true,
                "DSN" => offers.dsn = true,
                _ => {}
            }
        }
        offers
    }
}

#[derive(Debug)]
enum State {
    New,
    Banner,
    Ehlo,
    Helo,
    StartTls,
    Handshake,
    Ready { clean: bool },
    Sending(Box<Transaction>),
    Quitting,
    Ended,
}

/// The machine of one connection.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    state: State,
    reader: ReplyReader,
    offers: Offers,
    tls_is_on: bool,
}

impl Client {
    /// A machine that waits for [`Event::Connected`].
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            state: State::New,
            reader: ReplyReader::default(),
            offers: Offers::default(),
            tls_is_on: false,
        }
    }

    /// What the host offers.
    #[must_use]
    pub fn offers(&self) -> Offers {
        self.offers
    }

    /// Takes one event and says what to do.
    ///
    /// An event that does not belong to the state ends the connection; nothing here panics or waits for ever.
    pub fn step(&mut self, event: Event<'_>) -> Action {
        match event {
            Event::Connected => self.connected(),
            Event::Received(octets) => {
                self.reader.feed(octets);
                self.read_on()
            }
            Event::TimedOut => self.failed(Cause::TimedOut(self.stage())),
            Event::Lost => self.failed(Cause::Lost(self.stage())),
            Event::TlsReady if matches!(self.state, State::Handshake) => {
                // What was learned before TLS is forgotten (RFC 3207 section 4.2).
                self.offers = Offers::default();
                self.tls_is_on = true;
                self.say_ehlo()
            }
            Event::TlsReady | Event::TlsFailed => self.end(Ending::TlsBroken),
            Event::Deliver(mail) => self.deliver(mail),
            Event::ContentSent => match &mut self.state {
                State::Sending(transaction) => {
                    transaction.content_sent();
                    self.read_on()
                }
                _ => self.failed(Cause::Garbled(self.stage())),
            },
            Event::ContentBroken => self.failed(Cause::OwnContent),
            Event::Quit => self.quit(),
        }
    }

    fn connected(&mut self) -> Action {
        self.state = State::Banner;
        self.wait(self.settings.timeouts.banner)
    }

    fn wait(&self, timeout: Duration) -> Action {
        Action::Exchange { octets: Vec::new(), timeout }
    }

    fn say(&self, line: String) -> Action {
        Action::Exchange { octets: line.into_bytes(), timeout: self.settings.timeouts.hello }
    }

    fn say_ehlo(&mut self) -> Action {
        self.state = State::Ehlo;
        self.say(format!("EHLO {}\r\n", self.settings.hello_name))
    }

    /// Uses every whole reply that is there, until one asks for something other than more octets.
    fn read_on(&mut self) -> Action {
        loop {
            if let State::Sending(transaction) = &self.state
                && transaction.is_sending_content()
                && !self.reader.has_more()
            {
                return Action::SendContent;
            }
            match self.reader.next_reply() {
                Err(Garbled) => return self.failed(Cause::Garbled(self.stage())),
                Ok(None) => return self.wait(self.timeout()),
                Ok(Some(reply)) => {
                    if let Some(action) = self.take(reply) {
                        return action;
                    }
                }
            }
        }
    }

    /// `None`: more replies are owed.
    fn take(&mut self, reply: RemoteReply) -> Option<Action> {
        match &mut self.state {
            State::Banner if reply.code == 220 => Some(self.say_ehlo()),
            State::Ehlo if reply.is_positive() => Some(self.greeted(&reply)),
            // A host that does not know EHLO (RFC 5321 section 3.2); after TLS it must know it.
            State::Ehlo if reply.is_permanent() && takes_mail(&reply) && !self.tls_is_on => {
                self.state = State::Helo;
                Some(self.say(format!("HELO {}\r\n", self.settings.hello_name)))
            }
            State::Helo if reply.is_positive() => {
                self.offers = Offers::default();
                Some(self.ready(true))
            }
            State::StartTls if reply.code == 220 => Some(self.start_tls()),
            // Offered but not given: plain text is better than no mail (RFC 7435).
            State::StartTls if reply.code != 421 => Some(self.ready(true)),
            State::Banner | State::Ehlo | State::Helo | State::StartTls => Some(self.unwilling(reply)),
            State::Sending(transaction) => {
                let next = transaction.take(reply);
                match next {
                    Next::ReadOn => None,
                    other => Some(self.carry_out(other)),
                }
            }
            State::Quitting => Some(self.end(Ending::Quit)),
            State::New | State::Handshake | State::Ready { .. } | State::Ended => Some(self.unwilling(reply)),
        }
    }

    fn greeted(&mut self, reply: &RemoteReply) -> Action {
        self.offers = Offers::of(reply);
        if self.offers.start_tls && self.settings.use_tls && !self.tls_is_on {
            self.state = State::StartTls;
            return self.say("STARTTLS\r\n".to_owned());
        }
        self.ready(true)
    }

    fn start_tls(&mut self) -> Action {
        // Octets behind the 220 came in plain text: somebody injected them (RFC 3207 section 6, CVE-2011-0411).
        if self.reader.has_more() {
            return self.end(Ending::TlsBroken);
        }
        self.state = State::Handshake;
        Action::StartTls
    }

    fn ready(&mut self, clean: bool) -> Action {
        if self.settings.require_tls && !self.tls_is_on {
            return self.end(Ending::TlsMissing);
        }
        self.state = State::Ready { clean };
        Action::Ready
    }

    fn deliver(&mut self, mail: Mail) -> Action {
        // A reply that nobody asked for would be taken for the answer to MAIL.
        let clean = match self.state {
            State::Ready { clean } if !self.reader.has_more() => clean,
            _ => {
                let outcomes = vec![Outcome::Deferred(Cause::Garbled(Stage::Mail)); mail.recipients.len()];
                self.state = State::Ended;
                return Action::Done { outcomes, reusable: false };
            }
        };
        let (transaction, next) = Transaction::begin(mail, self.offers, clean);
        self.state = State::Sending(Box::new(transaction));
        self.carry_out(next)
    }

    fn carry_out(&mut self, next: Next) -> Action {
        match next {
            Next::ReadOn => self.wait(self.timeout()),
            Next::Say(octets) => Action::Exchange { octets, timeout: self.timeout() },
            Next::SendContent => {
                // "Pipelining" that answers what was not asked yet would turn into a false 250 for the content.
                if self.reader.has_more() {
                    return self.failed(Cause::Garbled(Stage::Data));
                }
                Action::SendContent
            }
            Next::Done { outcomes, reusable, clean } => {
                let reusable = reusable && !self.reader.has_more();
                self.state = if reusable { State::Ready { clean } } else { State::Ended };
                Action::Done { outcomes, reusable }
            }
        }
    }

    fn quit(&mut self) -> Action {
        match self.state {
            State::Ready { .. } => {
                self.state = State::Quitting;
                let timeout = self.settings.timeouts.farewell;
                Action::Exchange { octets: b"QUIT\r\n".to_vec(), timeout }
            }
            _ => self.end(Ending::Quit),
        }
    }

    fn failed(&mut self, cause: Cause) -> Action {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Sending(transaction) => {
                Action::Done { outcomes: transaction.cut_short(&cause), reusable: false }
            }
            State::Quitting | State::Ended => Action::Close(Ending::Quit),
            State::Handshake => Action::Close(Ending::TlsBroken),
            _ => Action::Close(Ending::Unwilling(cause)),
        }
    }

    fn unwilling(&mut self, reply: RemoteReply) -> Action {
        let ending = if takes_mail(&reply) {
            Ending::Unwilling(Cause::Reply(reply))
        } else {
            Ending::TakesNoMail(reply)
        };
        self.end(ending)
    }

    fn end(&mut self, ending: Ending) -> Action {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Sending(transaction) => {
                let outcomes = transaction.cut_short(&Cause::Lost(Stage::Mail));
                Action::Done { outcomes, reusable: false }
            }
            _ => Action::Close(ending),
        }
    }

    fn stage(&self) -> Stage {
        match &self.state {
            State::New | State::Banner => Stage::Banner,
            State::Sending(transaction) => transaction.stage(),
            State::Quitting | State::Ended => Stage::Quit,
            _ => Stage::Hello,
        }
    }

    fn timeout(&self) -> Duration {
        let timeouts = &self.settings.timeouts;
        match self.stage() {
            Stage::Banner => timeouts.banner,
            Stage::Hello => timeouts.hello,
            Stage::Mail => timeouts.mail,
            Stage::Recipient => timeouts.recipient,
            Stage::Data => timeouts.data,
            Stage::Content => timeouts.block,
            Stage::Dot => timeouts.dot,
            Stage::Quit => timeouts.farewell,
        }
    }
}

/// False for the two replies of a host that takes no mail at all (RFC 7504 section 3).
fn takes_mail(reply: &RemoteReply) -> bool {
    !matches!(reply.code, 521 | 556)
}

#[cfg(test)]
mod tests;
