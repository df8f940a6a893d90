//! Reads the header block of a message as it streams in, however it is cut into pieces.
//!
//! Pure: pieces go in, the pieces to keep come out. Incoming Return-Path fields are taken out (RFC 5321 section 4.4), and so
//! are Authentication-Results in our name, which only we may write (RFC 8601 section 5), and Bcc of a submission (RFC 5322
//! section 3.6.3), and what others said of spam where we say it ourselves. Received fields are counted and Delivered-To
//! addresses collected, both to find loops (RFC 5321 section 6.3), and of a submission those who say to have written it.

use bytes::Bytes;
use postern_mail::{EmailAddress, Reason, limits};

use crate::spam;

/// Delivered-To fields after which a message is in a loop.
const DELIVERED_TO_MAX: usize = 100;
/// Octets of a Delivered-To field that are looked at.
const DELIVERED_TO_MAX_BYTES: usize = 1024;
/// Octets of From and Sender of a submission, all of them together; what is longer is no list of authors.
const AUTHORS_MAX_BYTES: usize = 16 * 1024;
/// An Authentication-Results field that is longer is taken out whoever wrote it, octets.
const RESULTS_MAX_BYTES: usize = 16 * 1024;
/// A name longer than this is none that matters here.
const NAME_MAX_BYTES: usize = 64;

/// The field that a line belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    ReturnPath,
    Received,
    DeliveredTo,
    Bcc,
    Date,
    MessageId,
    /// Authentication-Results: withheld until it is known whose.
    Results,
    /// What a spam scanner said.
    SpamVerdict,
    /// Who wrote or sent it (RFC 5322 section 3.6.2).
    Author,
    Other,
}

/// Names that mean something here.
const NAMES: [(&[u8], Field); 12] = [
    (b"return-path", Field::ReturnPath),
    (b"received", Field::Received),
    (b"delivered-to", Field::DeliveredTo),
    (b"bcc", Field::Bcc),
    (b"date", Field::Date),
    (b"message-id", Field::MessageId),
    (b"from", Field::Author),
    (b"sender", Field::Author),
    (b"authentication-results", Field::Results),
    (spam::FIELDS[0], Field::SpamVerdict),
    (spam::FIELDS[1], Field::SpamVerdict),
    (spam::FIELDS[2], Field::SpamVerdict),
];

impl Field {
    fn named(name: &[u8]) -> Self {
        // White space before the colon is obsolete syntax that must be understood (RFC 5322 section 4.5).
        let name = if name.len() > NAME_MAX_BYTES { &[] } else { name.trim_ascii_end() };
        let known = NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
        known.map_or(Self::Other, |(_, field)| *field)
    }
}

/// Where the next octet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// At the begin of a header line.
    LineStart,
    /// In a field name that is not decided yet.
    Name,
    /// In a field name that is too long to matter, if it is one.
    LongName,
    /// In the value of a field, or a continuation of it.
    Value(Field),
    /// Behind the header block.
    Body,
}

/// What the header block told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Addresses of Delivered-To fields.
    pub delivered_to: Vec<EmailAddress>,
    /// Received fields.
    pub received_count: usize,
    /// There is a Date.
    pub has_date: bool,
    /// There is a Message-ID.
    pub has_message_id: bool,
    /// What stands in each From and Sender of a submission, with its line ends.
    pub authors: Vec<Vec<u8>>,
}

/// The scanner of one message.
#[derive(Debug)]
pub struct HeaderScan {
    at: At,
    /// The field of the line before, which a line that begins with white space continues.
    field: Option<Field>,
    /// Begin of an undecided line, from earlier pieces.
    held: Vec<u8>,
    /// Value of the Delivered-To, From or Sender field being read.
    value: Vec<u8>,
    /// Octets of From and Sender so far.
    author_bytes: usize,
    header_bytes: usize,
    found: Found,
    /// A mail program sent it: whom it hides from the others stays hidden, and who wrote it is collected.
    is_submission: bool,
    /// Our own scanner says whether it is spam.
    drops_spam_verdicts: bool,
    /// The Authentication-Results field being read, whole.
    withheld: Vec<u8>,
    /// Our name in such fields; empty: they are all kept.
    own_name: Box<str>,
}

impl Default for HeaderScan {
    fn default() -> Self {
        Self {
            at: At::LineStart,
            field: None,
            held: Vec::new(),
            value: Vec::new(),
            author_bytes: 0,
            header_bytes: 0,
            found: Found::default(),
            is_submission: false,
            drops_spam_verdicts: false,
            withheld: Vec::new(),
            own_name: Box::default(),
        }
    }
}

/// One piece on its way through the scanner.
struct Piece<'a> {
    octets: Bytes,
    /// What is looked at next.
    position: usize,
    /// Begin of what is to be kept and was not handed on yet; `None` while a field is dropped or undecided.
    run: Option<usize>,
    /// Begin of the undecided line, as far as it stands in this piece.
    line: usize,
    kept: &'a mut Vec<Bytes>,
}

