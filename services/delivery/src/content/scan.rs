//! Reads the header block of a message as it streams in, however it is cut into pieces.
//!
//! Pure: pieces go in, the pieces to keep come out. Incoming Return-Path fields are taken out (RFC 5321 section 4.4), and so
//! are Authentication-Results in our name, which only we may write (RFC 8601 section 5), and Bcc of a submission (RFC 5322
//! section 3.6.3), and what others said of spam where we say it ourselves. Received fields are counted and Delivered-To
//! addresses collected, both to find loops (RFC 5321 section 6.3).

use bytes::Bytes;
use postern_mail::{EmailAddress, Reason, limits};

use crate::spam;

/// Delivered-To fields after which a message is in a loop.
const DELIVERED_TO_MAX: usize = 100;
/// Octets of a Delivered-To field that are looked at.
const DELIVERED_TO_MAX_BYTES: usize = 1024;
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
    Other,
}

/// Names that mean something here.
const NAMES: [(&[u8], Field); 10] = [
    (b"return-path", Field::ReturnPath),
    (b"received", Field::Received),
    (b"delivered-to", Field::DeliveredTo),
    (b"bcc", Field::Bcc),
    (b"date", Field::Date),
    (b"message-id", Field::MessageId),
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
}

/// The scanner of one message.
#[derive(Debug)]
pub struct HeaderScan {
    at: At,
    /// The field of the line before, which a line that begins with white space continues.
    field: Option<Field>,
    /// Begin of an undecided line, from earlier pieces.
    held: Vec<u8>,
    /// Value of the Delivered-To field being read.
    value: Vec<u8>,
    header_bytes: usize,
    found: Found,
    /// A mail program sent it: whom it hides from the others stays hidden.
    drops_bcc: bool,
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
            header_bytes: 0,
            found: Found::default(),
            drops_bcc: false,
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
    /// The same for what a mail program submits: Bcc is taken out.
    #[must_use]
    pub fn of_submission(self) -> Self {
        Self { drops_bcc: true, ..self }
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
            Field::Bcc => self.drops_bcc,
            Field::SpamVerdict => self.drops_spam_verdicts,
            Field::Received
            | Field::DeliveredTo
            | Field::Date
            | Field::MessageId
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
                At::Value(field) => self.value(field, &mut piece),
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

    fn value(&mut self, field: Field, piece: &mut Piece<'_>) {
        let begin = piece.position;
        let line_end = piece.octets[begin..].iter().position(|c| *c == b'\n');
        let end = line_end.map_or(piece.octets.len(), |offset| begin + offset + 1);
        if field == Field::DeliveredTo {
            let room = DELIVERED_TO_MAX_BYTES.saturating_sub(self.value.len());
            self.value.extend(piece.octets[begin..end].iter().take(room));
        }
        if field == Field::Results && self.withheld.len() <= RESULTS_MAX_BYTES {
            self.withheld.extend_from_slice(&piece.octets[begin..end]);
        }
        piece.position = end;
        if line_end.is_some() {
            self.at = At::LineStart;
        }
    }

    fn end_field(&mut self, kept: &mut Vec<Bytes>) -> Result<(), Reason> {
        let field = self.field.take();
        if field == Some(Field::Results) {
            let withheld = std::mem::take(&mut self.withheld);
            if withheld.len() <= RESULTS_MAX_BYTES && !is_of(&withheld, &self.own_name) {
                keep(kept, Bytes::from(withheld));
            }
        }
        if field != Some(Field::DeliveredTo) {
            return Ok(());
        }
        let value = std::mem::take(&mut self.value);
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(pieces: &[&[u8]]) -> Result<(Vec<u8>, Found), Reason> {
        scan_with(HeaderScan::default(), pieces)
    }

    fn scan_with(mut scan: HeaderScan, pieces: &[&[u8]]) -> Result<(Vec<u8>, Found), Reason> {
        let mut kept = Vec::new();
        for piece in pieces {
            scan.push(Bytes::copy_from_slice(piece), &mut kept)?;
        }
        let found = scan.finish(&mut kept)?;
        Ok((kept.concat(), found))
    }

    #[track_caller]
    fn check(given: &str, kept: &str, delivered_to: &[&str], received_count: usize) {
        let whole = scan(&[given.as_bytes()]).expect("scanned");
        assert_eq!(String::from_utf8_lossy(&whole.0), kept);
        let addresses: Vec<_> = delivered_to.iter().map(|a| a.parse().expect("an address")).collect();
        assert_eq!(whole.1, Found { delivered_to: addresses, received_count, ..Found::default() });
        let octets: Vec<&[u8]> = given.as_bytes().chunks(1).collect();
        assert_eq!(scan(&octets).expect("scanned"), whole, "octet by octet");
    }

    #[test]
    fn s_25_return_path_goes_wherever_it_stands() {
        check(
            "Return-Path: <a@x.test>\r\nSubject: s\r\n\r\nReturn-Path: body\r\n",
            "Subject: s\r\n\r\nReturn-Path: body\r\n",
            &[],
            0,
        );
        check(
            "A: 1\r\nreturn-PATH :\r\n <a@x.test>\r\n\t(c)\r\nB: 2\r\nReturn-Path: x\r\n\r\nb",
            "A: 1\r\nB: 2\r\n\r\nb",
            &[],
            0,
        );
        check("Return-Path: x\r\n", "", &[], 0);
        check("Return-Path: x", "", &[], 0);
        check("Return-Pathology: x\r\n\r\n", "Return-Pathology: x\r\n\r\n", &[], 0);
    }

    #[test]
    fn s_24_s_26_what_a_submission_lacks_and_what_it_hides() {
        let text = "Bcc: a@x.test,\r\n b@x.test\r\nDATE: today\r\nbcc:\r\nX: 1\r\n\r\nBcc: body\r\nMessage-ID: <1@x>\r\n";
        let kept = "DATE: today\r\nX: 1\r\n\r\nBcc: body\r\nMessage-ID: <1@x>\r\n";
        let found = Found { has_date: true, ..Found::default() };
        for size in [1, 3, 1000] {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            let submitted = scan_with(HeaderScan::default().of_submission(), &pieces).expect("scanned");
            assert_eq!((String::from_utf8_lossy(&submitted.0).as_ref(), &submitted.1), (kept, &found));
            let relayed = scan(&pieces).expect("scanned");
            assert_eq!(String::from_utf8_lossy(&relayed.0), text, "of others nothing is taken out");
        }
        let found = scan(&[b"message-id : <1@x>\r\n\r\n"]).expect("scanned").1;
        assert!(found.has_message_id && !found.has_date);
    }

    #[test]
    fn what_others_said_of_spam_goes_where_we_say_it() {
        let text = "X-Spam-Status: No,\r\n score=-9\r\nA: 1\r\nx-spam-flag: no\r\nX-Spam-Statusline: s\r\nX-SPAM-SCORE : 0\r\n\r\nX-Spam-Score: b\r\n";
        let kept = "A: 1\r\nX-Spam-Statusline: s\r\n\r\nX-Spam-Score: b\r\n";
        for size in [1, 7, 1000] {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            let scanned = scan_with(HeaderScan::default().without_spam_verdicts(), &pieces).expect("scanned");
            assert_eq!(String::from_utf8_lossy(&scanned.0), kept);
            assert_eq!(String::from_utf8_lossy(&scan(&pieces).expect("scanned").0), text);
        }
    }

    #[test]
    fn results_in_our_name_go_however_they_are_written_and_cut() {
        let own = |pieces: &[&[u8]]| {
            let (mut scan, mut kept) = (HeaderScan::default().without_results_of("mail.x.test"), Vec::new());
            for piece in pieces {
                scan.push(Bytes::copy_from_slice(piece), &mut kept).expect("good");
            }
            scan.finish(&mut kept).expect("good");
            String::from_utf8(kept.concat()).expect("text")
        };
        for (field, stays) in [
            ("Authentication-Results: mail.x.test; spf=pass\r\n", false),
            ("authentication-results : MAIL.X.TEST 1; spf=pass\r\n", false),
            ("Authentication-Results:\r\n\t(a (b) \\) c) \"mail.x.test\";\r\n spf=pass\r\n", false),
            ("Authentication-Results: mail.x.test\r\n", false),
            ("Authentication-Results: mail.x.test.evil.test; spf=pass\r\n", true),
            ("Authentication-Results: other.test;\r\n spf=pass (mail.x.test)\r\n", true),
            ("Authentication-Results-X: mail.x.test; spf=pass\r\n", true),
            ("ARC-Authentication-Results: i=1; mail.x.test; spf=pass\r\n", true),
        ] {
            let text = format!("A: 1\r\n{field}B: 2\r\n\r\nAuthentication-Results: mail.x.test; body\r\n");
            let wanted = if stays { text.clone() } else { text.replacen(field, "", 1) };
            assert_eq!(own(&[text.as_bytes()]), wanted, "{field:?}");
            let octets: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(own(&octets), wanted, "octet by octet: {field:?}");
            assert_eq!(own(&[field.as_bytes()]), if stays { field } else { "" }, "alone: {field:?}");
        }
        let long = format!("Authentication-Results: y; {}\r\nB: 2\r\n\r\n", "x".repeat(RESULTS_MAX_BYTES));
        assert_eq!(own(&[long.as_bytes()]), "B: 2\r\n\r\n");
    }

    #[test]
    fn f_02_delivered_to_and_received_are_found() {
        let text = "Delivered-To: a@x.test\r\nReceived: 1\r\n by me\r\nDELIVERED-TO:\r\n <b@x.test>\r\n\
                    Received: 2\r\nX: Received: 3\r\n\r\nDelivered-To: c@x.test\r\nReceived: 4\r\n";
        check(text, text, &["a@x.test", "b@x.test"], 2);
        check("Delivered-To: a@x.test", "Delivered-To: a@x.test", &["a@x.test"], 0);
        check("Delivered-To: nonsense\r\n\r\n", "Delivered-To: nonsense\r\n\r\n", &[], 0);
    }

    #[test]
    fn what_is_no_header_is_kept_as_it_is() {
        for text in
            ["", "\r\n", ".\r\n", "just text\r\nReceived: no\r\n", " folded first\r\nA: b\r\n", ":\r\n\r\n"]
        {
            check(text, text, &[], 0);
        }
        let long = format!("{}: Received\r\nReceived: 1\r\n\r\n", "n".repeat(300));
        check(&long, &long, &[], 1);
    }

    /// What a long first line was once depended on where it was cut.
    #[test]
    fn a_long_line_is_a_field_or_the_body_however_it_is_cut() {
        let text = format!("{}\r\nReturn-Path: body\r\nReceived: body\r\n", "words ".repeat(20));
        check(&text, &text, &[], 0);
        let spaced = format!("Received{}: x\r\n\r\n", " ".repeat(80));
        check(&spaced, &spaced, &[], 0);
        let long = format!("{}: x\r\nReturn-Path: x\r\n\r\n", "n".repeat(70));
        check(&long, &long.replace("Return-Path: x\r\n", ""), &[], 0);
    }

    #[test]
    fn s_27_too_many_hops_are_a_loop() {
        let hops = |n| format!("{}\r\n", "Received: x\r\n".repeat(n));
        assert_eq!(scan(&[hops(100).as_bytes()]).expect("scanned").1.received_count, 100);
        assert_eq!(scan(&[hops(101).as_bytes()]), Err(Reason::MailLoop));
        let visits = "Delivered-To: a@x.test\r\n".repeat(101);
        assert_eq!(scan(&[visits.as_bytes()]), Err(Reason::MailLoop));
    }

    #[test]
    fn an_endless_header_is_refused() {
        let endless = format!("A: {}\r\n", "x".repeat(limits::HEADER_BLOCK_MAX_BYTES));
        assert_eq!(scan(&[endless.as_bytes()]), Err(Reason::HeadersTooLarge));
        let body = format!("A: b\r\n\r\n{}", "x".repeat(limits::HEADER_BLOCK_MAX_BYTES));
        assert!(scan(&[body.as_bytes()]).is_ok());
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            lines in prop::collection::vec(
                prop::sample::select(vec![
                    "Return-Path: <a@x.test>\r\n", "Received: from x\r\n", "Delivered-To: a@x.test\r\n",
                    " continued\r\n", "\tcontinued: too\r\n", "Subject: s\r\n", "\r\n", "text\r\n", "Re", "turn-path:",
                    ":\r\n", "\n", "\r", " ",
                ]), 0..20),
            cuts in prop::collection::vec(0usize..400, 0..8),
        ) {
            let text = lines.concat();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut begin = 0;
            for cut in cuts {
                pieces.push(&text.as_bytes()[begin..cut]);
                begin = cut;
            }
            pieces.push(&text.as_bytes()[begin..]);
            prop_assert_eq!(scan(&pieces), scan(&[text.as_bytes()]));
        }

        #[test]
        fn without_a_return_path_every_octet_is_kept(octets in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assume!(!octets.to_ascii_lowercase().windows(11).any(|w| w == b"return-path"));
            let kept = scan(&[&octets]).expect("scanned").0;
            prop_assert_eq!(kept, octets);
        }
    }
}
