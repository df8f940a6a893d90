//! `outside/*.eml`: what left, one file a message, whole or not at all.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use thiserror::Error;

use super::Received;

/// A message could not be kept.
#[derive(Debug, Error)]
#[error("{}: {source}", path.display())]
pub struct FolderError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The folder.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    /// Tells apart messages of one microsecond.
    number: Arc<AtomicU64>,
}

impl Folder {
    /// Makes the folder if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        fs::create_dir_all(path).map_err(|source| FolderError { path: path.to_path_buf(), source })?;
        Ok(Self { path: path.to_path_buf(), number: Arc::default() })
    }

    /// Writes one message: under a name that no reader looks for, to the disk, then under its own name.
    ///
    /// # Errors
    /// When any step fails; then there is no file.
    pub async fn keep(&self, message: Received) -> Result<PathBuf, FolderError> {
        let folder = self.clone();
        let written = tokio::task::spawn_blocking(move || folder.write(&message)).await;
        let lost = |error| FolderError { path: self.path.clone(), source: io::Error::other(error) };
        written.map_err(lost)?
    }

    fn write(&self, message: &Received) -> Result<PathBuf, FolderError> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S.%6fZ");
        let name = format!("{now}-{number:04}");
        let path = self.path.join(format!("{name}.eml"));
        let unfinished = self.path.join(format!(".{name}.part"));
        let write = || -> io::Result<()> {
            let mut file = File::create_new(&unfinished)?;
            file.write_all(envelope_lines(message).as_bytes())?;
            file.write_all(&message.content)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            File::open(&self.path)?.sync_all()
        };
        match write() {
            Ok(()) => Ok(path),
            Err(source) => {
                let _ = fs::remove_file(&unfinished);
                Err(FolderError { path, source })
            }
        }
    }
}

/// The envelope as header lines. Addresses were parsed, so none of them can hold a line end.
fn envelope_lines(message: &Received) -> String {
    let recipients = message.recipients.iter().map(|recipient| format!("X-Envelope-To: {recipient}\r\n"));
    format!("Return-Path: <{}>\r\n{}", message.sender, recipients.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_envelope_then_the_bytes_received() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(&home.path().join("outside")).expect("open");
        let message = Received {
            sender: String::new(),
            recipients: vec!["a@x.test".to_owned(), "b@x.test".to_owned()],
            smtp_utf8: false,
            content: bytes::Bytes::from_static(b"Subject: s\r\n\r\n.\xff\r\n"),
        };
        let path = folder.keep(message).await.expect("keep");
        let bytes = fs::read(&path).expect("read");
        let wanted: &[u8] = b"Return-Path: <>\r\nX-Envelope-To: a@x.test\r\nX-Envelope-To: b@x.test\r\n\
                              Subject: s\r\n\r\n.\xff\r\n";
        assert_eq!(bytes, wanted);
        assert_eq!(fs::read_dir(home.path().join("outside")).expect("list").count(), 1, "no part is left");
    }
}
