//! Mail in a tar, member by member. Headers are read raw: the library would hold a name of any length in memory.

use std::io::{self, BufReader, Error, ErrorKind, Read};

use tar::{Archive, EntryType, PaxExtensions};

use super::{
    MailFrames,
    archive::{is_mail, seconds_of},
};

/// Octets of a long name, and of the other things that pax says of a member.
const NAME_MAX_BYTES: u64 = 64 * 1024;

/// To the end of the archive, or to where it is damaged: what comes behind that cannot be found.
pub(super) fn read(reader: impl Read, frames: &mut MailFrames) -> io::Result<()> {
    let mut archive = Archive::new(reader);
    // The name of the next member, where its header has no room for it.
    let mut long_name = None;
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        match entry.header().entry_type() {
            EntryType::GNULongName => long_name = Some(bounded(&mut entry)?),
            EntryType::XHeader => long_name = name_in_pax(&bounded(&mut entry)?).or(long_name),
            EntryType::Regular | EntryType::Continuous => {
                let name = long_name.take().unwrap_or_else(|| entry.header().path_bytes().into_owned());
                let name = String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned();
                if is_mail(&name) {
                    member(entry, &name, frames)?;
                }
            }
            _ => long_name = None,
        }
    }
    Ok(())
}

fn member(entry: tar::Entry<'_, impl Read>, name: &str, frames: &mut MailFrames) -> io::Result<()> {
    let written = entry.header().mtime().ok().and_then(|seconds| i64::try_from(seconds).ok());
    let seconds = seconds_of(name).or(written);
    let left = entry.size();
    match frames.message(BufReader::new(Whole { inner: entry, left }), seconds, name) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            frames.broken()?;
            Err(error)
        }
        done => done,
    }
}

fn bounded(entry: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut name = Vec::new();
    entry.take(NAME_MAX_BYTES).read_to_end(&mut name)?;
    Ok(name)
}

fn name_in_pax(pax: &[u8]) -> Option<Vec<u8>> {
    let mut found = PaxExtensions::new(pax).filter_map(Result::ok);
    found.find(|extension| extension.key_bytes() == b"path").map(|path| path.value_bytes().to_vec())
}

/// A member that ends before its size is damaged.
struct Whole<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.left = self.left.saturating_sub(count as u64);
        if count == 0 && self.left > 0 && !into.is_empty() {
            return Err(Error::from(ErrorKind::UnexpectedEof));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::super::archive::tests::{broken, gzipped, read, whole};

    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, text) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            header.set_cksum();
            // As tar(1) does it: what does not fit stands in a member before.
            archive.append_data(&mut header, name, *text).expect("memory");
        }
        archive.into_inner().expect("memory")
    }

    #[test]
    fn the_messages_of_a_maildir_are_read_with_long_names_and_compressed() {
        let long = format!("{}/cur/1700000000.M1.host,S=9:2,S", "folder/".repeat(40));
        let file = archive(&[
            ("Maildir/dovecot-uidlist", b"3 V1"),
            ("Maildir/new/1700000001.x", b"Subject: one\n\nFirst\n"),
            (&long, b"Subject: two\r\n\r\nSecond"),
            ("Maildir/cur/", b""),
            ("single.eml", b"Subject: three\n\n"),
        ]);
        let end_of_long: String = long.chars().skip(long.len() - 200).collect();
        let expected = [
            whole("Maildir/new/1700000001.x", "Subject: one\r\n\r\nFirst\r\n"),
            whole(&end_of_long, "Subject: two\r\n\r\nSecond"),
            whole("single.eml", "Subject: three\r\n\r\n"),
        ];
        for file in [gzipped(&file), file] {
            let (told, end) = read(&file);
            end.expect("a whole archive");
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn names_in_pax_headers_count() {
        let mut builder = tar::Builder::new(Vec::new());
        builder
            .append_pax_extensions([("mtime", b"1.5".as_slice()), ("path", b"Post/cur/17.x")])
            .expect("memory");
        let mut header = tar::Header::new_ustar();
        header.set_path("short").expect("a name");
        header.set_size(9);
        header.set_cksum();
        builder.append(&header, &b"A: b\n\nhi\n"[..]).expect("memory");
        let (told, end) = read(&builder.into_inner().expect("memory"));
        end.expect("a whole archive");
        assert_eq!(told, [whole("Post/cur/17.x", "A: b\r\n\r\nhi\r\n")]);
    }

    #[test]
    fn where_it_is_cut_or_damaged_it_ends_and_what_came_before_stays() {
        let file =
            archive(&[("new/1", b"Subject: one\n\n"), ("new/2", &b"Subject: two\n\nxxxxxxxx".repeat(100))]);
        let (told, end) = read(&file[..512 * 3 + 700]);
        assert!(end.is_err());
        assert_eq!(told, [whole("new/1", "Subject: one\r\n\r\n"), broken("new/2")]);
        let mut damaged = file;
        damaged[512 * 2 + 3] ^= 1;
        let (told, end) = read(&damaged);
        assert!(end.is_err(), "a header whose checksum is wrong");
        assert_eq!(told, [whole("new/1", "Subject: one\r\n\r\n")]);
    }
}
