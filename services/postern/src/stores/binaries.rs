//! Where Postgres and Redis are installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::StoresError;

const POSTGRES_HINT: &str = "on Debian `apt-get install postgresql` (or run `make up`); elsewhere see postgresql.org; \
                             or name a server with POSTERN_DATABASE_URL";
const REDIS_HINT: &str = "on Debian `apt-get install redis-server` (or run `make up`); elsewhere see redis.io; \
                          or name a server with POSTERN_REDIS_URL";
/// Folders that hold one folder per major version, and where `bin` is below it.
const POSTGRES_HOMES: [&str; 3] = ["/usr/lib/postgresql", "/usr/local/opt", "/opt/homebrew/opt"];

/// One installed Postgres.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PostgresBinaries {
    folder: PathBuf,
    /// Major version.
    pub(super) major: u32,
}

impl PostgresBinaries {
    pub(super) fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }

    /// True when it was built with LZ4 (an unknown value of a setting would keep the server from starting).
    pub(super) fn has_lz4(&self) -> bool {
        let output = Command::new(self.folder.join("pg_config")).arg("--configure").output();
        output.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains("--with-lz4"))
    }
}

/// The newest Postgres, or that of the major version that wrote `data` if there are data.
pub(super) fn postgres(data: &Path) -> Result<PostgresBinaries, StoresError> {
    let mut installed = installed_postgres();
    installed.sort_by_key(|binaries| binaries.major);
    let Ok(version) = fs::read_to_string(data.join("PG_VERSION")) else {
        return installed.pop().ok_or(StoresError::NotInstalled { program: "Postgres", hint: POSTGRES_HINT });
    };
    let wanted = version.trim();
    let fitting = installed.into_iter().rev().find(|binaries| binaries.major.to_string() == wanted);
    fitting.ok_or_else(|| StoresError::OtherVersion { folder: data.to_path_buf(), wanted: wanted.to_owned() })
}

/// `redis-server`, or its successor by protocol.
pub(super) fn redis() -> Result<PathBuf, StoresError> {
    let found = in_path("redis-server").or_else(|| in_path("valkey-server"));
    found.ok_or(StoresError::NotInstalled { program: "Redis", hint: REDIS_HINT })
}

/// A program in PATH, or where Debian keeps those of root.
pub(super) fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(more).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn installed_postgres() -> Vec<PostgresBinaries> {
    // Of two installs of one version the one in its own folder wins: it stands last.
    let mut folders: Vec<PathBuf> = Vec::new();
    folders.extend(in_path("postgres").and_then(|file| file.parent().map(Path::to_path_buf)));
    for home in POSTGRES_HOMES {
        let entries = fs::read_dir(home).into_iter().flatten().flatten();
        folders.extend(entries.map(|entry| entry.path().join("bin")));
    }
    folders
        .into_iter()
        .filter_map(|folder| {
            let complete = folder.join("initdb").is_file() && folder.join("postgres").is_file();
            let major = if complete { major_version(&folder.join("postgres"))? } else { return None };
            Some(PostgresBinaries { folder, major })
        })
        .collect()
}

fn major_version(postgres: &Path) -> Option<u32> {
    let output = Command::new(postgres).arg("--version").output().ok()?;
    parse_major(&String::from_utf8_lossy(&output.stdout))
}

/// 15 from `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn parse_major(text: &str) -> Option<u32> {
    let version = text.split_whitespace().nth(2)?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(parse_major("postgres\n"), None);
        assert_eq!(parse_major(""), None);
    }

    #[test]
    fn data_of_another_version_are_not_touched() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("PG_VERSION"), "7\n").expect("write");
        let error = postgres(folder.path()).expect_err("no such version");
        assert!(matches!(error, StoresError::OtherVersion { .. }), "{error}");
    }
}
