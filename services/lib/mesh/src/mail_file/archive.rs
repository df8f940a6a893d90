//! What a file is, and which members of an archive are mail: files of a maildir, which lie in a folder `cur` or `new`, and
//! single messages (`.eml`), wherever they lie.

use std::io::{self, BufRead, BufReader, Cursor, Error, ErrorKind, Read};

use flate2::bufread::MultiGzDecoder;

use super::{MBOX_BEGIN, MailFrames, growth::Growth, maildir_seconds};

/// Octets of the begin of a file that say what it is.
pub const BEGIN_BYTES: usize = 512;
/// Where a tar says that it is one (POSIX.1-1988), and what.
const TAR_MARK_AT: usize = 257;
const TAR_MARK: &[u8] = b"ustar";
/// A member of a gzip file (RFC 1952 section 2.3.1), compressed by deflate.
const GZIP_BEGIN: &[u8] = &[0x1f, 0x8b, 8];

/// What mail may lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Messages behind each other.
    Mbox,
    /// An mbox or a tar, compressed.
    Gzip,
    /// An archive of a maildir, or of single messages.
    Tar,
    /// The same.
    Zip,
}

impl Kind {
    /// By its first octets, [`BEGIN_BYTES`] or all there are; `None`: nothing that mail is read from.
    #[must_use]
    pub fn of(begin: &[u8]) -> Option<Self> {
        if begin.starts_with(MBOX_BEGIN) {
            Some(Self::Mbox)
        } else if begin.starts_with(GZIP_BEGIN) {
            Some(Self::Gzip)
        } else if begin.starts_with(super::zip::LOCAL_HEADER) {
            Some(Self::Zip)
        } else if begin.get(TAR_MARK_AT..).is_some_and(|rest| rest.starts_with(TAR_MARK)) {
            Some(Self::Tar)
        } else {
            None
        }
    }
}

/// Reads what is in a gzip file.
pub(super) fn gunzip(reader: impl BufRead, frames: &mut MailFrames) -> io::Result<()> {
    let growth = Growth::default();
    let mut inner = growth.unpacked(MultiGzDecoder::new(BufReader::new(growth.packed(reader))));
    let mut begin = Vec::new();
    inner.by_ref().take(BEGIN_BYTES as u64).read_to_end(&mut begin)?;
    let kind = Kind::of(&begin);
    let mut whole = BufReader::new(Cursor::new(begin).chain(inner));
    match kind {
        Some(Kind::Mbox) => frames.mbox(&mut whole),
        Some(Kind::Tar) => super::tar::read(whole, frames),
        _ => Err(Error::new(ErrorKind::InvalidData, "neither an mbox nor a tar is in this gzip file")),
    }
}

/// True for the name of a member that is a message. Names of Windows have other slashes.
pub(super) fn is_mail(name: &str) -> bool {
    let mut parts = name.rsplit(['/', '\\']);
    let file = parts.next().unwrap_or_default();
    let folder = parts.next().unwrap_or_default();
    let is_single = file.rsplit_once('.').is_some_and(|(_, ending)| ending.eq_ignore_ascii_case("eml"));
    !file.is_empty() && !file.starts_with('.') && (matches!(folder, "cur" | "new") || is_single)
}

/// When a member came, by its name.
pub(super) fn seconds_of(name: &str) -> Option<i64> {
    maildir_seconds(name.rsplit(['/', '\\']).next().unwrap_or_default())
}

#[cfg(test)]
pub(super) mod tests {
    use postern_proto::delivery::v1::ImportMessagesRequest;

    use super::*;

    /// What delivery hears of a message: its name, its text, and whether it is damaged or has no end.
    #[derive(Debug, PartialEq, Eq)]
    pub(crate) struct Told {
        pub(crate) name: String,
        pub(crate) text: String,
        pub(crate) is_broken: bool,
    }

    pub(crate) fn whole(name: &str, text: &str) -> Told {
        Told { name: name.to_owned(), text: text.to_owned(), is_broken: false }
    }

    pub(crate) fn broken(name: &str) -> Told {
        Told { name: name.to_owned(), text: String::new(), is_broken: true }
    }

