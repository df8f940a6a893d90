//! An mbox file or a maildir, opened, and its messages sent one after the other.

use std::{
    fs::{self, File},
    io::{self, BufReader, Error, ErrorKind},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use postern_mesh::mail_file::MailFrames;
use postern_proto::delivery::v1::ImportMessagesRequest;
use tokio::sync::mpsc::Sender;

/// A message is told of on standard error after so many.
const PROGRESS_EVERY: u64 = 1000;

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
    pub(super) fn send_all(self, frames: Sender<ImportMessagesRequest>) -> io::Result<Self> {
        let mut outgoing = MailFrames::new(frames, tell_progress);
        let sent = match &self {
            Self::Mbox(path) => outgoing.mbox(&mut BufReader::new(File::open(path)?)),
            Self::Maildir(files) => files.iter().try_for_each(|file| {
                outgoing.message(&mut BufReader::new(File::open(file)?), Some(seconds_of(file)))
            }),
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

fn tell_progress(count: u64) {
    if count.is_multiple_of(PROGRESS_EVERY) {
        eprintln!("{count} messages read");
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
