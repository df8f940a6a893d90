//! The folder of the unix sockets: short (a socket's path may have 107 octets), closed to everybody else, gone at the end.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{StoresError, owner::Owner};

/// Longest folder whose sockets have a path that the kernel takes (`.s.PGSQL.5432.lock` and a NUL come after it).
const FOLDER_MAX_BYTES: usize = 80;
const PREFIX: &str = "postern-";

/// The folder; removed on drop.
#[derive(Debug)]
pub(super) struct Sockets {
    folder: TempDir,
    /// Names the folder, so that the next start finds what a killed house left.
    note: PathBuf,
}

impl Sockets {
    pub(super) fn create(home: &Path, owner: &Owner) -> Result<Self, StoresError> {
        let note = home.join("sockets");
        if let Ok(left) = fs::read_to_string(&note) {
            remove_left_folder(Path::new(left.trim()));
        }
        let parent = short_temporary_folder();
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(&parent)
            .map_err(|e| StoresError::file(&parent, e))?;
        owner.private_folder(folder.path())?;
        owner.make_reachable(folder.path())?;
        fs::write(&note, format!("{}\n", folder.path().display()))
            .map_err(|e| StoresError::file(&note, e))?;
        Ok(Self { folder, note })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.note);
    }
}

fn short_temporary_folder() -> PathBuf {
    let folder = std::env::temp_dir();
    let fits = folder.as_os_str().len() + PREFIX.len() + 8 <= FOLDER_MAX_BYTES;
    if fits { folder } else { PathBuf::from("/tmp") }
}

/// Removes what an earlier house left, and nothing else: the note is only believed if it names a folder of ours.
fn remove_left_folder(folder: &Path) {
    let ours = folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
    if !ours || !folder.is_absolute() {
        return;
    }
    for socket in [".s.PGSQL.5432", ".s.PGSQL.5432.lock", "redis.sock"] {
        let _ = fs::remove_file(folder.join(socket));
    }
    let _ = fs::remove_dir(folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_that_lies_removes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let other = folder.path().join("postern-precious");
        fs::create_dir(&other).expect("create");
        fs::write(other.join("mail"), "x").expect("write");
        remove_left_folder(&other);
        remove_left_folder(folder.path());
        assert!(other.join("mail").exists());
    }
}
