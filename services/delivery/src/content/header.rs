//! A header block, read whole: its fields as they came, and what people wrote into them. Pure.
//!
//! For errands and signatures, which need more of it than the one look while it streamed in (`scan`).

use mail_parser::MessageParser;
use postern_mail::{DomainName, EmailAddress};

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// As it was written, without the colon.
    name: &'a [u8],
    /// Behind the colon, all lines, with the last CRLF.
    value: &'a [u8],
    /// The whole field.
    pub(crate) octets: &'a [u8],
}

impl<'a> Field<'a> {
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    pub(crate) fn begins_with(&self, prefix: &str) -> bool {
        self.name.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix.as_bytes()))
    }

    /// As it was written, without the colon.
    pub(crate) fn name(&self) -> &'a [u8] {
        self.name
    }

    /// Behind the colon, without white space around it, folded as it came.
    pub(crate) fn value(&self) -> &'a [u8] {
        self.value.trim_ascii()
    }

    /// The same as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(self.value()).into_owned()
    }
}

/// The domains in a field of addresses such as From, in whatever form (RFC 5322 section 3.4). Where any address is not understood whole,
/// also those behind each `@`: some program may understand one.
pub(crate) fn domains_in(value: &[u8]) -> Vec<DomainName> {
    let block = [b"From:", value, b"\r\n\r\n"].concat();
    let parsed = MessageParser::default().parse_headers(&block);
    let list = parsed.as_ref().and_then(|message| message.from());
    let addresses = list.into_iter().flat_map(|list| list.iter()).filter_map(|one| one.address.as_deref());
    let domain = |text: &str| -> Option<DomainName> {
        let (local, domain) = text.rsplit_once('@')?;
        let is_one = local.starts_with('"') || !local.contains('@');
        is_one.then(|| domain.trim().trim_end_matches('.').parse().ok()).flatten()
    };
    let understood: Option<Vec<DomainName>> = addresses.map(domain).collect();
    if let Some(understood) = understood.filter(|domains| !domains.is_empty()) {
        return understood;
    }
    let text = String::from_utf8_lossy(value);
    let behind = text.split('@').skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && !"-._".contains(c));
        rest[..end.unwrap_or(rest.len())].trim_end_matches('.').parse().ok()
    });
    behind.collect()
}

/// A header block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Header {
    octets: Vec<u8>,
    /// Begin, end of the name, end.
    fields: Vec<(usize, usize, usize)>,
}

impl Header {
    /// Reads the block at the begin of `octets`; gives it and how long it is, the empty line included.
    pub(crate) fn read(octets: &[u8]) -> (Self, usize) {
        let mut fields: Vec<(usize, usize, usize)> = Vec::new();
        let mut at = 0;
        while at < octets.len() {
            let rest = &octets[at..];
            let end = rest.iter().position(|c| *c == b'\n').map_or(octets.len(), |offset| at + offset + 1);
            let line = &octets[at..end];
            match (line, fields.last_mut()) {
                (b"\r\n" | b"\n", _) => {
                    let block = Self { octets: octets[..at].to_vec(), fields };
                    return (block, end);
                }
                ([b' ' | b'\t', ..], Some(field)) => field.2 = end,
                _ => {
                    let Some(colon) = line.iter().position(|c| *c == b':').filter(|colon| *colon > 0) else {
                        // The body begins without an empty line.
                        break;
                    };
                    fields.push((at, at + colon, end));
                }
            }
            at = end;
        }
        (Self { octets: octets[..at].to_vec(), fields }, at)
    }

    /// The block without its empty line.
    pub(crate) fn octets(&self) -> &[u8] {
        &self.octets
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.fields.iter().map(|(begin, colon, end)| Field {
            name: self.octets[*begin..*colon].trim_ascii_end(),
            value: &self.octets[colon + 1..*end],
            octets: &self.octets[*begin..*end],
        })
    }

    /// The first field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<Field<'_>> {
        self.fields().find(|field| field.is(name))
    }

    /// The subject as people read it, in one line.
    pub(crate) fn subject(&self) -> String {
        let Some(field) = self.field("subject") else { return String::new() };
        let mut block = b"Subject:".to_vec();
        block.extend_from_slice(field.value);
        block.extend_from_slice(b"\r\n\r\n");
        let parsed = MessageParser::default().parse_headers(&block);
        let text = parsed.as_ref().and_then(|message| message.subject()).unwrap_or_default();
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
    }

    /// The one author: a name for people, which may be empty, and the address. `None`: there are none or several.
    pub(crate) fn author(&self) -> Option<(String, EmailAddress)> {
        let mut block = b"From:".to_vec();
        let mut fields = self.fields().filter(|field| field.is("from"));
        block.extend_from_slice(fields.next()?.value);
        block.extend_from_slice(b"\r\n\r\n");
        let parsed = MessageParser::default().parse_headers(&block)?;
        let mut list = parsed.from()?.iter();
        let (one, another) = (list.next()?, list.next());
        if another.is_some() || fields.next().is_some() {
            return None;
        }
        let name = one.name.as_deref().unwrap_or_default();
        Some((name.trim().to_owned(), one.address.as_ref()?.parse().ok()?))
    }

    /// Addresses of all fields of these names; what is none is left out.
    pub(crate) fn addresses(&self, names: &[&str]) -> Vec<EmailAddress> {
        let mut found = Vec::new();
        for field in self.fields().filter(|field| names.iter().any(|name| field.is(name))) {
            let mut block = b"To:".to_vec();
            block.extend_from_slice(field.value);
            block.extend_from_slice(b"\r\n\r\n");
            let parsed = MessageParser::default().parse_headers(&block);
            let Some(list) = parsed.as_ref().and_then(|message| message.to()) else { continue };
            found.extend(list.iter().filter_map(|one| one.address.as_ref()?.parse().ok()));
        }
        found
    }

    /// Identifiers in a field such as Message-ID or References (RFC 5322 section 3.6.4): with their brackets, printable
    /// ASCII only.
    pub(crate) fn message_ids(&self, name: &str) -> Vec<String> {
        let Some(field) = self.field(name) else { return Vec::new() };
        let is_id = |word: &&[u8]| {
            word.len() <= MESSAGE_ID_MAX_BYTES
                && word.starts_with(b"<")
                && word.ends_with(b">")
                && word.iter().all(u8::is_ascii_graphic)
        };
        let words = field.value().split(|c| c.is_ascii_whitespace()).filter(is_id);
        words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }
}

