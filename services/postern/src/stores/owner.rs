//! As whom the stores run: as ourselves, or, when we are root, as the system user `postgres` (Postgres refuses root).

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    path::Path,
    process::Command,
};

use nix::unistd::{Gid, Uid, User, chown, geteuid};

use super::StoresError;

/// The user that the stores run as.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    /// `None`: as ourselves.
    other: Option<(Uid, Gid)>,
}

impl Owner {
    /// Finds it.
    pub(super) fn find() -> Result<Self, StoresError> {
        if !geteuid().is_root() {
            return Ok(Self { other: None });
        }
        let user = User::from_name("postgres").ok().flatten().ok_or(StoresError::NoUser)?;
        Ok(Self { other: Some((user.uid, user.gid)) })
    }

    /// Makes a command run as this user, without any other group.
    pub(super) fn dress(&self, command: &mut Command) {
        if let Some((uid, gid)) = self.other {
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
    }

    /// Makes a folder (if it is not there) that is this user's and nobody else's.
    pub(super) fn private_folder(&self, path: &Path) -> Result<(), StoresError> {
        fs::create_dir_all(path)
            .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o700)))
            .map_err(|e| StoresError::file(path, e))?;
        if let Some((uid, gid)) = self.other {
            chown(path, Some(uid), Some(gid)).map_err(|e| StoresError::file(path, e.into()))?;
        }
        Ok(())
    }

    /// Lets this user pass through the folders above `path`. Passing is not listing: only names that are known can be
    /// reached, and what is ours in the data folder is closed by its own rights.
    pub(super) fn make_reachable(&self, path: &Path) -> Result<(), StoresError> {
        let Some((uid, gid)) = self.other else { return Ok(()) };
        for folder in path.ancestors().skip(1) {
            let metadata = fs::metadata(folder).map_err(|e| StoresError::file(folder, e))?;
            let mode = metadata.mode();
            let passable = match () {
                () if metadata.uid() == uid.as_raw() => mode & 0o100,
                () if metadata.gid() == gid.as_raw() => mode & 0o010,
                () => mode & 0o001,
            };
            if passable == 0 {
                tracing::info!(folder = %folder.display(), "o+x, so that Postgres reaches its folder below");
                fs::set_permissions(folder, Permissions::from_mode(mode & 0o7777 | 0o001))
                    .map_err(|e| StoresError::file(folder, e))?;
            }
        }
        Ok(())
    }
}
