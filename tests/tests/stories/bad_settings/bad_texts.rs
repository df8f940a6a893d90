//! What no text may hold, and which texts may hold it all the same.

/// What no field may hold, with a word that the case is told by.
pub(super) fn bad_texts(good: &str) -> Vec<(&'static str, String)> {
    let mut texts = vec![
        ("NUL", format!("a\0{good}")),
        ("CR LF", format!("{good}\r\nb")),
        ("escape", format!("{good}\u{1b}[31m")),
        ("turned reading direction", format!("a\u{202e}{good}")),
        ("line separator", format!("a\u{2028}{good}")),
        ("1 MB", "x".repeat(1_000_000)),
    ];
    if good.ends_with(".test") {
        let at = good.split_once('@').map_or("", |_| "a@");
        texts.extend([
            ("U-label that is none", format!("{at}a\u{fffd}b.test")),
            ("U-label with a joiner", format!("{at}a\u{200d}b.test")),
        ]);
    }
    if good.contains('@') {
        texts.extend([
            ("local part of 300 octets", format!("{}@homepage.test", "a".repeat(300))),
            ("odd quotes", "\"a\"b@homepage.test".to_owned()),
            ("open quote", "\"a@homepage.test".to_owned()),
            ("two at signs", "a@b@homepage.test".to_owned()),
            ("address literal", "a@[127.0.0.1]".to_owned()),
            ("domain of 300 octets", format!("a@{}.test", "b.".repeat(150))),
        ]);
    }
    texts
}

/// What is good all the same: field, and case.
const GOOD_ALL_THE_SAME: [(&str, &str); 11] = [
    // A password and a code may have any letters, and an id is compared only.
    ("plain", "turned reading direction"),
    ("plain", "line separator"),
    ("code", "turned reading direction"),
    ("code", "line separator"),
    ("requestId", "turned reading direction"),
    ("requestId", "line separator"),
    // A text has lines, and may be in any script.
    ("text", "CR LF"),
    ("text", "line separator"),
    // Told by line, not as a failure of the call.
    ("addresses", "*"),
    // Compared only.
    ("sessionId", "*"),
    ("exceptSessionId", "*"),
];

/// Cases that are refused also where any other text is an answer: an explanation says that nobody can have such a login, a filter of
/// the audit finds nothing.
const NEVER_GOOD: [&str; 4] = ["NUL", "CR LF", "escape", "1 MB"];

pub(super) fn is_good_all_the_same(method: &str, field: &str, case: &str) -> bool {
    // BatchResolveRecipients refuses what is no address; members are reported line by line.
    let by_line = method.ends_with("AddListMembers") || method.ends_with("RemoveListMembers");
    let is_any_login = method.contains("ExplainService") && field == "login";
    let is_filter =
        method.ends_with("ListAuditEntries") && ["kind", "name", "action", "actor"].contains(&field);
    if is_any_login || is_filter {
        return !NEVER_GOOD.contains(&case);
    }
    GOOD_ALL_THE_SAME.iter().any(|(of, what)| {
        *of == field && (*what == case || (*what == "*" && (*of != "addresses" || by_line)))
    })
}
