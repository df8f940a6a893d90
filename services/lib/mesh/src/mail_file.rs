//! A file of mail on its way into a box: read message by message into frames of `BoxService.ImportMessages`, line ends made CRLF,
//! as fast as delivery takes them and never with more than a piece of a message in memory.
//!
//! Archives ([`Kind`]) are read the same way: nothing is unpacked, and the names of their members lead nowhere.
//!
//! mbox: a line that begins with `From ` at the start, or after an empty line, begins a message; one `>` is taken from lines
//! that quote it (mboxo and mboxrd are read alike).

mod archive;
mod growth;
mod tar;
mod zip;

use std::io::{self, BufRead, Error, ErrorKind};

pub use archive::{BEGIN_BYTES, Kind};
use jiff::{civil::DateTime, tz::TimeZone};
use postern_proto::{
    delivery::v1::{ImportMessagesRequest, ImportedMessage},
    google::Timestamp,
};
use tokio::sync::mpsc::Sender;

/// What every mbox begins with.
pub const MBOX_BEGIN: &[u8] = b"From ";
/// Octets of one frame, about.
const FRAME_BYTES: usize = 64 * 1024;
/// Characters of the name of a message.
const NAME_MAX_CHARS: usize = 200;
/// A line without an end is handed on in pieces of so many octets.
const PIECE_MAX_BYTES: u64 = 64 * 1024;

/// Messages on their way into frames. Its calls wait for delivery: they are for a thread of their own.
#[derive(Debug)]
pub struct MailFrames {
    frames: Sender<ImportMessagesRequest>,
    /// Goes with the first frame; `None` once it went.
    first: Option<ImportMessagesRequest>,
    content: Vec<u8>,
    begin: Option<ImportedMessage>,
    is_open: bool,
    count: u64,
    told: fn(u64),
}

impl MailFrames {
    /// Into these frames. `first`: what the first one says besides; it goes with the first message, or by [`Self::begin_call`].
    /// `told` is called with the count after each message.
    #[must_use]
    pub fn new(frames: Sender<ImportMessagesRequest>, first: ImportMessagesRequest, told: fn(u64)) -> Self {
        Self { frames, first: Some(first), content: Vec::new(), begin: None, is_open: false, count: 0, told }
    }

    /// Sends the first frame now, whether there is a message or not.
    ///
    /// # Errors
    /// [`ErrorKind::BrokenPipe`] as in [`Self::mbox`].
    pub fn begin_call(&mut self) -> io::Result<()> {
        match self.first.take() {
            Some(first) => self.send(first),
            None => Ok(()),
        }
    }

