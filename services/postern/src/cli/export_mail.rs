//! `postern export-mail`: a box into a maildir ([`maildir`]), or as a tar of one to standard output ([`archive`]), for whoever runs the
//! command in a container that can write nowhere. Names are made of uids, so that a repeated export adds only what is new.

mod archive;
mod maildir;

use std::{
    io::{self, IsTerminal as _, Stdout},
    path::{Path, PathBuf},
};

use archive::Archive;
use clap::Args;
use maildir::Maildir;
use postern_proto::delivery::v1::{
    ExportMessagesRequest, ExportedMessage, box_service_client::BoxServiceClient,
    export_messages_response::Frame,
};
use serde::Serialize;

use super::{Failure, mailbox, operator::Operator, table::counted};

/// What is exported, and where to.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  postern export-mail anna@homepage.test ./anna\n  postern export-mail anna@homepage.test - > anna.tar\n\n\
                  Exit code 1 when messages are damaged."
)]
pub struct ExportMailArgs {
    /// Address of the box, or the login of a default box
    address: String,
    /// The maildir, made when it is missing; `-`: a tar of one to standard output
    #[arg(value_name = "FOLDER|-")]
    folder: PathBuf,
    /// Begin when standard input ends: who attaches to the output of a container late has missed nothing
    #[arg(long)]
    after_input: bool,
}

/// What was done.
#[derive(Debug, Default, Serialize)]
struct Exported {
    written: i64,
    there_already: i64,
    damaged: i64,
}

/// Where messages go.
enum Place {
    Folder(Maildir),
    Stream(Archive<Stdout>),
}

impl Place {
    fn open(folder: &Path, mailbox_id: i64) -> io::Result<Self> {
        if folder != Path::new(super::STANDARD) {
            return Maildir::open(folder.to_owned(), mailbox_id).map(Self::Folder);
        }
        let out = io::stdout();
        if out.is_terminal() {
            return Err(io::Error::other("standard output is a terminal: send it into a file"));
        }
        Archive::begin(out, mailbox_id).map(Self::Stream)
    }

    fn take(&mut self, frame: Frame) -> io::Result<()> {
        match self {
            Self::Folder(maildir) => maildir.take(frame),
            Self::Stream(archive) => archive.take(frame),
        }
    }

    /// Everything was taken.
    fn finish(self) -> io::Result<Exported> {
        match self {
            Self::Folder(maildir) => Ok(maildir.finish()),
            Self::Stream(archive) => archive.finish(),
        }
    }
}

impl ExportMailArgs {
    pub(super) async fn run(self, operator: &Operator) -> Result<(), Failure> {
        if self.after_input {
            let ended = tokio::task::spawn_blocking(|| io::copy(&mut io::stdin().lock(), &mut io::sink()));
            ended.await.ok().transpose().map_err(|e| Failure::Usage(format!("standard input: {e}")))?;
        }
        let mailbox_id = mailbox::get(operator, self.address).await?.mailbox_id;
        let unwritable = |e: io::Error| Failure::Usage(format!("{}: {e}", self.folder.display()));
        let mut place = Place::open(&self.folder, mailbox_id).map_err(unwritable)?;
        let mut client = BoxServiceClient::new(operator.delivery.clone());
        let mut frames = client.export_messages(ExportMessagesRequest { mailbox_id }).await?.into_inner();
        while let Some(answer) = frames.message().await? {
            let Some(frame) = answer.frame else { continue };
            place.take(frame).map_err(unwritable)?;
        }
        let is_stream = matches!(place, Place::Stream(_));
        let exported = place.finish().map_err(unwritable)?;
        if is_stream {
            // Standard output is the archive.
            eprintln!("{}", said(&exported));
        } else {
            operator.show(&exported, said)?;
        }
        match exported.damaged {
            0 => Ok(()),
            count => {
                Err(Failure::Refused(format!("{} damaged", counted(count, "message is", "messages are"))))
            }
        }
    }
}

fn said(done: &Exported) -> String {
    format!(
        "{} written, {} there already, {} damaged",
        counted(done.written, "message", "messages"),
        done.there_already,
        done.damaged
    )
}

/// The name of a message in a maildir, without flags: that of the same message at each export.
fn name_of(begin: &ExportedMessage, mailbox_id: i64) -> String {
    format!("{}.U{}B{mailbox_id}.postern", seconds_of(begin), begin.uid)
}

/// When it came, seconds of the Unix epoch.
fn seconds_of(begin: &ExportedMessage) -> i64 {
    begin.receive_time.as_ref().map_or(0, |time| time.seconds)
}

fn tell_damaged(uid: u64, reason: &str) {
    eprintln!("damaged: uid {uid}: {reason}");
}

/// A maildir on Unix has LF line ends.
#[derive(Debug, Default)]
struct LineEnds {
    /// A CR whose LF may follow.
    held: bool,
}

impl LineEnds {
    fn convert(&mut self, octets: &[u8]) -> Vec<u8> {
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
        out
    }

    /// What is left at the end of the message.
    fn rest(self) -> &'static [u8] {
        if self.held { b"\r" } else { b"" }
    }
}