    /// Reads a file that comes in pieces of this many octets.
    pub(crate) fn read_in(file: &[u8], piece: usize) -> (Vec<Told>, io::Result<()>) {
        let kind = Kind::of(file).expect("a kind");
        let (frames, mut given) = tokio::sync::mpsc::channel(10_000);
        let first = ImportMessagesRequest { mailbox_id: 7, ..ImportMessagesRequest::default() };
        let mut frames = MailFrames::new(frames, first, |_| ());
        let read = frames.file(kind, BufReader::with_capacity(piece, file));
        let is_unused = frames.is_unused();
        drop(frames);
        let mut told: Vec<Told> = Vec::new();
        let mut count = 0;
        while let Ok(frame) = given.try_recv() {
            assert_eq!(frame.mailbox_id, if count == 0 { 7 } else { 0 }, "the first frame says which box");
            count += 1;
            if let Some(begin) = frame.begin {
                told.push(whole(&begin.name, ""));
            }
            let last = told.last_mut().expect("begun");
            last.text.push_str(&String::from_utf8_lossy(&frame.content));
            last.is_broken = frame.broken || !frame.end;
            if frame.broken {
                last.text.clear();
            }
        }
        assert_eq!(is_unused, count == 0);
        (told, read)
    }

    pub(crate) fn read(file: &[u8]) -> (Vec<Told>, io::Result<()>) {
        let (told, end) = read_in(file, 64 * 1024);
        assert_eq!(read_in(file, 1).0, told, "the same octet by octet");
        (told, end)
    }

    pub(crate) fn gzipped(file: &[u8]) -> Vec<u8> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        io::Write::write_all(&mut packed, file).expect("memory");
        packed.finish().expect("memory")
    }

    #[test]
    fn mail_of_a_maildir_and_single_messages_are_members_and_nothing_else_is() {
        for name in [
            "Maildir/cur/1700000000.M1P2.host,S=12:2,S",
            "new/1",
            "../../etc/new/passwd",
            "a\\cur\\1700000000.x",
            "Inbox/letter.EML",
            "letter.eml",
        ] {
            assert!(is_mail(name), "{name}");
        }
        for name in [
            "",
            "cur/",
            "Maildir/tmp/1",
            "Maildir/dovecot-uidlist",
            "cur/.hidden",
            "letter.txt",
            "eml",
            "__MACOSX/cur/._1",
        ] {
            assert!(!is_mail(name), "{name}");
        }
        assert_eq!(seconds_of("x/cur/1700000000.M1P2.host"), Some(1_700_000_000));
        assert_eq!(seconds_of("x/letter.eml"), None);
    }

    #[test]
    fn a_compressed_mbox_is_read_and_what_is_none_is_not() {
        let (told, end) =
            read(&gzipped(b"From a\nSubject: one\n\nFirst\n\nFrom b\nSubject: two\n\nSecond\n"));
        end.expect("an mbox");
        assert_eq!(
            told,
            [whole("", "Subject: one\r\n\r\nFirst\r\n"), whole("", "Subject: two\r\n\r\nSecond\r\n")]
        );
        for bad in [gzipped(b"hello"), gzipped(&gzipped(b"From a\n")), b"\x1f\x8b\x08rubbish".to_vec()] {
            let (told, end) = read(&bad);
            assert!(told.is_empty() && end.is_err(), "{told:?}");
        }
    }

    #[test]
    fn what_grows_out_of_all_proportion_is_not_read_to_its_end() {
        let mut file = b"From a\nSubject: bomb\n\n".to_vec();
        file.resize(300 * 1024 * 1024, b'x');
        let packed = gzipped(&file);
        assert!(packed.len() < 400 * 1024, "{}", packed.len());
        let (frames, mut given) = tokio::sync::mpsc::channel(10_000);
        let mut frames = MailFrames::new(frames, ImportMessagesRequest::default(), |_| ());
        let end = frames.file(Kind::Gzip, &packed[..]).expect_err("a bomb");
        assert_eq!(end.kind(), ErrorKind::InvalidData);
        drop(frames);
        let mut octets = 0;
        while let Ok(frame) = given.try_recv() {
            octets += frame.content.len();
        }
        assert!(octets < 290 * 1024 * 1024, "{octets}");
    }
}
