//! The header of a list's copy: what the author wrote, with the fields of this list and of no other (RFC 2369, RFC 2919).
//! Pure.

use std::fmt::Write as _;

use postern_mail::{EmailAddress, limits::EXPANSION_DEPTH_MAX};
use postern_proto::account::v1::{ListPosting, ListReplies, MailingList};

use super::names::{command_address, list_id, mailto};
use crate::content::{Header, encoded, encoded_words, phrase};

/// Fields of which a copy has its own, or none: those of other lists, and those that would tell an author who reads.
const REPLACED: [&str; 5] = [
    "precedence",
    "x-auto-response-suppress",
    "disposition-notification-to",
    "return-receipt-to",
    "x-confirm-reading-to",
];
/// A subject that is no longer than this stays on its line with the prefix, octets.
const SUBJECT_LINE_MAX_BYTES: usize = 60;

/// Why a post is thrown away instead of given to members; there is a line in the log for each.
pub(super) fn unwanted(header: &Header, list: &EmailAddress) -> Option<&'static str> {
    let own_id = list_id(list);
    let mut lists_passed = 0;
    for field in header.fields() {
        let value = field.text().to_ascii_lowercase();
        if field.is("list-id") && value.trim_end_matches('>').rsplit('<').next() == Some(own_id.as_str()) {
            return Some("loop: it has the id of this list");
        }
        if field.is("x-loop") {
            if value.parse::<EmailAddress>().is_ok_and(|looped| looped.canonical() == list.canonical()) {
                return Some("loop: it passed this list");
            }
            lists_passed += 1;
        }
        if field.is("auto-submitted") && value.starts_with("auto-replied") {
            return Some("an automatic answer is no post");
        }
    }
    (lists_passed >= EXPANSION_DEPTH_MAX).then_some("loop: it passed too many lists")
}

/// The header block of the copy, with its empty line. `from_list`: it says that it is from the list, since the author's domain
/// would not let it pass as the author's own; replies still find the author.
pub(super) fn header_of(
    original: &Header,
    list: &MailingList,
    address: &EmailAddress,
    from_list: bool,
) -> Vec<u8> {
    let mut block = own_fields(list, address).into_bytes();
    let replies_to_list = list.replies() == ListReplies::List;
    if from_list {
        block.extend_from_slice(&from_list_fields(original, address, replies_to_list));
    }
    let mut has_subject = false;
    for field in original.fields() {
        let is_replaced = REPLACED.iter().any(|name| field.is(name))
            || field.begins_with("list-")
            || (replies_to_list && field.is("reply-to"))
            || (from_list && field.is("from"));
        if is_replaced {
            continue;
        }
        if field.is("subject") {
            // A second one would be shown by some programs and not by others.
            if !has_subject {
                block.extend_from_slice(&subject(
                    original,
                    field.octets,
                    field.value(),
                    &list.subject_prefix,
                ));
            }
            has_subject = true;
            continue;
        }
        block.extend_from_slice(field.octets);
        if !field.octets.ends_with(b"\n") {
            block.extend_from_slice(b"\r\n");
        }
    }
    if !has_subject && !list.subject_prefix.is_empty() {
        block.extend_from_slice(format!("Subject: {}\r\n", encoded(&list.subject_prefix)).as_bytes());
    }
    block.extend_from_slice(b"\r\n");
    block
}

/// From the list in the author's name, and the author where replies or readers look (RFC 9057).
fn from_list_fields(original: &Header, address: &EmailAddress, replies_to_list: bool) -> Vec<u8> {
    let (name, author) =
        original.author().map_or((String::new(), None), |(name, author)| (name, Some(author)));
    let name = match (name.as_str(), &author) {
        ("", Some(author)) => author.local().to_owned(),
        _ => name,
    };
    let shown = phrase(&format!("{name} via {}", address.local()));
    let mut block = format!("From: {shown}<{address}>\r\n").into_bytes();
    let Some(from) = original.field("from") else { return block };
    let mut add = |name: &str| {
        block.extend_from_slice(format!("{name}: ").as_bytes());
        block.extend_from_slice(from.value());
        block.extend_from_slice(b"\r\n");
    };
    if !replies_to_list && original.field("reply-to").is_none() {
        add("Reply-To");
    }
    if original.field("author").is_none() {
        add("Author");
    }
    block
}

