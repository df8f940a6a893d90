//! An mbox file or a maildir, read message by message into frames, line ends made CRLF.
//!
//! mbox: a line that begins with `From ` at the start, or after an empty line, begins a message; one `>` is taken from lines
//! that quote it (mboxo and mboxrd are read alike).

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Error, ErrorKind},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use jiff::{civil::DateTime, tz::TimeZone};
use postern_proto::{
    delivery::v1::{ImportMessagesRequest, ImportedMessage},
    google::Timestamp,
};
use tokio::sync::mpsc::Sender;

/// Octets of one frame, about.
const FRAME_BYTES: usize = 64 * 1024;
/// A message is told of on standard error after so many.
const PROGRESS_EVERY: u64 = 1000;
/// A line without an end is handed on in pieces of so many octets.
const PIECE_MAX_BYTES: u64 = 64 * 1024;

/// Where messages come from.
#[derive(Debug)]
pub(super) enum Source {
    Mbox(PathBuf),
    /// Files in the order of their delivery.
    Maildir(Vec<PathBuf>),
}

impl Source {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if !fs::metadata(path)?.is_dir() {
            File::open(path)?;
            return Ok(Self::Mbox(path.to_owned()));
        }
        let mut files = Vec::new();
        for folder in ["new", "cur"] {
            for entry in fs::read_dir(path.join(folder)).map_err(|_| not_a_maildir())? {
                let entry = entry?;
                if entry.file_type()?.is_file() && !entry.file_name().to_string_lossy().starts_with('.') {
                    files.push(entry.path());
                }
            }
        }
        // Names begin with the second of delivery.
        files.sort_by_cached_key(|file| (seconds_of(file), file.file_name().map(ToOwned::to_owned)));
        Ok(Self::Maildir(files))
    }

    /// Sends all messages; ends early when nobody takes them.
    pub(super) fn send_all(self, frames: &Sender<ImportMessagesRequest>) -> io::Result<Self> {
        let mut outgoing = Outgoing { frames, content: Vec::new(), begin: None, is_open: false, count: 0 };
        let sent = match &self {
            Self::Mbox(path) => send_mbox(&mut BufReader::new(File::open(path)?), &mut outgoing),
            Self::Maildir(files) => files.iter().try_for_each(|file| send_file(file, &mut outgoing)),
        };
        match sent {
            // Delivery stopped: its answer says why.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(self),
            sent => sent.map(|()| self),
        }
    }

    /// What people know message `index` of the call by.
    pub(super) fn name_of(&self, index: i64) -> String {
        let file = match self {
            Self::Mbox(_) => None,
            Self::Maildir(files) => usize::try_from(index).ok().and_then(|index| files.get(index)),
        };
        file.map_or_else(|| format!("message {}", index + 1), |file| file.display().to_string())
    }
}

fn not_a_maildir() -> Error {
    Error::new(ErrorKind::InvalidInput, "neither a file nor a maildir (a folder with new and cur)")
}

/// The second of delivery: from the name, else when the file was written.
fn seconds_of(file: &Path) -> i64 {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let named = name.split('.').next().and_then(|digits| digits.parse().ok());
    named.unwrap_or_else(|| {
        let written = fs::metadata(file).and_then(|meta| meta.modified()).unwrap_or(UNIX_EPOCH);
        written.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs().cast_signed())
    })
}

fn send_file(file: &Path, outgoing: &mut Outgoing<'_>) -> io::Result<()> {
    let mut reader = BufReader::new(File::open(file)?);
    outgoing.begin(Some(seconds_of(file)));
    let mut line = Vec::new();
    while read_piece(&mut reader, &mut line)? {
        outgoing.line(&line)?;
    }
    outgoing.end()
}

fn send_mbox(reader: &mut impl BufRead, outgoing: &mut Outgoing<'_>) -> io::Result<()> {
    let mut line = Vec::new();
    // An empty line belongs to the message only when no other message follows it.
    let (mut after_empty, mut continued) = (true, false);
    while read_piece(reader, &mut line)? {
        if !continued && after_empty && line.starts_with(b"From ") {
            outgoing.end()?;
            outgoing.begin(seconds_of_separator(&line));
            (after_empty, continued) = (false, false);
            continue;
        }
        if !outgoing.is_open {
            return Err(Error::new(
                ErrorKind::InvalidData,
                "not an mbox: it does not begin with a `From ` line",
            ));
        }
        if after_empty {
            outgoing.line(b"\n")?;
        }
        after_empty = !continued && (line == b"\n" || line == b"\r\n");
        if !after_empty {
            let quoted = !continued && is_quoted_separator(&line);
            continued = outgoing.line(&line[usize::from(quoted)..])?;
        }
    }
    outgoing.end()
}

/// `>From `, `>>From ` and so on.
fn is_quoted_separator(line: &[u8]) -> bool {
    let quotes = line.iter().take_while(|octet| **octet == b'>').count();
    quotes > 0 && line[quotes..].starts_with(b"From ")
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

/// Messages on their way into frames.
struct Outgoing<'f> {
    frames: &'f Sender<ImportMessagesRequest>,
    content: Vec<u8>,
    begin: Option<ImportedMessage>,
    is_open: bool,
    count: u64,
}

impl Outgoing<'_> {
    fn begin(&mut self, seconds: Option<i64>) {
        let receive_time =
            seconds.filter(|seconds| *seconds > 0).map(|seconds| Timestamp { seconds, nanos: 0 });
        self.begin = Some(ImportedMessage { receive_time });
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
        if self.count.is_multiple_of(PROGRESS_EVERY) {
            eprintln!("{} messages read", self.count);
        }
        Ok(())
    }

    fn give(&mut self, end: bool) -> io::Result<()> {
        let content = std::mem::take(&mut self.content).into();
        let frame = ImportMessagesRequest { mailbox_id: 0, begin: self.begin.take(), content, end };
        self.frames.blocking_send(frame).map_err(|_| Error::from(ErrorKind::BrokenPipe))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages of an mbox, each with its second.
    fn read(text: &[u8]) -> io::Result<Vec<(Option<i64>, String)>> {
        let (frames, mut given) = tokio::sync::mpsc::channel(1000);
        let mut outgoing =
            Outgoing { frames: &frames, content: Vec::new(), begin: None, is_open: false, count: 0 };
        send_mbox(&mut BufReader::new(text), &mut outgoing)?;
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
