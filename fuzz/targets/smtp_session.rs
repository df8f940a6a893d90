//! An SMTP session from octets to replies, with a world that answers as it likes: one reply for each command, in order; no
//! content without a sender and an accepted recipient; nobody relays without a right; the same however the octets are cut.

#![no_main]

use std::collections::BTreeSet;

use bytes::{Buf as _, BytesMut};
use libfuzzer_sys::fuzz_target;
use postern_fuzz::Dice;
use postern_mail::Reason;
use postern_smtp::{
    chunk::ChunkReader,
    command::{Chunk, RcptPath, Refused},
    data::{DataLimits, DataReader},
};

#[path = "../../services/smtp-gateway/src"]
mod gateway {
    pub mod command;
    pub mod session;
}
use command::{CommandReader, Expect};
use gateway::{command, session};
use session::{Accepted, Door, Envelope, Event, Login, Next, Profile, Question, RelayRight, Session};

const LIMITS: DataLimits = DataLimits { message_max_bytes: Some(1000), line_max_bytes: 200 };

/// Everything around one session.
struct Talk<'a> {
    session: Session,
    dice: Dice<'a>,
    reader: CommandReader,
    input: BytesMut,
    expect: Expect,
    /// Code of each reply.
    codes: Vec<u16>,
    /// Recipients that were accepted since the last MAIL that was taken.
    accepted: BTreeSet<String>,
    /// And whether one of them is outside.
    leaves: bool,
    reading: Reading,
    /// The reader of a message of which more chunks are to come.
    chunks: Option<ChunkReader>,
}

/// What comes next on the wire.
enum Reading {
    Commands,
    Data(DataReader),
    Chunk {
        left: u64,
        chunk: Chunk,
    },
    /// Octets that nobody wants.
    Discard(u64),
}

fn right(authenticated: bool) -> RelayRight {
    RelayRight { login: "u@homepage.test".into(), mailbox_id: 7, customer: "homepage".into(), authenticated }
}

impl<'a> Talk<'a> {
    fn begin(mut dice: Dice<'a>) -> Self {
        let door = [Door::Mx, Door::Submission, Door::Smtps][dice.roll(3)];
        let profile = Profile {
            door,
            mail_host: "mail.postern.test".into(),
            peer: "203.0.113.9".parse().expect("an address"),
            tls_available: dice.coin(),
            plaintext_login: dice.coin(),
            plaintext_by_domain: dice.coin(),
            message_max_bytes: LIMITS.message_max_bytes,
            recipients_max: 3,
            refused_recipients_max: dice.coin().then_some(4),
            inbound_limited: dice.coin(),
        };
        let mut talk = Self {
            session: Session::new(profile),
            dice,
            reader: CommandReader::default(),
            input: BytesMut::new(),
            expect: Expect::Command,
            codes: Vec::new(),
            accepted: BTreeSet::new(),
            leaves: false,
            reading: Reading::Commands,
            chunks: None,
        };
        assert!(talk.event(Event::Opened { spoke_early: false }));
        talk
    }

    /// Takes one event and all that follows from it; false when the session is over.
    fn event(&mut self, event: Event) -> bool {
        let mut event = event;
        loop {
            let is_mail = matches!(event, Event::Mail(..));
            let effects = self.session.step(event);
            // A MAIL within a transaction is refused, and the transaction goes on (RFC 5321 section 4.1.4).
            if is_mail && effects.replies.iter().all(|reply| reply.code() != 503) {
                self.accepted.clear();
                self.leaves = false;
            }
            for reply in &effects.replies {
                self.note(reply);
            }
            if !self.session.is_between_chunks() && !matches!(effects.next, Next::Chunk(..)) {
                self.chunks = None;
            }
            match effects.next {
                Next::Stay | Next::Command => self.expect = Expect::Command,
                Next::SaslLine => self.expect = Expect::SaslLine,
                Next::Ask(question) => {
                    event = self.answer(question);
                    continue;
                }
                Next::Content(envelope) => {
                    self.check(&envelope);
                    self.reading = Reading::Data(DataReader::new(LIMITS));
                }
                Next::Chunk(chunk, first) => {
                    if let Some(envelope) = first {
                        self.check(&envelope);
                        self.chunks = Some(ChunkReader::new(LIMITS));
                    }
                    self.reading = Reading::Chunk { left: chunk.size_bytes, chunk };
                }
                Next::Discard(octets) => self.reading = Reading::Discard(octets),
                Next::StartTls => {
                    if !self.input.is_empty() {
                        event = Event::SpokeBeforeTls;
                        continue;
                    }
                    event = Event::TlsEstablished("TLSv1.3".into());
                    continue;
                }
                Next::Close => return false,
            }
            return true;
        }
    }

    /// A reply is whole lines with one code, none of them too long.
    fn note(&mut self, reply: &postern_smtp::reply::Reply) {
        let mut octets = BytesMut::new();
        reply.write_to(&mut octets);
        let text = std::str::from_utf8(&octets).expect("text");
        assert!(text.ends_with("\r\n"));
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        for (number, line) in lines.iter().enumerate() {
            let between = if number + 1 == lines.len() { ' ' } else { '-' };
            assert!(line.starts_with(&format!("{}{between}", reply.code())), "{text:?}");
            assert!(line.len() <= 510 && !line.chars().any(char::is_control), "{text:?}");
        }
        self.codes.push(reply.code());
    }

