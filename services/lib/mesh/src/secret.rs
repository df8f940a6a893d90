//! A setting that is a secret: given itself, or by a file that holds it, as containers are handed secrets.

use std::{fs, path::Path};

use crate::StartError;

/// Names of a secret setting and of the setting that names its file.
#[derive(Clone, Copy, Debug)]
pub struct SecretNames {
    /// Such as `POSTERN_DATABASE_URL`.
    pub value: &'static str,
    /// Such as `POSTERN_DATABASE_URL_FILE`.
    pub file: &'static str,
}

/// Where Postgres is, with its password.
pub const DATABASE_URL: SecretNames =
    SecretNames { value: "POSTERN_DATABASE_URL", file: "POSTERN_DATABASE_URL_FILE" };
/// Where Redis is, with its password.
pub const REDIS_URL: SecretNames = SecretNames { value: "POSTERN_REDIS_URL", file: "POSTERN_REDIS_URL_FILE" };

impl SecretNames {
    /// The secret, without the white space around it that a file has.
    ///
    /// # Errors
    /// When both or neither are set, the file cannot be read, or holds nothing.
    pub fn read(self, value: Option<&str>, file: Option<&Path>) -> Result<String, StartError> {
        match (value, file) {
            (Some(value), None) => Ok(value.to_owned()),
            (None, Some(path)) => {
                let text = fs::read_to_string(path).map_err(|e| StartError::file(path, e))?;
                match text.trim() {
                    "" => Err(StartError::setting(self.file, format!("{} is empty", path.display()))),
                    text => Ok(text.to_owned()),
                }
            }
            (Some(_), Some(_)) => {
                Err(StartError::setting(self.value, format!("set it or {}, not both", self.file)))
            }
            (None, None) => Err(StartError::setting(self.value, format!("or {} is needed", self.file))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_from_one_place() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("database-url");
        std::fs::write(&file, "postgres://postern:secret@db/postern\n").expect("written");
        assert_eq!(DATABASE_URL.read(Some("postgres:///x"), None).expect("value"), "postgres:///x");
        let read = DATABASE_URL.read(None, Some(&file)).expect("file");
        assert_eq!(read, "postgres://postern:secret@db/postern");
        let wrong = |value, file| DATABASE_URL.read(value, file).expect_err("wrong").to_string();
        assert!(wrong(Some("x"), Some(&file)).contains("not both"));
        assert!(wrong(None, None).contains("POSTERN_DATABASE_URL_FILE is needed"));
        std::fs::write(&file, "\n").expect("written");
        assert!(wrong(None, Some(&file)).contains("is empty"));
        assert!(wrong(None, Some(Path::new("/nowhere/x"))).contains("/nowhere/x"));
    }
}
