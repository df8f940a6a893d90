//! A maildir as a tar, written as messages come; nothing touches a disk.
//!
//! Its two empty blocks are written only when all messages were: an archive that broke off has no end, and is seen to be cut.

use std::io::{self, Error, ErrorKind, Write};

use postern_proto::delivery::v1::{ExportedMessage, export_messages_response::Frame};
use tar::{EntryType, Header};

use super::{Exported, LineEnds, name_of, seconds_of, tell_damaged};

/// Octets of a block; all of an archive is a multiple of it.
const BLOCK: usize = 512;
/// Only their owner reads letters.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// The archive as it grows.
pub(super) struct Archive<W> {
    out: W,
    mailbox_id: i64,
    open: Option<Reading>,
    exported: Exported,
}

/// The message that is being read: its length stands before it, so it is whole in memory.
struct Reading {
    begin: ExportedMessage,
    content: Vec<u8>,
    ends: LineEnds,
}

impl<W: Write> Archive<W> {
    pub(super) fn begin(out: W, mailbox_id: i64) -> io::Result<Self> {
        let mut archive = Self { out, mailbox_id, open: None, exported: Exported::default() };
        for folder in ["tmp/", "new/", "cur/"] {
            archive.entry(folder, EntryType::Directory, FOLDER_MODE, 0, &[])?;
        }
        Ok(archive)
    }

    pub(super) fn take(&mut self, frame: Frame) -> io::Result<()> {
        match frame {
            Frame::Begin(begin) => {
                self.open = Some(Reading { begin, content: Vec::new(), ends: LineEnds::default() });
                Ok(())
            }
            Frame::Content(octets) => {
                if let Some(reading) = &mut self.open {
                    let converted = reading.ends.convert(&octets);
                    reading.content.extend(converted);
                }
                Ok(())
            }
            Frame::End(_) => self.end(),
            Frame::Failure(failure) => {
                if let Some(reading) = self.open.take() {
                    tell_damaged(reading.begin.uid, &failure.reason);
                }
                self.exported.damaged += 1;
                Ok(())
            }
        }
    }

    pub(super) fn finish(mut self) -> io::Result<Exported> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.exported)
    }

    fn end(&mut self) -> io::Result<()> {
        let Some(Reading { begin, mut content, ends }) = self.open.take() else { return Ok(()) };
        content.extend_from_slice(ends.rest());
        let name = format!("new/{}", name_of(&begin, self.mailbox_id));
        self.entry(&name, EntryType::Regular, FILE_MODE, seconds_of(&begin), &content)?;
        self.exported.written += 1;
        Ok(())
    }

    fn entry(
        &mut self,
        name: &str,
        kind: EntryType,
        mode: u32,
        seconds: i64,
        content: &[u8],
    ) -> io::Result<()> {
        let size = u64::try_from(content.len()).map_err(|e| Error::new(ErrorKind::InvalidData, e))?;
        let mut header = Header::new_ustar();
        header.set_path(name)?;
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(u64::try_from(seconds).unwrap_or(0));
        header.set_size(size);
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(content)?;
        let padding = content.len().next_multiple_of(BLOCK) - content.len();
        self.out.write_all(&vec![0; padding])
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use postern_proto::{
        delivery::v1::{ExportFailure, ExportedEnd},
        google::Timestamp,
    };

    use super::*;

    #[test]
    fn an_archive_is_a_maildir_without_what_is_damaged() {
        let mut out = Vec::new();
        let mut archive = Archive::begin(&mut out, 7).expect("begun");
        for (uid, pieces, is_whole) in
            [(1, [&b"A: b\r"[..], b"\n\r\nx\r"], true), (2, [b"A: ", b"half"], false), (3, [b"", b""], true)]
        {
            let receive_time = Some(Timestamp { seconds: 1_700_000_000, nanos: 0 });
            let begin = ExportedMessage { uid, receive_time, ..ExportedMessage::default() };
            archive.take(Frame::Begin(begin)).expect("begun");
            for piece in pieces {
                archive.take(Frame::Content(piece.into())).expect("taken");
            }
            let end =
                if is_whole { Frame::End(ExportedEnd {}) } else { Frame::Failure(ExportFailure::default()) };
            archive.take(end).expect("ended");
        }
        let exported = archive.finish().expect("written");
        assert_eq!((exported.written, exported.damaged), (2, 1));
        assert!(out.len().is_multiple_of(BLOCK) && out.ends_with(&[0; 2 * BLOCK]));
        let mut read = tar::Archive::new(&out[..]);
        let mut found = Vec::new();
        for entry in read.entries().expect("an archive") {
            let mut entry = entry.expect("an entry");
            let name = entry.path().expect("a path").display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).expect("a text");
            found.push((name, text));
        }
        let wanted = [
            ("tmp/", ""),
            ("new/", ""),
            ("cur/", ""),
            ("new/1700000000.U1B7.postern", "A: b\n\nx\r"),
            ("new/1700000000.U3B7.postern", ""),
        ];
        assert_eq!(found, wanted.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }
}