    /// True while nothing was sent.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.first.is_some() && !self.is_open
    }

    /// Reads a file of this kind to its end. A member of an archive that is damaged is told to delivery by its name, and the
    /// next one goes on; where the next one cannot be found, reading ends with an error.
    ///
    /// # Errors
    /// As [`Self::mbox`]; [`ErrorKind::InvalidData`] also for what an archive may not be.
    pub fn file(&mut self, kind: Kind, mut reader: impl BufRead) -> io::Result<()> {
        match kind {
            Kind::Mbox => self.mbox(&mut reader),
            Kind::Gzip => archive::gunzip(reader, self),
            Kind::Tar => tar::read(reader, self),
            Kind::Zip => zip::read(reader, self),
        }
    }

    /// Reads an mbox to its end.
    ///
    /// # Errors
    /// It cannot be read; it is no mbox ([`ErrorKind::InvalidData`]); or nobody takes the frames any more
    /// ([`ErrorKind::BrokenPipe`]): the answer of delivery says why. The message that was begun has no end then.
    pub fn mbox(&mut self, reader: &mut impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        // An empty line belongs to the message only when no other message follows it.
        let (mut after_empty, mut continued) = (true, false);
        while read_piece(reader, &mut line)? {
            if !continued && after_empty && line.starts_with(MBOX_BEGIN) {
                self.end()?;
                self.begin(seconds_of_separator(&line), String::new());
                (after_empty, continued) = (false, false);
                continue;
            }
            if !self.is_open {
                return Err(Error::new(
                    ErrorKind::InvalidData,
                    "not an mbox: it does not begin with a `From ` line",
                ));
            }
            if after_empty {
                self.line(b"\n")?;
            }
            after_empty = !continued && (line == b"\n" || line == b"\r\n");
            if !after_empty {
                let quoted = !continued && is_quoted_separator(&line);
                continued = self.line(&line[usize::from(quoted)..])?;
            }
        }
        self.end()
    }

    /// Reads one message to the end of its file. `seconds` of the Unix epoch: when it came; `name`: what people know it by, of
    /// which the last 200 characters are told.
    ///
    /// # Errors
    /// As [`Self::mbox`].
    pub fn message(&mut self, reader: impl BufRead, seconds: Option<i64>, name: &str) -> io::Result<()> {
        self.begin(seconds, name_told(name));
        self.pour(reader)?;
        self.end()
    }

    /// Octets of the open message.
    fn pour(&mut self, mut reader: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        while read_piece(&mut reader, &mut line)? {
            self.line(&line)?;
        }
        Ok(())
    }

    /// The open message is damaged where it comes from: delivery refuses it, and takes the next one.
    fn broken(&mut self) -> io::Result<()> {
        self.content.clear();
        let begin = self.begin.take();
        self.is_open = false;
        self.send(ImportMessagesRequest {
            begin,
            broken: true,
            end: true,
            ..ImportMessagesRequest::default()
        })
    }

    /// What was read is not all of the file: delivery gets a message without an end, and takes the import as one that stopped.
    pub fn break_off(mut self) {
        if !self.is_open {
            self.begin(None, String::new());
        }
        // Nobody takes it any more: then it has stopped already.
        let _ = self.give(false);
    }

    fn begin(&mut self, seconds: Option<i64>, name: String) {
        let receive_time =
            seconds.filter(|seconds| *seconds > 0).map(|seconds| Timestamp { seconds, nanos: 0 });
        self.begin = Some(ImportedMessage { receive_time, name });
        self.is_open = true;
    }

    /// A line, or a piece of one; true when more of it is to come.
    fn line(&mut self, line: &[u8]) -> io::Result<bool> {
        let text = line.strip_suffix(b"\n").map(|text| text.strip_suffix(b"\r").unwrap_or(text));
        self.content.extend_from_slice(text.unwrap_or(line));
        if text.is_some() {
            self.content.extend_from_slice(b"\r\n");
        }
        if self.content.len() >= FRAME_BYTES {
            self.give(false)?;
        }
        Ok(text.is_none())
    }

    fn end(&mut self) -> io::Result<()> {
        if !self.is_open {
            return Ok(());
        }
        self.give(true)?;
        self.is_open = false;
        self.count += 1;
        (self.told)(self.count);
        Ok(())
    }

    fn give(&mut self, end: bool) -> io::Result<()> {
        let content = std::mem::take(&mut self.content).into();
        let begin = self.begin.take();
        self.send(ImportMessagesRequest { begin, content, end, ..ImportMessagesRequest::default() })
    }

    fn send(&mut self, frame: ImportMessagesRequest) -> io::Result<()> {
        let frame = match self.first.take() {
            None => frame,
            Some(first) => ImportMessagesRequest {
                begin: frame.begin,
                content: frame.content,
                end: frame.end,
                broken: frame.broken,
                ..first
            },
        };
        self.frames.blocking_send(frame).map_err(|_| Error::from(ErrorKind::BrokenPipe))
    }
}

/// When a message of a maildir came, by the name of its file, seconds of the Unix epoch.
#[must_use]
pub fn maildir_seconds(name: &str) -> Option<i64> {
    name.split('.').next().and_then(|digits| digits.parse().ok())
}

/// The end of a name, which says most, without what cannot be shown.
fn name_told(name: &str) -> String {
    let shown: Vec<char> = name.chars().filter(|c| !c.is_control()).collect();
    shown[shown.len().saturating_sub(NAME_MAX_CHARS)..].iter().collect()
}

/// `>From `, `>>From ` and so on.
fn is_quoted_separator(line: &[u8]) -> bool {
    let quotes = line.iter().take_while(|octet| **octet == b'>').count();
    quotes > 0 && line[quotes..].starts_with(MBOX_BEGIN)
}

