//! The data folder of the local profile: which file is what.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::whole_file;

/// Of secrets, and of what only this user needs.
const OWN: u32 = 0o600;

/// The folder (`POSTERN_HOME`).
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

/// gRPC doors of the house that runs here, as URLs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doors {
    /// account
    pub account: String,
    /// auth
    pub auth: String,
    /// delivery
    pub delivery: String,
}

impl Home {
    /// Names it; nothing is made yet.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self(path.to_path_buf())
    }

    /// Makes the folder and takes its absolute name.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        fs::canonicalize(path).map(Self)
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// One house for one folder. The lock goes with the process, also when it is killed; `None`: another one has it.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn lock(&self) -> io::Result<Option<File>> {
        whole_file::lock(&self.0.join("lock"))
    }

    /// Key that all parts of the house share: 64 hex digits.
    #[must_use]
    pub fn mesh_key_file(&self) -> PathBuf {
        self.0.join("mesh-key")
    }

    /// Token of the operator: 64 hex digits.
    #[must_use]
    pub fn operator_token_file(&self) -> PathBuf {
        self.0.join("operator-token")
    }

    /// The local certificate authority.
    #[must_use]
    pub fn tls_folder(&self) -> PathBuf {
        self.0.join("tls")
    }

    /// Content that is too large for a row.
    #[must_use]
    pub fn blob_folder(&self) -> PathBuf {
        self.0.join("blobs")
    }

    /// What left, in a demo.
    #[must_use]
    pub fn outside_folder(&self) -> PathBuf {
        self.0.join("outside")
    }

    /// Makes the two secrets, once, readable by their owner only.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn make_secrets(&self) -> io::Result<()> {
        for path in [self.mesh_key_file(), self.operator_token_file()] {
            if !path.exists() {
                let secret: [u8; 32] = rand::random();
                let digits: String = secret.iter().map(|octet| format!("{octet:02x}")).collect();
                whole_file::write(&path, &format!("{digits}\n"), OWN)?;
            }
            fs::set_permissions(&path, Permissions::from_mode(OWN))?;
        }
        fs::create_dir_all(self.blob_folder())?;
        fs::set_permissions(self.blob_folder(), Permissions::from_mode(0o700))
    }

    /// Says where the doors are, for operator commands.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_doors(&self, doors: &Doors) -> io::Result<()> {
        let text = serde_json::to_string_pretty(doors)?;
        whole_file::write(&self.doors_file(), &format!("{text}\n"), OWN)
    }

    /// The doors of the house that runs here.
    ///
    /// # Errors
    /// `NotFound` when none runs.
    pub fn doors(&self) -> io::Result<Doors> {
        Ok(serde_json::from_str(&fs::read_to_string(self.doors_file())?)?)
    }

    /// The house is down.
    pub fn forget_doors(&self) {
        let _ = fs::remove_file(self.doors_file());
    }

    fn doors_file(&self) -> PathBuf {
        self.0.join("doors.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_made_once_and_closed_to_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::create(folder.path()).expect("create");
        home.make_secrets().expect("make");
        let first = fs::read_to_string(home.mesh_key_file()).expect("read");
        home.make_secrets().expect("make");
        assert_eq!(fs::read_to_string(home.mesh_key_file()).expect("read"), first);
        assert_eq!(first.trim().len(), 64);
        let mode = fs::metadata(home.operator_token_file()).expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn one_house_for_one_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::create(folder.path()).expect("create");
        let lock = home.lock().expect("lock");
        assert!(lock.is_some());
        assert!(home.lock().expect("lock").is_none());
        drop(lock);
        assert!(home.lock().expect("lock").is_some());
    }
}