    /// Nobody gets content to send who has not named a sender and an accepted recipient, or may not send outside.
    fn check(&self, envelope: &Envelope) {
        let named: BTreeSet<String> = envelope.recipients.iter().map(ToString::to_string).collect();
        assert_eq!(named.len(), envelope.recipients.len(), "each once");
        assert_eq!(envelope.recipient_dsn.len(), envelope.recipients.len());
        assert!(!named.is_empty() && named.is_subset(&self.accepted), "{named:?} {:?}", self.accepted);
        assert!(!self.leaves || envelope.right.is_some(), "relay needs a right");
    }

    fn answer(&mut self, question: Question) -> Event {
        let fails = self.dice.roll(4) == 0;
        let trouble = Reason::ALL[self.dice.roll(256) % Reason::ALL.len()];
        match question {
            Question::Login { .. } => Event::LoginAnswered(match fails {
                true => Err(trouble),
                false => Ok(Login {
                    login: "u@homepage.test".into(),
                    mailbox_id: 7,
                    customer: "homepage".into(),
                    credential_version: 1,
                }),
            }),
            Question::Sender { login, .. } => Event::SenderAnswered(match fails {
                true => Err(Refused { reason: trouble, detail: None }),
                false => Ok(right(login.is_some())),
            }),
            Question::Recipients { paths, .. } => {
                let mut answers = Vec::new();
                for path in paths {
                    let address = match path {
                        RcptPath::Address(address) => address,
                        RcptPath::Postmaster => "postmaster@postern.test".parse().expect("an address"),
                    };
                    // By its name, since how recipients are grouped depends on how they came.
                    let letters = address.local().len() % 4;
                    if letters == 3 {
                        answers.push(Err(Reason::NoSuchMailbox.into()));
                        continue;
                    }
                    self.accepted.insert(address.to_string());
                    self.leaves |= letters == 2;
                    answers.push(Ok(Accepted { address, right: (letters == 2).then(|| right(false)) }));
                }
                Event::RecipientsAnswered(answers)
            }
        }
    }

    /// Takes what came; false when the session is over.
    fn take(&mut self, piece: &[u8]) -> bool {
        self.input.extend_from_slice(piece);
        while let Some(event) = self.next_event() {
            if !self.event(event) {
                return false;
            }
        }
        true
    }

    /// As the connection does it; `None` when more octets are needed.
    fn next_event(&mut self) -> Option<Event> {
        match &mut self.reading {
            Reading::Commands => {}
            Reading::Data(reader) => {
                let progress = reader.feed(&self.input, |_| {});
                self.input.advance(progress.consumed);
                let flaw = reader.flaw();
                if !progress.ended {
                    return None;
                }
                self.reading = Reading::Commands;
                return Some(Event::ContentAnswered(flaw.map_or(Ok(()), Err)));
            }
            Reading::Discard(left) => {
                let here = (*left).min(self.input.len() as u64);
                self.input.advance(usize::try_from(here).expect("no more than there is"));
                *left -= here;
                if *left > 0 {
                    return None;
                }
                self.reading = Reading::Commands;
            }
            Reading::Chunk { left, chunk } => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(self.input.len());
                let reader = self.chunks.as_mut().expect("a chunk has a first one");
                reader.feed(&self.input[..here]);
                self.input.advance(here);
                *left -= here as u64;
                if *left > 0 {
                    return None;
                }
                let flaw = if chunk.last { reader.finish() } else { reader.flaw() };
                let event = match (flaw, chunk.last) {
                    (flaw, true) => Event::ContentAnswered(flaw.map_or(Ok(()), Err)),
                    (Some(flaw), false) => Event::ChunkAnswered(Err(flaw)),
                    (None, false) => Event::ChunkAnswered(Ok(chunk.size_bytes)),
                };
                self.reading = Reading::Commands;
                return Some(event);
            }
        }
        let offers = self.session.offers();
        self.reader.next_event(&mut self.input, self.expect, offers)
    }
}

fn codes(pieces: &[&[u8]], dice: Dice<'_>) -> Vec<u16> {
    let mut talk = Talk::begin(dice);
    for piece in pieces {
        if !talk.take(piece) {
            break;
        }
        assert!(talk.input.len() <= piece.len() + 12_288, "memory is bounded");
    }
    talk.codes
}

fuzz_target!(|input: &[u8]| {
    let (dice, sent) = Dice::part(input);
    let cut = dice.clone().pieces(sent);
    let (whole, pieces) = (codes(&[sent], dice.clone()), codes(&cut, dice));
    // Whether a client waited for its turn depends on how its octets came.
    if !whole.contains(&554) && !pieces.contains(&554) {
        assert_eq!(pieces, whole, "cuts change nothing");
    }
});
