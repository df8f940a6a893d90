//! `postern export-mail`: a box into a maildir. Names are made of uids, so that a repeated export adds only what is new.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;
use postern_proto::delivery::v1::{
    ExportMessagesRequest, ExportedMessage, box_service_client::BoxServiceClient,
    export_messages_response::Frame,
};
use serde::Serialize;

use super::{Failure, mailbox, operator::Operator, table::counted};

/// What is exported, and where to.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  postern export-mail anna@homepage.test ./anna\n\nExit code 1 when messages are damaged."
)]
pub struct ExportMailArgs {
    /// Address of the box, or the login of a default box
    address: String,
    /// The maildir; made when it is missing
    folder: PathBuf,
}

/// What was done.
#[derive(Debug, Default, Serialize)]
struct Exported {
    written: i64,
    there_already: i64,
    damaged: i64,
}

impl ExportMailArgs {
    pub(super) async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let mailbox_id = mailbox::get(operator, self.address).await?.mailbox_id;
        let mut maildir =
            Maildir::open(self.folder.clone(), mailbox_id).map_err(|e| unwritable(&self.folder, &e))?;
        let mut client = BoxServiceClient::new(operator.delivery.clone());
        let mut frames = client.export_messages(ExportMessagesRequest { mailbox_id }).await?.into_inner();
        while let Some(answer) = frames.message().await? {
            let Some(frame) = answer.frame else { continue };
            maildir.take(frame).map_err(|e| unwritable(&self.folder, &e))?;
        }
        let exported = maildir.exported;
        operator.show(&exported, |done| {
            format!(
                "{} written, {} there already, {} damaged",
                counted(done.written, "message", "messages"),
                done.there_already,
                done.damaged
            )
        })?;
        match exported.damaged {
            0 => Ok(()),
            count => {
                Err(Failure::Refused(format!("{} damaged", counted(count, "message is", "messages are"))))
            }
        }
    }
}

fn unwritable(folder: &Path, error: &io::Error) -> Failure {
    Failure::Usage(format!("{}: {error}", folder.display()))
}

/// A maildir that grows.
struct Maildir {
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
    /// A CR whose LF may follow.
    held: bool,
}

impl Maildir {
    fn open(folder: PathBuf, mailbox_id: i64) -> io::Result<Self> {
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

    fn take(&mut self, frame: Frame) -> io::Result<()> {
        match frame {
            Frame::Begin(begin) => self.begin(&begin),
            Frame::Content(octets) => self.open.as_mut().map_or(Ok(()), |writing| writing.write(&octets)),
            Frame::End(_) => self.end(),
            Frame::Failure(failure) => {
                if let Some(writing) = self.open.take() {
                    eprintln!("damaged: uid {}: {}", writing.uid, failure.reason);
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
        let seconds = begin.receive_time.as_ref().map_or(0, |time| time.seconds);
        let name = format!("{seconds}.U{}B{}.postern", begin.uid, self.mailbox_id);
        let is_known = self.known.contains(&name);
        let file = if is_known { None } else { Some(File::create(self.folder.join("tmp").join(&name))?) };
        self.open = Some(Writing { uid: begin.uid, name, file, held: false });
        Ok(())
    }

    /// Complete and on disk before it has its name.
    fn end(&mut self) -> io::Result<()> {
        let Some(Writing { name, file, held, .. }) = self.open.take() else { return Ok(()) };
        let Some(mut file) = file else {
            self.exported.there_already += 1;
            return Ok(());
        };
        if held {
            file.write_all(b"\r")?;
        }
        file.sync_all()?;
        fs::rename(self.folder.join("tmp").join(&name), self.folder.join("new").join(&name))?;
        self.exported.written += 1;
        Ok(())
    }
}

impl Writing {
    /// A maildir on Unix has LF line ends.
    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut out = Vec::with_capacity(octets.len() + 1);
        for octet in octets.iter().copied() {
            if self.held && octet != b'\n' {
                out.push(b'\r');
            }
            self.held = octet == b'\r';
            if !self.held {
                out.push(octet);
            }
        }
        file.write_all(&out)
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
