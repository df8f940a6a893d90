//! A file of mail or a maildir, opened, and its messages sent one after the other.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Cursor, Error, ErrorKind, Read},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use postern_mesh::mail_file::{BEGIN_BYTES, Kind, MailFrames, maildir_seconds};
use postern_proto::delivery::v1::ImportMessagesRequest;
use tokio::sync::mpsc::Sender;

use super::super::STANDARD;

/// A message is told of on standard error after so many.
const PROGRESS_EVERY: u64 = 1000;

/// Where messages come from.
pub(super) enum Source {
    /// Read once: it may be a pipe.
    File(Kind, Box<dyn BufRead + Send>),
    /// Files in the order of their delivery.
    Maildir(Vec<PathBuf>),
}

impl Source {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if path == Path::new(STANDARD) {
            return Self::read(io::stdin());
        }
        if !fs::metadata(path)?.is_dir() {
            return Self::read(File::open(path)?);
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

    /// A file, known by its begin.
    fn read(mut file: impl Read + Send + 'static) -> io::Result<Self> {
        let mut begin = Vec::new();
        (&mut file).take(BEGIN_BYTES as u64).read_to_end(&mut begin)?;
        // An empty file is an mbox without messages.
        let kind = if begin.is_empty() { Some(Kind::Mbox) } else { Kind::of(&begin) };
        let whole = Cursor::new(begin).chain(BufReader::new(file));
        Ok(Self::File(kind.ok_or_else(no_mail)?, Box::new(whole)))
    }

    /// Sends all messages behind the `first` frame; ends early when nobody takes them.
    pub(super) fn send_all(
        self,
        frames: Sender<ImportMessagesRequest>,
        first: ImportMessagesRequest,
    ) -> io::Result<()> {
        let mut outgoing = MailFrames::new(frames, first, tell_progress);
        let sent = outgoing.begin_call().and_then(|()| match self {
            Self::File(kind, file) => outgoing.file(kind, file),
            Self::Maildir(files) => files.iter().try_for_each(|file| {
                let name = file.display().to_string();
                outgoing.message(BufReader::new(File::open(file)?), Some(seconds_of(file)), &name)
            }),
        });
        match sent {
            // Delivery stopped: its answer says why.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            sent => sent,
        }
    }
}

fn tell_progress(count: u64) {
    if count.is_multiple_of(PROGRESS_EVERY) {
        eprintln!("{count} messages read");
    }
}

fn no_mail() -> Error {
    Error::new(
        ErrorKind::InvalidData,
        "neither an mbox, nor an archive of mail (zip, tar, tar.gz), nor a maildir",
    )
}

fn not_a_maildir() -> Error {
    Error::new(ErrorKind::InvalidInput, "neither a file nor a maildir (a folder with new and cur)")
}

/// The second of delivery: from the name, else when the file was written.
fn seconds_of(file: &Path) -> i64 {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    maildir_seconds(&name).unwrap_or_else(|| {
        let written = fs::metadata(file).and_then(|meta| meta.modified()).unwrap_or(UNIX_EPOCH);
        written.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs().cast_signed())
    })
}