impl Piece<'_> {
    fn keep_until(&mut self, end: usize) {
        if let Some(run) = self.run.take() {
            keep(self.kept, self.octets.slice(run..end));
        }
    }

    fn begin_run(&mut self, begin: usize) {
        self.run.get_or_insert(begin);
    }
}

fn keep(kept: &mut Vec<Bytes>, octets: Bytes) {
    if !octets.is_empty() {
        kept.push(octets);
    }
}

impl HeaderScan {
    /// The same for what a mail program submits: Bcc is taken out, From and Sender are collected.
    #[must_use]
    pub fn of_submission(self) -> Self {
        Self { is_submission: true, ..self }
    }

    /// The same, and Authentication-Results of this name are taken out.
    #[must_use]
    pub fn without_results_of(self, own_name: &str) -> Self {
        Self { own_name: own_name.into(), ..self }
    }

    /// The same, and what others said of spam is taken out.
    #[must_use]
    pub fn without_spam_verdicts(self) -> Self {
        Self { drops_spam_verdicts: true, ..self }
    }

    fn drops(&self, field: Field) -> bool {
        match field {
            Field::ReturnPath => true,
            Field::Bcc => self.is_submission,
            Field::SpamVerdict => self.drops_spam_verdicts,
            Field::Received
            | Field::DeliveredTo
            | Field::Date
            | Field::MessageId
            | Field::Author
            | Field::Results
            | Field::Other => false,
        }
    }

    /// Takes the next piece and appends what is to be kept to `kept`.
    ///
    /// # Errors
    /// [`Reason::MailLoop`] or [`Reason::HeadersTooLarge`].
    pub fn push(&mut self, octets: Bytes, kept: &mut Vec<Bytes>) -> Result<(), Reason> {
        if self.at == At::Body {
            keep(kept, octets);
            return Ok(());
        }
        let held_back = |field| field == Field::Results || self.drops(field);
        let undecided = self.at == At::Name || self.field.is_some_and(held_back);
        let run = if undecided { None } else { Some(0) };
        let mut piece = Piece { octets, position: 0, run, line: 0, kept };
        while piece.position < piece.octets.len() && self.at != At::Body {
            match self.at {
                At::LineStart => self.line_start(&mut piece)?,
                At::Name => self.name(&mut piece)?,
                At::LongName => self.long_name(&mut piece),
                At::Value(field) => self.value(field, &mut piece)?,
                At::Body => {}
            }
        }
        self.header_bytes = self.header_bytes.saturating_add(piece.position);
        if self.header_bytes > limits::HEADER_BLOCK_MAX_BYTES {
            return Err(Reason::HeadersTooLarge);
        }
        if self.at == At::Name {
            piece.keep_until(piece.line);
            self.held.extend_from_slice(&piece.octets[piece.line..]);
        } else {
            piece.keep_until(piece.octets.len());
        }
        Ok(())
    }

    /// The message is complete.
    ///
    /// # Errors
    /// [`Reason::MailLoop`].
    pub fn finish(mut self, kept: &mut Vec<Bytes>) -> Result<Found, Reason> {
        if self.at == At::Name {
            keep(kept, Bytes::from(std::mem::take(&mut self.held)));
        }
        self.end_field(kept)?;
        Ok(self.found)
    }

    fn line_start(&mut self, piece: &mut Piece<'_>) -> Result<(), Reason> {
        match (piece.octets[piece.position], self.field) {
            (b' ' | b'\t', Some(field)) => {
                self.at = At::Value(field);
                return Ok(());
            }
            // The empty line, or text that is no header at all.
            (b'\r' | b'\n' | b' ' | b'\t', _) => self.at = At::Body,
            _ => {
                self.at = At::Name;
                piece.line = piece.position;
            }
        }
        self.end_field(piece.kept)?;
        piece.begin_run(piece.position);
        Ok(())
    }

