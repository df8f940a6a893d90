//! A maildir that grows.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Write as _},
    path::PathBuf,
};

use postern_proto::delivery::v1::{ExportedMessage, export_messages_response::Frame};

use super::{Exported, LineEnds, name_of, tell_damaged};

/// The folder and what is in it.
pub(super) struct Maildir {
    folder: PathBuf,
    mailbox_id: i64,
    /// Names in new and cur, without flags.
    known: HashSet<String>,
    open: Option<Writing>,
    exported: Exported,
}

/// The message that is being written.
struct Writing {
    uid: u64,
    name: String,
    /// `None`: it is there already.
    file: Option<File>,
    ends: LineEnds,
}

impl Maildir {
    pub(super) fn open(folder: PathBuf, mailbox_id: i64) -> io::Result<Self> {
        let mut known = HashSet::new();
        for part in ["tmp", "new", "cur"] {
            fs::create_dir_all(folder.join(part))?;
        }
        for part in ["new", "cur"] {
            for entry in fs::read_dir(folder.join(part))? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                known.insert(name.split(':').next().unwrap_or_default().to_owned());
            }
        }
        Ok(Self { folder, mailbox_id, known, open: None, exported: Exported::default() })
    }

    /// What was done.
    pub(super) fn finish(self) -> Exported {
        self.exported
    }

    pub(super) fn take(&mut self, frame: Frame) -> io::Result<()> {
        match frame {
            Frame::Begin(begin) => self.begin(&begin),
            Frame::Content(octets) => self.open.as_mut().map_or(Ok(()), |writing| writing.write(&octets)),
            Frame::End(_) => self.end(),
            Frame::Failure(failure) => {
                if let Some(writing) = self.open.take() {
                    tell_damaged(writing.uid, &failure.reason);
                    if writing.file.is_some() {
                        fs::remove_file(self.folder.join("tmp").join(&writing.name))?;
                    }
                }
                self.exported.damaged += 1;
                Ok(())
            }
        }
    }

    fn begin(&mut self, begin: &ExportedMessage) -> io::Result<()> {
        let name = name_of(begin, self.mailbox_id);
        let is_known = self.known.contains(&name);
        let file = if is_known { None } else { Some(File::create(self.folder.join("tmp").join(&name))?) };
        self.open = Some(Writing { uid: begin.uid, name, file, ends: LineEnds::default() });
        Ok(())
    }

    /// Complete and on disk before it has its name.
    fn end(&mut self) -> io::Result<()> {
        let Some(Writing { name, file, ends, .. }) = self.open.take() else { return Ok(()) };
        let Some(mut file) = file else {
            self.exported.there_already += 1;
            return Ok(());
        };
        file.write_all(ends.rest())?;
        file.sync_all()?;
        fs::rename(self.folder.join("tmp").join(&name), self.folder.join("new").join(&name))?;
        self.exported.written += 1;
        Ok(())
    }
}

impl Writing {
    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(&self.ends.convert(octets))
    }
}

#[cfg(test)]
mod tests {
    use postern_proto::delivery::v1::{ExportFailure, ExportedEnd};

    use super::*;

    fn give(maildir: &mut Maildir, uid: u64, pieces: &[&'static [u8]], end: Frame) {
        let begin = ExportedMessage { uid, ..ExportedMessage::default() };
        maildir.take(Frame::Begin(begin)).expect("begun");
        for piece in pieces {
            maildir.take(Frame::Content((*piece).into())).expect("written");
        }
        maildir.take(end).expect("ended");
    }

    #[test]
    fn a_second_export_adds_only_what_is_new() {
        let folder = tempfile::tempdir().expect("a folder");
        let end = || Frame::End(ExportedEnd {});
        let mut first = Maildir::open(folder.path().join("box"), 7).expect("open");
        give(&mut first, 1, &[b"A: b\r", b"\n\r\nx\r"], end());
        give(&mut first, 2, &[b"A: half"], Frame::Failure(ExportFailure::default()));
        assert_eq!((first.exported.written, first.exported.damaged), (1, 1));
        let written = folder.path().join("box/new/0.U1B7.postern");
        assert_eq!(fs::read(&written).expect("written"), b"A: b\n\nx\r");
        // A mail program has read it.
        fs::rename(&written, folder.path().join("box/cur/0.U1B7.postern:2,S")).expect("read");
        let mut second = Maildir::open(folder.path().join("box"), 7).expect("open");
        give(&mut second, 1, &[b"A: b\r\n"], end());
        give(&mut second, 3, &[b"A: c\r\n"], end());
        assert_eq!((second.exported.written, second.exported.there_already), (1, 1));
        assert_eq!(fs::read_dir(folder.path().join("box/tmp")).expect("tmp").count(), 0);
    }
}