/// A longer identifier is not repeated, octets.
const MESSAGE_ID_MAX_BYTES: usize = 250;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_come_as_they_were_written() {
        let octets = b"From: a\r\nSubject : one\r\n two\r\n\r\nbody: x\r\n";
        let (header, length) = Header::read(octets);
        assert_eq!(&octets[length..], b"body: x\r\n");
        let fields: Vec<_> =
            header.fields().map(|f| String::from_utf8_lossy(f.octets).into_owned()).collect();
        assert_eq!(fields, ["From: a\r\n", "Subject : one\r\n two\r\n"]);
        assert_eq!(header.field("SUBJECT").expect("it").value(), b"one\r\n two");
        for (octets, length) in
            [(&b""[..], 0), (b"\r\nbody", 2), (b"no header\r\nA: b\r\n", 0), (b"A: b\r\n", 6), (b"A: b", 4)]
        {
            assert_eq!(Header::read(octets).1, length, "{:?}", String::from_utf8_lossy(octets));
        }
    }

    #[test]
    fn what_people_wrote_is_understood() {
        let header = |text: &str| Header::read(text.as_bytes()).0;
        for (given, subject) in [
            ("Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= =?utf-8?B?IHVuZA==?=\r\n mehr\r\n", "Grüße und mehr"),
            ("Subject: plain\r\n", "plain"),
            ("Subject: =?utf-8?Q?a=0D=0ABcc:_x@y.test?=\r\n", "a  Bcc: x@y.test"),
            ("X: y\r\n", ""),
        ] {
            assert_eq!(header(given).subject(), subject);
        }
        let both = header(
            "To: \"A, B\" <a@x.test>,\r\n b@x.test\r\nCc: Friends: c@x.test, d@x.test;\r\nTo: e@x.test\r\n",
        );
        let addresses: Vec<_> = both.addresses(&["to", "cc"]).iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["a@x.test", "b@x.test", "c@x.test", "d@x.test", "e@x.test"]);
        let ids = header("References: <a@x> nonsense\r\n <b@x> <\u{fc}@x>\r\n");
        assert_eq!(ids.message_ids("references"), ["<a@x>", "<b@x>"]);
    }

    #[test]
    fn whose_domains_stand_in_from() {
        for (value, domains) in [
            (" anna@x.test\r\n", &["x.test"][..]),
            (" \"Boss, R.\" <boss@Rival.test>,\r\n b@x.test (why)\r\n", &["rival.test", "x.test"]),
            (" Friends: c@x.test, d@y.test;\r\n", &["x.test", "y.test"]),
            (" b@m\u{fc}ller.test\r\n", &["xn--mller-kva.test"]),
            (" \"a@far.test\"@x.test\r\n", &["x.test"]),
            (" <boss@rival.test\r\n", &["rival.test"]),
            (" <boss@rival.test> <me@x.test>\r\n", &["rival.test", "x.test"]),
            (" boss@rival.test me@x.test\r\n", &["rival.test", "x.test"]),
            (" <boss@rival.test;>, me@x.test\r\n", &["rival.test", "x.test"]),
            (" boss@rival.test.\r\n", &["rival.test"]),
            (" Anna\r\n", &[]),
        ] {
            let found = domains_in(value.as_bytes());
            let found: Vec<&str> = found.iter().map(DomainName::as_str).collect();
            assert_eq!(found, domains, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_parted_and_joined_again(
            parts in prop::collection::vec(prop_oneof![
                3 => prop::sample::select(vec![
                    "Subject:", "From: ", "To:", "References:", " ", "\t", "\r\n", "\n", "\r", ":", "<a@x.test>", "text", "=?utf-8?Q?=FC?=",
                    "\"", "(", "\u{fc}",
                ]).prop_map(|text| text.as_bytes().to_vec()),
                1 => prop::collection::vec(any::<u8>(), 0..6),
            ], 0..30),
        ) {
            let octets = parts.concat();
            let (header, length) = Header::read(&octets);
            let (block, end) = octets[..length].split_at(header.octets().len());
            prop_assert_eq!(header.octets(), block);
            prop_assert!([&b""[..], b"\n", b"\r\n"].contains(&end), "{:?}", end);
            let joined: Vec<u8> = header.fields().flat_map(|field| field.octets.to_vec()).collect();
            prop_assert_eq!(joined, block);
            for field in header.fields() {
                let named = field.octets.strip_prefix(field.name()).map(<[u8]>::trim_ascii_start);
                let value = named.and_then(|rest| rest.strip_prefix(b":")).map(<[u8]>::trim_ascii);
                prop_assert_eq!(value, Some(field.value()));
            }
            prop_assert!(!header.subject().chars().any(char::is_control));
            prop_assert!(header.message_ids("references").iter().all(|id| id.is_ascii()));
            let _ = (header.author(), header.addresses(&["from", "to"]), domains_in(&octets));
        }
    }
}
