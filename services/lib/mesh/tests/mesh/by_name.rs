//! Certificates for names of their own: who asks for a name is shown its certificate, whoever laid it down, and what changes in
//! the folder is shown while the doors are open.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use postern_mesh::tls::{self, TlsIdentity, TlsSettings};
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio_rustls::TlsConnector;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// What changed must be seen within this time.
const SEEN_LIMIT: Duration = Duration::from_secs(20);

/// A certificate as the doors show it, DER.
type Shown = Vec<u8>;

/// Writes a pair for these names that ends in so many days; answers what a client is to see.
fn write_pair(names: &[&str], days: u32, certificate: &Path, key_file: &Path) -> Shown {
    let key = KeyPair::generate().unwrap();
    let mut params =
        CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    params.not_after = (SystemTime::now() + days * DAY).into();
    let made = params.self_signed(&key).unwrap();
    // Each file whole, as renewing programs write them.
    for (file, text) in [(key_file, key.serialize_pem()), (certificate, made.pem())] {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let new = file.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, file).unwrap();
    }
    made.der().to_vec()
}

/// The doors with a default pair and an empty folder of names.
struct Doors {
    folder: TempDir,
    default: Shown,
}

impl Doors {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        fs::create_dir(file("names")).unwrap();
        let default = write_pair(&["mx.postern.test"], 90, &file("certificate.pem"), &file("key.pem"));
        Self { folder, default }
    }

    fn settings(&self) -> TlsSettings {
        TlsSettings {
            tls_certificate: Some(self.folder.path().join("certificate.pem")),
            tls_key: Some(self.folder.path().join("key.pem")),
            tls_certificates: Some(self.folder.path().join("names")),
            tls_self_signed: None,
        }
    }

    fn open(&self) -> TlsIdentity {
        self.settings().load().unwrap().expect("set")
    }

    fn file(&self, path: &str) -> PathBuf {
        self.folder.path().join("names").join(path)
    }

    fn add(&self, names: &[&str], certificate: &str, key: &str) -> Shown {
        write_pair(names, 60, &self.file(certificate), &self.file(key))
    }
}

/// The certificate that a client sees who asks for this name; an address asks for none.
async fn shown(identity: &TlsIdentity, name: &str) -> Shown {
    let acceptor = identity.acceptor(&[]);
    let (ours, theirs) = tokio::io::duplex(16 * 1024);
    let serving = tokio::spawn(async move { acceptor.accept(theirs).await.map(drop) });
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TlsConnector::from(tls::unjudged().unwrap()).connect(name, ours).await.unwrap();
    let seen = stream.get_ref().1.peer_certificates().unwrap().first().unwrap().to_vec();
    serving.await.unwrap().unwrap();
    seen
}

