//! When the certificates end that a process was told by file: those of the mesh, and the pair that the doors show to everybody. (Those
//! for names of their own are told by [`super::by_name`].) Looked at apart from handshakes, of which a quiet house has none for weeks.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::parse_x509_certificate;

/// What a file of certificates is for; the label `of` of the metric.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Of {
    /// Who may be believed in the mesh. Of several the last to end counts: the others were kept for a change.
    Authority,
    /// This service, in the mesh. The first of the file counts, as in a chain.
    Mesh,
    /// The mail host, at the doors. The first of the file counts.
    Doors,
}

static WATCHED: Mutex<BTreeSet<(Of, PathBuf)>> = Mutex::new(BTreeSet::new());

impl Of {
    const ALL: [Self; 3] = [Self::Authority, Self::Mesh, Self::Doors];

    fn name(self) -> &'static str {
        match self {
            Self::Authority => "authority",
            Self::Mesh => "mesh",
            Self::Doors => "doors",
        }
    }
}

/// From now on the end of this file's certificate is told.
pub(crate) fn watch(of: Of, file: &Path) {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner).insert((of, file.to_path_buf()));
}

/// Sets the gauge for each kind of file that is watched: seconds since 1970. What cannot be read stays as it was told last.
pub(crate) fn tell() {
    let watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for of in Of::ALL {
        let files = watched.iter().filter(|(for_what, _)| *for_what == of);
        let first = files.filter_map(|(_, file)| end(of, &fs::read(file).ok()?)).min();
        if let Some(end) = first {
            metrics::gauge!("postern_certificate_end_seconds", "of" => of.name()).set(end as f64);
        }
    }
}

/// Seconds since 1970.
fn end(of: Of, pem: &[u8]) -> Option<i64> {
    let mut ends = CertificateDer::pem_slice_iter(pem).filter_map(|certificate| {
        let certificate = certificate.ok()?;
        let (_, parsed) = parse_x509_certificate(&certificate).ok()?;
        Some(parsed.validity().not_after.timestamp())
    });
    match of {
        Of::Authority => ends.max(),
        Of::Mesh | Of::Doors => ends.next(),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(year: i32) -> String {
        let mut params = CertificateParams::new(["mail.homepage.test".to_owned()]).expect("a name");
        params.not_after = date_time_ymd(year, 1, 1);
        params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate").pem()
    }

    #[test]
    fn a_chain_ends_with_its_first_and_an_authority_with_its_last() {
        let both = certificate(2031) + &certificate(2041);
        let of_2031 = date_time_ymd(2031, 1, 1).unix_timestamp();
        let of_2041 = date_time_ymd(2041, 1, 1).unix_timestamp();
        assert_eq!(end(Of::Mesh, both.as_bytes()), Some(of_2031));
        assert_eq!(end(Of::Doors, both.as_bytes()), Some(of_2031));
        assert_eq!(end(Of::Authority, both.as_bytes()), Some(of_2041));
        assert_eq!(end(Of::Mesh, b"nothing"), None);
    }
}