fn own_fields(list: &MailingList, address: &EmailAddress) -> String {
    let request = mailto(&command_address(address, "request"));
    let post = match list.posting() {
        ListPosting::Owner => "NO".to_owned(),
        _ => format!("<{}>", mailto(address)),
    };
    let phrase = phrase(&list.description);
    // X-Loop stays in copies of copies: by it a list knows what it had before.
    let mut fields = format!(
        "List-Id: {phrase}<{id}>\r\nList-Post: {post}\r\nList-Help: <{request}?subject=help>\r\n\
         List-Owner: <{owner}>\r\nPrecedence: list\r\nX-Loop: {address}\r\n",
        id = list_id(address),
        owner = mailto(&command_address(address, "owner")),
    );
    if list.replies() == ListReplies::List {
        // Writing into a String cannot fail.
        let _ = write!(fields, "Reply-To: {address}\r\n");
    }
    fields
}

/// The subject with the prefix once; what the author wrote stays as it was written.
fn subject(original: &Header, octets: &[u8], value: &[u8], prefix: &str) -> Vec<u8> {
    let prefix = prefix.trim();
    let is_there = original.subject().to_lowercase().contains(&prefix.to_lowercase());
    if prefix.is_empty() || is_there {
        let end: &[u8] = if octets.ends_with(b"\n") { b"" } else { b"\r\n" };
        return [octets, end].concat();
    }
    let mut coded = encoded(prefix);
    if coded.starts_with("=?") && value.starts_with(b"=?") {
        // White space between two encoded words is not shown (RFC 2047 section 6.2): it goes into the first one.
        coded = encoded_words(&format!("{prefix} "));
    }
    let fold: &[u8] = if value.len() > SUBJECT_LINE_MAX_BYTES { b"\r\n " } else { b" " };
    [b"Subject: ", coded.as_bytes(), fold, value, b"\r\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> MailingList {
        MailingList {
            address: "staff@x.test".to_owned(),
            posting: ListPosting::Members.into(),
            replies: ListReplies::Author.into(),
            subject_prefix: "[staff]".to_owned(),
            description: "All of us".to_owned(),
            ..MailingList::default()
        }
    }

    fn copy(list: &MailingList, original: &str) -> String {
        let address = list.address.parse().expect("an address");
        String::from_utf8(header_of(&Header::read(original.as_bytes()).0, list, &address, false))
            .expect("text")
    }

    #[test]
    fn l_01_one_of_each_and_none_of_others() {
        let original = "List-Id: <other.y.test>\r\nList-Post:\r\n <mailto:o@y.test>\r\nPrecedence: bulk\r\nFrom: a@b.test\r\n\
                        List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nReply-To: a@c.test\r\nSubject: hello\r\n\
                        X-Loop: other@y.test\r\nList-Archive: x\r\n\r\n";
        assert_eq!(
            copy(&list(), original),
            "List-Id: \"All of us\"\r\n <staff.x.test>\r\nList-Post: <mailto:staff@x.test>\r\n\
             List-Help: <mailto:staff-request@x.test?subject=help>\r\n\
             List-Owner: <mailto:staff-owner@x.test>\r\n\
             Precedence: list\r\nX-Loop: staff@x.test\r\nFrom: a@b.test\r\nReply-To: a@c.test\r\n\
             Subject: [staff] hello\r\nX-Loop: other@y.test\r\n\r\n"
        );
        let announcer = MailingList {
            posting: ListPosting::Owner.into(),
            replies: ListReplies::List.into(),
            description: String::new(),
            ..list()
        };
        let text = copy(&announcer, original);
        assert!(text.contains("List-Id: <staff.x.test>\r\n") && text.contains("List-Post: NO\r\n"), "{text}");
        assert_eq!(text.matches("Reply-To:").count(), 1);
        assert!(text.contains("Reply-To: staff@x.test\r\n"));
    }

    #[test]
    fn the_author_of_a_strict_domain_is_found_all_the_same() {
        let from_list = |list: &MailingList, original: &str| {
            let address = list.address.parse().expect("an address");
            let block = header_of(&Header::read(original.as_bytes()).0, list, &address, true);
            String::from_utf8(block).expect("text")
        };
        let text = from_list(&list(), "From: Anna B. <anna@strict.test>\r\nSubject: s\r\n\r\n");
        assert!(text.contains("From: \"Anna B. via staff\"\r\n <staff@x.test>\r\n"), "{text}");
        assert!(
            text.contains("Reply-To: Anna B. <anna@strict.test>\r\nAuthor: Anna B. <anna@strict.test>\r\n")
        );
        assert_eq!(text.matches("From:").count(), 1);
        let text = from_list(&list(), "From: anna@strict.test\r\nReply-To: other@strict.test\r\n\r\n");
        assert!(text.contains("From: \"anna via staff\"\r\n <staff@x.test>\r\n"), "{text}");
        assert!(text.contains("Reply-To: other@strict.test\r\n") && text.matches("Reply-To:").count() == 1);
        let to_list = MailingList { replies: ListReplies::List.into(), ..list() };
        let text = from_list(&to_list, "From: =?utf-8?Q?J=C3=B6rg?= <j@strict.test>\r\n\r\n");
        assert!(
            text.contains("Reply-To: staff@x.test\r\n") && text.matches("Reply-To:").count() == 1,
            "{text}"
        );
        assert!(text.contains("Author: =?utf-8?Q?J=C3=B6rg?= <j@strict.test>\r\n"), "{text}");
        assert!(
            Header::read(text.as_bytes()).0.author().is_some_and(|(name, _)| name == "J\u{f6}rg via staff")
        );
    }

    #[test]
    fn the_prefix_is_there_once() {
        let wide = MailingList { subject_prefix: "[b\u{fc}ro]".to_owned(), ..list() };
        let none = MailingList { subject_prefix: String::new(), ..list() };
        for (list, given, shown) in [
            (&list(), "Subject: hello\r\n", "[staff] hello"),
            (&list(), "Subject: Re: [Staff] hello\r\n", "Re: [Staff] hello"),
            (&list(), "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n", "[staff] Gr\u{fc}\u{df}e"),
            (&list(), "Subject: =?utf-8?Q?Re:_[staff]_=C3=BC?=\r\n", "Re: [staff] \u{fc}"),
            (&list(), "From: a@b.test\r\n", "[staff]"),
            (&list(), "Subject: a\r\nSubject: b\r\n", "[staff] a"),
            (&list(), "Subject: a", "[staff] a"),
            (&wide, "Subject: hello\r\n", "[b\u{fc}ro] hello"),
            (&wide, "Subject: =?utf-8?Q?=C3=BC?=\r\n", "[b\u{fc}ro] \u{fc}"),
            (&none, "Subject: hello\r\n", "hello"),
        ] {
            let text = copy(list, given);
            let (header, _) = Header::read(text.as_bytes());
            assert_eq!(header.subject(), shown, "{given}");
            assert_eq!(header.fields().filter(|field| field.is("subject")).count(), 1);
            assert!(text.is_ascii());
        }
        let long = copy(&list(), &format!("Subject: {}\r\n", "x".repeat(980)));
        assert!(long.split("\r\n").all(|line| line.len() <= 998), "{long}");
    }

    #[test]
    fn l_03_loops_are_known() {
        let staff: EmailAddress = "Staff@x.test".parse().expect("an address");
        let passed = "X-Loop: a@y.test\r\n".repeat(EXPANSION_DEPTH_MAX);
        for (header, is_unwanted) in [
            ("List-Id: <staff.x.test>\r\n", true),
            ("List-Id: All of us <Staff.X.test>\r\n", true),
            ("List-Id: staff.x.test\r\n", true),
            ("X-Loop: STAFF@x.test\r\n", true),
            ("Auto-Submitted: auto-replied (vacation)\r\n", true),
            (passed.as_str(), true),
            (
                "List-Id: <my-staff.x.test>\r\nX-Loop: other@x.test\r\nAuto-Submitted: auto-generated\r\n",
                false,
            ),
        ] {
            assert_eq!(
                unwanted(&Header::read(header.as_bytes()).0, &staff).is_some(),
                is_unwanted,
                "{header}"
            );
        }
    }
}