async fn wait_for(identity: &TlsIdentity, name: &str, expected: &Shown) {
    let begun = Instant::now();
    while shown(identity, name).await != *expected {
        assert!(begun.elapsed() < SEEN_LIMIT, "{name}: the change is not seen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn p_95_each_name_is_shown_its_own_certificate_whoever_laid_it_down() {
    let doors = Doors::new();
    let certbot =
        doors.add(&["mail.one.test", "one.test"], "archive/x/fullchain1.pem", "archive/x/privkey1.pem");
    fs::create_dir_all(doors.file("live/x")).unwrap();
    fs::write(doors.file("live/README"), "links to the newest").unwrap();
    for (link, to) in [("fullchain.pem", "fullchain1.pem"), ("privkey.pem", "privkey1.pem")] {
        symlink(Path::new("../../archive/x").join(to), doors.file("live/x").join(link)).unwrap();
    }
    // As Kubernetes mounts secrets: all through a hidden link that is turned as a whole.
    let mounted = doors.add(&["mail.two.test"], "..2026/two/tls.crt", "..2026/two/tls.key");
    symlink("..2026", doors.file("..data")).unwrap();
    symlink("..data/two", doors.file("two")).unwrap();
    let plain = doors.add(&["*.Three.test"], "a.pem", "a.key");
    let exact = doors.add(&["mail.three.test"], "b.pem", "b.key");
    fs::write(doors.file("authority.pem"), "has no key here, and is nobody's pair").unwrap();

    let identity = doors.open();
    for (name, expected) in [
        ("mail.one.test", &certbot),
        ("MAIL.One.Test", &certbot),
        ("one.test", &certbot),
        ("mail.two.test", &mounted),
        ("pop.three.test", &plain),
        ("mail.three.test", &exact),
        ("three.test", &doors.default),
        ("a.b.three.test", &doors.default),
        ("mx.postern.test", &doors.default),
        ("nobody.test", &doors.default),
        ("192.0.2.1", &doors.default),
    ] {
        assert_eq!(&shown(&identity, name).await, expected, "{name}");
    }
    let seen = tls::look_at(&doors.file("")).unwrap();
    assert_eq!(seen.len(), 4, "{seen:?}");
    assert!(seen.iter().all(|seen| seen.pair.is_ok()), "{seen:?}");
}

#[tokio::test]
async fn what_changes_in_the_folder_is_shown_and_what_is_broken_is_not() {
    let doors = Doors::new();
    let first = doors.add(&["mail.one.test"], "one/tls.crt", "one/tls.key");
    let identity = doors.open();
    assert_eq!(shown(&identity, "mail.one.test").await, first);

    let renewed = doors.add(&["mail.one.test"], "one/tls.crt", "one/tls.key");
    let added = doors.add(&["mail.two.test"], "two.pem", "two.key");
    wait_for(&identity, "mail.one.test", &renewed).await;
    wait_for(&identity, "mail.two.test", &added).await;

    // A pair that does not fit together changes nothing for its name. A pair that is good and comes later shows that it was seen.
    let key = KeyPair::generate().unwrap().serialize_pem();
    fs::write(doors.file("one/tls.key"), key).unwrap();
    let third = doors.add(&["mail.three.test"], "three.pem", "three.key");
    wait_for(&identity, "mail.three.test", &third).await;
    assert_eq!(shown(&identity, "mail.one.test").await, renewed);
    let broken = tls::look_at(&doors.file("")).unwrap().into_iter().find(|seen| seen.pair.is_err());
    assert_eq!(broken.map(|seen| seen.certificate), Some(doors.file("one/tls.crt")));

    // Of two for one name the one that ends later; and who goes away is the default's again.
    let later = write_pair(&["mail.two.test"], 80, &doors.file("later.pem"), &doors.file("later.key"));
    wait_for(&identity, "mail.two.test", &later).await;
    for file in ["later.pem", "later.key", "two.pem", "two.key"] {
        fs::remove_file(doors.file(file)).unwrap();
    }
    wait_for(&identity, "mail.two.test", &doors.default).await;

    // The folder itself away for a moment: nothing is forgotten.
    fs::rename(doors.file(""), doors.folder.path().join("elsewhere")).unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(shown(&identity, "mail.three.test").await, third);
}

#[test]
fn what_cannot_be_meant_is_told_at_the_start() {
    let doors = Doors::new();
    fs::write(doors.file("x.pem"), "nothing").unwrap();
    fs::write(doors.file("x.key"), "nothing").unwrap();
    // One customer's broken pair keeps nobody else from starting.
    assert!(doors.settings().load().unwrap().is_some());
    let alone = TlsSettings { tls_certificate: None, tls_key: None, ..doors.settings() };
    assert!(alone.load().unwrap_err().to_string().starts_with("POSTERN_TLS_CERTIFICATE: "));
    let nowhere = TlsSettings { tls_certificates: Some(doors.file("nowhere")), ..doors.settings() };
    assert!(nowhere.load().unwrap_err().to_string().contains("nowhere"));
}
