//! Proofs of a host where the control panel shows them: `<webroot>/.well-known/acme-challenge/<token>` (RFC 8555 section 8.3).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::whole_file;

const WELL_KNOWN: &str = ".well-known/acme-challenge";
/// Everybody may ask for it, and the panel may be another user.
const MODE: u32 = 0o644;

/// The folder of proofs.
#[derive(Debug)]
pub(super) struct Proofs(PathBuf);

/// A proof that is shown. It is taken away with this.
#[derive(Debug)]
#[must_use = "the proof is taken away when it is dropped"]
pub(super) struct Shown(PathBuf);

impl Proofs {
    /// # Errors
    /// When the folder cannot be made.
    pub(super) fn open(webroot: &Path) -> io::Result<Self> {
        let folder = webroot.join(WELL_KNOWN);
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    /// Shows a proof.
    ///
    /// # Errors
    /// When the authority's token is none (section 8.1: letters, digits, `-` and `_`), or the file cannot be written.
    pub(super) fn show(&self, token: &str, proof: &str) -> io::Result<Shown> {
        let is_token = !token.is_empty()
            && token.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet));
        if !is_token {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{token:?} is no token")));
        }
        let file = self.0.join(token);
        whole_file::write(&file, proof, MODE)?;
        Ok(Shown(file))
    }

    /// Takes away what a process of this account (`thumbprint`) left when it was killed.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(super) fn clear(&self, thumbprint: &str) -> io::Result<()> {
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            let is_ours = fs::read_to_string(&path)
                .is_ok_and(|text| text.split_once('.').is_some_and(|(_, thumb)| thumb == thumbprint));
            if is_ours {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(file = %self.0.display(), %error, "a proof cannot be taken away; it is of no more use");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_shown_and_taken_away_and_what_was_left_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let proofs = Proofs::open(folder.path()).expect("opened");
        let shown = proofs.show("to-ken_1", "to-ken_1.thumb").expect("shown");
        let file = folder.path().join(WELL_KNOWN).join("to-ken_1");
        assert_eq!(fs::read_to_string(&file).expect("there"), "to-ken_1.thumb");
        drop(shown);
        assert!(!file.exists());
        std::mem::forget(proofs.show("left", "left.thumb").expect("shown"));
        std::mem::forget(proofs.show("others", "others.another").expect("shown"));
        proofs.clear("thumb").expect("cleared");
        let names: Vec<_> = fs::read_dir(file.parent().expect("a folder"))
            .expect("read")
            .flatten()
            .map(|e| e.file_name())
            .collect();
        assert_eq!(names, ["others"]);
        for token in ["", "../x", "a/b", "a.b", "a\0"] {
            assert!(proofs.show(token, "x").is_err(), "{token:?}");
        }
    }
}
