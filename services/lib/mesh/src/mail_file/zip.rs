//! Mail in a zip (APPNOTE 6.3), member by member as the file comes. The libraries there are want the list at the end of the file first,
//! and so a place for all of it; the headers in front of the members say what is needed here, and their checksums are checked.

use std::io::{self, BufReader, Error, ErrorKind, Read};

use flate2::{Crc, bufread::DeflateDecoder};

use super::{
    MailFrames,
    archive::{is_mail, seconds_of},
    growth::{Growth, Packed},
};

/// In front of each member.
pub(super) const LOCAL_HEADER: &[u8] = b"PK\x03\x04";
/// What may come behind the last one: the list of all, its end, and what belongs to the archive.
const BEHIND_MEMBERS: [&[u8]; 4] = [b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x08"];
/// In front of the sizes that stand behind a member.
const DESCRIPTOR: u32 = 0x0807_4b50;
/// Flags of a member.
const ENCRYPTED: u16 = 1;
const STREAMED: u16 = 8;
/// How it is packed.
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// The extra field with sizes of 8 octets, and the size that points there.
const ZIP64: u16 = 1;
const SEE_ZIP64: u32 = u32::MAX;

/// What is wrong.
enum Trouble {
    /// With one member; the next one can be found.
    Member,
    /// With the archive: it ends here.
    Archive(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Archive(error)
    }
}

/// To the end of the members, or to where the next one cannot be found.
pub(super) fn read(reader: impl Read, frames: &mut MailFrames) -> io::Result<()> {
    let growth = Growth::default();
    let mut zip = Zip { reader: BufReader::new(growth.packed(reader)), growth };
    while let Some(header) = zip.header()? {
        if !is_mail(&header.name) {
            match zip.content(&header, None) {
                Ok(()) | Err(Trouble::Member) => continue,
                Err(Trouble::Archive(error)) => return Err(error),
            }
        }
        frames.begin(seconds_of(&header.name), super::name_told(&header.name));
        match zip.content(&header, Some(frames)) {
            Ok(()) => frames.end()?,
            Err(Trouble::Member) => frames.broken()?,
            Err(Trouble::Archive(error)) if error.kind() == ErrorKind::BrokenPipe => return Err(error),
            Err(Trouble::Archive(error)) => {
                frames.broken()?;
                return Err(error);
            }
        }
    }
    Ok(())
}

struct Zip<R> {
    reader: BufReader<Packed<R>>,
    growth: Growth,
}

/// What stands in front of a member.
struct Header {
    name: String,
    flags: u16,
    method: u16,
    /// Of a member that was streamed these stand behind it.
    sums: Sums,
    packed_bytes: u64,
    is_zip64: bool,
}

/// By which a member is known to be whole.
#[derive(PartialEq, Eq)]
struct Sums {
    crc: u32,
    bytes: u64,
}

impl<R: Read> Zip<R> {
    /// `None`: there are no more members.
    fn header(&mut self) -> io::Result<Option<Header>> {
        let mark: [u8; 4] = self.octets()?;
        if BEHIND_MEMBERS.contains(&&mark[..]) {
            return Ok(None);
        }
        if mark != *LOCAL_HEADER {
            return Err(invalid("something else stands where a member should"));
        }
        let _version = self.u16()?;
        let (flags, method) = (self.u16()?, self.u16()?);
        let _time = self.u32()?;
        let (crc, packed, bytes) = (self.u32()?, self.u32()?, self.u32()?);
        let (name_bytes, extra_bytes) = (self.u16()?, self.u16()?);
        let mut name = vec![0; name_bytes.into()];
        self.reader.read_exact(&mut name)?;
        let mut extra = vec![0; extra_bytes.into()];
        self.reader.read_exact(&mut extra)?;
        let mut header = Header {
            name: String::from_utf8_lossy(&name).into_owned(),
            flags,
            method,
            sums: Sums { crc, bytes: bytes.into() },
            packed_bytes: packed.into(),
            is_zip64: false,
        };
        if let Some(mut sizes) = zip64(&extra) {
            header.is_zip64 = true;
            // Both are there, the unpacked one first.
            let large = [&mut header.sums.bytes, &mut header.packed_bytes];
            for (size, short) in large.into_iter().zip([bytes, packed]) {
                if short == SEE_ZIP64 && (flags & STREAMED) == 0 {
                    let (eight, rest) =
                        sizes.split_first_chunk().ok_or_else(|| invalid("a size is missing"))?;
                    (*size, sizes) = (u64::from_le_bytes(*eight), rest);
                }
            }
        }
        Ok(Some(header))
    }

    /// Passes over a member, into the open message if there is one.
    fn content(&mut self, header: &Header, frames: Option<&mut MailFrames>) -> Result<(), Trouble> {
        let is_plain = header.flags & ENCRYPTED == 0;
        if header.flags & STREAMED != 0 {
            // Only what tells its own end can be passed over.
            if !is_plain || header.method != DEFLATED {
                return Err(invalid("a member whose end cannot be found").into());
            }
            let sums = pour(DeflateDecoder::new(&mut self.reader), &self.growth, frames)?;
            return if self.descriptor(header)? == sums { Ok(()) } else { Err(Trouble::Member) };
        }
        let mut packed = self.reader.by_ref().take(header.packed_bytes);
        let poured = match (header.method, frames) {
            (_, None) => None,
            (STORED, frames) if is_plain => Some(pour(&mut packed, &self.growth, frames)),
            (DEFLATED, frames) if is_plain => {
                Some(pour(DeflateDecoder::new(&mut packed), &self.growth, frames))
            }
            _ => Some(Err(invalid("packed in a way that is not known here"))),
        };
        match poured {
            Some(Err(error)) if error.kind() == ErrorKind::BrokenPipe || self.growth.is_beyond() => {
                return Err(error.into());
            }
            _ => {}
        }
        // Whatever was wrong in it, the next one stands behind it.
        io::copy(&mut packed, &mut io::sink())?;
        if packed.limit() > 0 {
            return Err(Error::from(ErrorKind::UnexpectedEof).into());
        }
        match poured {
            None => Ok(()),
            Some(Ok(sums)) if sums == header.sums => Ok(()),
            Some(_) => Err(Trouble::Member),
        }
    }

    /// The sums that stand behind a streamed member, with a mark in front of them or without.
    fn descriptor(&mut self, header: &Header) -> io::Result<Sums> {
        let crc = match self.u32()? {
            DESCRIPTOR => self.u32()?,
            crc => crc,
        };
        let bytes = if header.is_zip64 {
            let _packed: [u8; 8] = self.octets()?;
            u64::from_le_bytes(self.octets()?)
        } else {
            let _packed = self.u32()?;
            self.u32()?.into()
        };
        Ok(Sums { crc, bytes })
    }

    fn octets<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut octets = [0; N];
        self.reader.read_exact(&mut octets)?;
        Ok(octets)
    }

    fn u16(&mut self) -> io::Result<u16> {
        self.octets().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> io::Result<u32> {
        self.octets().map(u32::from_le_bytes)
    }
}

/// The content of the extra field with long sizes.
fn zip64(mut extra: &[u8]) -> Option<&[u8]> {
    while let [k, i, l, h, rest @ ..] = extra {
        let (kind, bytes) = (u16::from_le_bytes([*k, *i]), u16::from_le_bytes([*l, *h]));
        let (field, behind) = rest.split_at_checked(bytes.into())?;
        if kind == ZIP64 {
            return Some(field);
        }
        extra = behind;
    }
    None
}

/// Reads a member to its end, and says what it was.
fn pour(member: impl Read, growth: &Growth, frames: Option<&mut MailFrames>) -> io::Result<Sums> {
    let mut summed = Summed { inner: growth.unpacked(member), crc: Crc::new(), bytes: 0 };
    match frames {
        Some(frames) => frames.pour(BufReader::new(&mut summed))?,
        None => io::copy(&mut summed, &mut io::sink()).map(drop)?,
    }
    Ok(Sums { crc: summed.crc.sum(), bytes: summed.bytes })
}

struct Summed<R> {
    inner: R,
    crc: Crc,
    bytes: u64,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.crc.update(&into[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}

fn invalid(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::super::archive::tests::{broken, read, whole};

    /// Makes archives with Python's own library; `streamed`: as a writer that cannot go back does it.
    fn archive(members: &[(&str, &str)], method: &str, streamed: bool) -> Vec<u8> {
        const SCRIPT: &str = r"
import sys, zipfile, io, json
members, method, streamed = json.loads(sys.argv[1])
class Pipe(io.RawIOBase):
    def writable(self): return True
    def write(self, octets):
        sys.stdout.buffer.write(octets)
        return len(octets)
into = Pipe() if streamed else io.BytesIO()
with zipfile.ZipFile(into, 'w', getattr(zipfile, method)) as archive:
    for name, text in members:
        archive.writestr(name, text)
if not streamed: sys.stdout.buffer.write(into.getvalue())
";
        let arguments = serde_json::json!([members, method, streamed]).to_string();
        let made = Command::new("python3").args(["-c", SCRIPT, &arguments]).stderr(Stdio::inherit()).output();
        let made = made.expect("python3");
        assert!(made.status.success());
        made.stdout
    }

    const MEMBERS: [(&str, &str); 4] = [
        ("Post/dovecot.index", "no mail, but longer than what is packed of it is short"),
        ("Post/new/1700000001.x", "Subject: one\n\nFirst\n"),
        ("Post/cur/1700000002.y:2,S", "Subject: two\n\nSecond, second, second, second, second\n"),
        ("letter.eml", "Subject: three\n\n"),
    ];

    #[test]
    fn members_are_read_stored_and_packed_and_streamed() {
        let expected = [
            whole("Post/new/1700000001.x", "Subject: one\r\n\r\nFirst\r\n"),
            whole(
                "Post/cur/1700000002.y:2,S",
                "Subject: two\r\n\r\nSecond, second, second, second, second\r\n",
            ),
            whole("letter.eml", "Subject: three\r\n\r\n"),
        ];
        for (method, streamed) in [("ZIP_STORED", false), ("ZIP_DEFLATED", false), ("ZIP_DEFLATED", true)] {
            let (told, end) = read(&archive(&MEMBERS, method, streamed));
            end.expect("a whole archive");
            assert_eq!(told, expected, "{method} {streamed}");
        }
    }

    #[test]
    fn a_damaged_member_is_told_and_the_others_are_read() {
        let good = archive(&MEMBERS, "ZIP_STORED", false);
        let at = |text: &str| {
            good.windows(text.len()).position(|window| window == text.as_bytes()).expect("there")
        };
        let mut damaged = good.clone();
        damaged[at("First")] ^= 1;
        let (told, end) = read(&damaged);
        end.expect("the archive is whole");
        assert_eq!(told[0], broken("Post/new/1700000001.x"));
        assert!(told.len() == 3 && told[1..].iter().all(|told| !told.is_broken), "{told:?}");

        // One that is packed in a way that nobody knows, or encrypted.
        for (offset, value) in [(8, 99), (6, 1)] {
            let mut strange = good.clone();
            let header = at("Post/new") - 30;
            strange[header + offset] = value;
            let (told, end) = read(&strange);
            end.expect("the archive is whole");
            assert_eq!((&told[0], told.len()), (&broken("Post/new/1700000001.x"), 3));
        }

        // Cut off within a member, and within a header.
        let (told, end) = read(&good[..at("Second")]);
        assert!(end.is_err());
        assert_eq!(told[1], broken("Post/cur/1700000002.y:2,S"));
        let (told, end) = read(&good[..at("Post/cur")]);
        assert!(end.is_err() && told.len() == 1, "{told:?}");

        // Streamed, the packed octets say where they end.
        let streamed = archive(&MEMBERS, "ZIP_DEFLATED", true);
        for cut in 4..streamed.len() {
            let (told, end) = super::super::archive::tests::read_in(&streamed[..cut], 7);
            assert!(told.len() <= 3 && (end.is_err() || told.len() == 3), "{cut}");
        }
        for place in 4..streamed.len() {
            let mut damaged = streamed.clone();
            damaged[place] ^= 0x55;
            // Whatever is wrong in it: it ends, and nothing that is damaged is taken for good.
            let (told, _) = super::super::archive::tests::read_in(&damaged, 512);
            for told in told.iter().filter(|told| !told.is_broken) {
                assert!(
                    MEMBERS.iter().any(|(_, text)| text.replace('\n', "\r\n") == told.text),
                    "{place} {told:?}"
                );
            }
        }
    }

    #[test]
    fn a_member_that_grows_out_of_all_proportion_ends_it() {
        const SCRIPT: &str = r"
import sys, zipfile, io
into = io.BytesIO()
with zipfile.ZipFile(into, 'w', zipfile.ZIP_DEFLATED) as archive:
    with archive.open('new/1', 'w') as member:
        for _ in range(200): member.write(b'x' * (1 << 20))
    archive.writestr('new/2', 'A: b')
sys.stdout.buffer.write(into.getvalue())
";
        let made = Command::new("python3").args(["-c", SCRIPT]).output().expect("python3").stdout;
        assert!(made.len() < 400 * 1024);
        let (told, end) = super::super::archive::tests::read_in(&made, 64 * 1024);
        assert!(end.is_err());
        assert_eq!(told, [broken("new/1")]);
    }
}