    fn name(&mut self, piece: &mut Piece<'_>) -> Result<(), Reason> {
        let begin = piece.position;
        let end = piece.octets[begin..].iter().position(|c| matches!(c, b':' | b'\r' | b'\n'));
        let Some(end) = end.map(|offset| begin + offset) else {
            piece.position = piece.octets.len();
            if self.held.len() + piece.octets.len() - piece.line > NAME_MAX_BYTES {
                self.decide(Field::Other, piece);
                self.at = At::LongName;
            }
            return Ok(());
        };
        piece.position = end;
        if piece.octets[end] != b':' {
            // Not a field: the body begins without an empty line, as some old programs write it.
            self.decide(Field::Other, piece);
            self.at = At::Body;
            return Ok(());
        }
        let name = &piece.octets[piece.line..end];
        let field = if self.held.is_empty() {
            Field::named(name)
        } else {
            Field::named(&[&self.held[..], name].concat())
        };
        let field = if field == Field::Results && self.own_name.is_empty() { Field::Other } else { field };
        match field {
            Field::Received => {
                self.found.received_count += 1;
                if self.found.received_count > limits::RECEIVED_HEADERS_MAX {
                    return Err(Reason::MailLoop);
                }
            }
            Field::Date => self.found.has_date = true,
            Field::MessageId => self.found.has_message_id = true,
            Field::ReturnPath
            | Field::DeliveredTo
            | Field::Bcc
            | Field::Author
            | Field::Results
            | Field::SpamVerdict
            | Field::Other => {}
        }
        piece.position = end + 1;
        self.decide(field, piece);
        Ok(())
    }

    /// To the colon; a line without one is no field, and the body begins with it.
    fn long_name(&mut self, piece: &mut Piece<'_>) {
        let begin = piece.position;
        let end = piece.octets[begin..].iter().position(|c| matches!(c, b':' | b'\r' | b'\n'));
        piece.position = end.map_or(piece.octets.len(), |offset| begin + offset);
        match end {
            Some(_) if piece.octets[piece.position] == b':' => self.at = At::Value(Field::Other),
            Some(_) => self.at = At::Body,
            None => {}
        }
    }

    /// The line belongs to this field: it is kept or dropped from its begin on.
    fn decide(&mut self, field: Field, piece: &mut Piece<'_>) {
        self.at = At::Value(field);
        self.field = Some(field);
        let held = Bytes::from(std::mem::take(&mut self.held));
        if self.drops(field) {
            piece.keep_until(piece.line);
        } else if field == Field::Results {
            piece.keep_until(piece.line);
            self.withheld = [&held[..], &piece.octets[piece.line..piece.position]].concat();
        } else {
            keep(piece.kept, held);
            piece.begin_run(0);
        }
    }

    fn value(&mut self, field: Field, piece: &mut Piece<'_>) -> Result<(), Reason> {
        let begin = piece.position;
        let line_end = piece.octets[begin..].iter().position(|c| *c == b'\n');
        let end = line_end.map_or(piece.octets.len(), |offset| begin + offset + 1);
        if field == Field::DeliveredTo {
            let room = DELIVERED_TO_MAX_BYTES.saturating_sub(self.value.len());
            self.value.extend(piece.octets[begin..end].iter().take(room));
        }
        if field == Field::Author && self.is_submission {
            self.author_bytes += end - begin;
            if self.author_bytes > AUTHORS_MAX_BYTES {
                return Err(Reason::HeadersTooLarge);
            }
            self.value.extend_from_slice(&piece.octets[begin..end]);
        }
        if field == Field::Results && self.withheld.len() <= RESULTS_MAX_BYTES {
            self.withheld.extend_from_slice(&piece.octets[begin..end]);
        }
        piece.position = end;
        if line_end.is_some() {
            self.at = At::LineStart;
        }
        Ok(())
    }

    fn end_field(&mut self, kept: &mut Vec<Bytes>) -> Result<(), Reason> {
        let field = self.field.take();
        if field == Some(Field::Results) {
            let withheld = std::mem::take(&mut self.withheld);
            if withheld.len() <= RESULTS_MAX_BYTES && !is_of(&withheld, &self.own_name) {
                keep(kept, Bytes::from(withheld));
            }
        }
        let value = std::mem::take(&mut self.value);
        if field == Some(Field::Author) && self.is_submission {
            self.found.authors.push(value);
            return Ok(());
        }
        if field != Some(Field::DeliveredTo) {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&value);
        let text = text.trim().trim_start_matches('<').trim_end_matches('>');
        if let Ok(address) = text.parse() {
            if self.found.delivered_to.len() >= DELIVERED_TO_MAX {
                return Err(Reason::MailLoop);
            }
            self.found.delivered_to.push(address);
        }
        Ok(())
    }
}

/// True for results that say to be of `name`, as everybody reads it: behind white space and comments, in quotes or not.
fn is_of(field: &[u8], name: &str) -> bool {
    let text = String::from_utf8_lossy(field);
    let value = text.split_once(':').map_or("", |(_, value)| value);
    let (mut depth, mut escaped, mut quoted) = (0usize, false, false);
    let mut id = String::new();
    for c in value.chars() {
        match c {
            _ if std::mem::take(&mut escaped) => {
                if depth == 0 {
                    id.push(c);
                }
            }
            '\\' if depth > 0 || quoted => escaped = true,
            '"' if depth == 0 => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            ';' if !quoted => break,
            _ if c.is_whitespace() && !quoted => {
                if !id.is_empty() {
                    break;
                }
            }
            _ => id.push(c),
        }
    }
    id.eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests;