/// `From sender Wed Nov 25 12:00:00 2026`, in UTC.
fn seconds_of_separator(line: &[u8]) -> Option<i64> {
    let text = String::from_utf8_lossy(line);
    let words: Vec<&str> = text.split_whitespace().collect();
    let [.., _day_name, month, day, clock, year] = words[..] else { return None };
    let moment = DateTime::strptime("%b %d %H:%M:%S %Y", format!("{month} {day} {clock} {year}")).ok()?;
    Some(TimeZone::UTC.to_timestamp(moment).ok()?.as_second())
}

/// The next line with its end, or a piece of a long one. False at the end of the file.
fn read_piece(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut piece = io::Read::take(&mut *reader, PIECE_MAX_BYTES);
    piece.read_until(b'\n', line)?;
    if line.last() == Some(&b'\r') && reader.fill_buf()?.first() == Some(&b'\n') {
        // A piece that was cut within a line end.
        reader.consume(1);
        line.push(b'\n');
    }
    Ok(!line.is_empty())
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// The messages of an mbox, each with its second.
    fn read(text: &[u8]) -> io::Result<Vec<(Option<i64>, String)>> {
        let (frames, mut given) = tokio::sync::mpsc::channel(1000);
        MailFrames::new(frames, ImportMessagesRequest::default(), |_| ()).mbox(&mut BufReader::new(text))?;
        let mut messages = Vec::new();
        while let Ok(frame) = given.try_recv() {
            if let Some(begin) = frame.begin {
                messages.push((begin.receive_time.map(|time| time.seconds), String::new()));
            }
            let last = messages.last_mut().expect("begun");
            last.1.push_str(&String::from_utf8_lossy(&frame.content));
        }
        Ok(messages)
    }

    #[test]
    fn an_mbox_is_cut_at_its_separators() {
        let text = b"From a@x.test Thu Jan  1 00:01:40 1970\nA: 1\n\nbody\n\nFrom here on\n>From there\n>>From quoted\n\n\
                     From b Fri Jan 2 00:00:00 1970\r\nA: 2\r\n\r\nlast";
        let messages = read(text).expect("an mbox");
        assert_eq!(
            messages,
            [
                (Some(100), "A: 1\r\n\r\nbody\r\n".to_owned()),
                (None, "From there\r\n>From quoted\r\n".to_owned()),
                (Some(86400), "A: 2\r\n\r\nlast".to_owned()),
            ]
        );
        assert!(read(b"A: 1\n").is_err(), "no mbox");
        assert!(read(b"").expect("an empty one").is_empty());
    }

    #[test]
    fn what_broke_off_has_no_end() {
        struct Broken(&'static [u8]);
        impl io::Read for Broken {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                if self.0.is_empty() { Err(ErrorKind::ConnectionReset.into()) } else { self.0.read(into) }
            }
        }
        let (frames, mut given) = tokio::sync::mpsc::channel(10);
        let mut frames = MailFrames::new(frames, ImportMessagesRequest::default(), |_| ());
        let read = frames.mbox(&mut BufReader::new(Broken(b"From a\nA: 1\n\nwhole\n\nFrom b\nA: 2\n\nha")));
        assert_eq!(read.expect_err("broken").kind(), ErrorKind::ConnectionReset);
        frames.break_off();
        let mut ends = Vec::new();
        while let Ok(frame) = given.try_recv() {
            ends.push((frame.begin.is_some(), frame.end));
        }
        assert_eq!(ends, [(true, true), (true, false)]);
    }

    #[test]
    fn empty_lines_within_a_message_stay() {
        let messages = read(b"From a\nA: 1\n\n\nbody\nFrom x\n\n\n").expect("an mbox");
        assert_eq!(messages, [(None, "A: 1\r\n\r\n\r\nbody\r\nFrom x\r\n\r\n".to_owned())]);
    }

    #[test]
    fn long_lines_are_one_line() {
        let long = "x".repeat(200_000);
        let messages = read(format!("From a\nA: {long}\r\nFrom b\n").as_bytes()).expect("an mbox");
        assert_eq!(messages[0].1, format!("A: {long}\r\nFrom b\r\n"));
    }
}
