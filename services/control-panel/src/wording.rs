//! What services say of a field or a refusal, in the language of the reader. Their words are English; those that people meet
//! have a text of ours, the others are shown as they are.

use fluent_bundle::FluentValue;

use crate::texts::Texts;

/// What services say, `*` for what differs, and the key of our text, in which `{ $a }` to `{ $d }` are what stood for the
/// stars.
const KNOWN: [(&str, &str); 73] = [
    ("is missing", "wording-missing"),
    ("an address has the form name@domain*", "wording-no-address"),
    ("a character that is not allowed in an address*", "wording-bad-character"),
    ("a dot at the wrong place*", "wording-bad-dot"),
    ("not a domain name*", "wording-no-domain"),
    ("address literals are not accepted*", "wording-no-domain"),
    ("too long: at most 64 octets before the @*", "wording-address-too-long"),
    ("too short: at least * bytes", "wording-too-short"),
    ("too long: at most * bytes", "wording-too-long"),
    ("at most * characters", "wording-too-long"),
    ("at most * octets", "wording-too-long"),
    ("at most * targets", "wording-too-many"),
    ("control characters*", "wording-control-characters"),
    ("characters that turn the reading direction*", "wording-control-characters"),
    ("at least one target is needed", "wording-target-needed"),
    ("* is there twice", "wording-twice"),
    ("names that begin with SRS0= or SRS1= are reserved", "wording-reserved"),
    ("must be after start_time", "wording-end-before-start"),
    ("* is a mailbox already", "wording-is-mailbox"),
    ("* is a forward already", "wording-is-forward"),
    ("* is a mailing list already", "wording-is-list"),
    ("* is an autoresponder already", "wording-is-autoresponder"),
    ("all of them are members of * already", "wording-all-members"),
    ("* is a command address of the mailing list *", "wording-is-command"),
    ("domain * is hosted here already", "wording-domain-there"),
    ("leads back to itself: *", "wording-ring"),
    ("there is no mailbox * to keep a copy in", "wording-no-box-for-copy"),
    ("QUARANTINE needs the address of a mailbox", "wording-spam-box-needed"),
    ("customer * has no mailbox *", "wording-no-such-box"),
    ("customer * may have * * and has *: remove some, or ask the operator for more", "wording-limit"),
    // Of things that cannot be as they are wanted, or cannot come back.
    ("a customer login has 1 to 8 characters of a-z and 0-9", "wording-customer-login"),
    ("this login is reserved for the platform", "wording-login-reserved"),
    ("login * belongs to a customer, or did once; a login is never given again", "wording-login-given"),
    ("* has * app passwords: remove one that is not used any more", "wording-app-passwords"),
    ("1 to * characters that say what it is for", "wording-app-name"),
    ("leads to more than * addresses", "wording-many-addresses"),
    ("a mailing list has at most * octets before the @", "wording-list-long"),
    ("a mailing list has only ASCII characters before the @, and no quotes", "wording-list-ascii"),
    ("a mailing list has no + before the @: what stands after it is a tag", "wording-list-plus"),
    ("a brace that stands for nothing: *", "wording-brace"),
    ("0 for 7 days, or * to * seconds", "wording-interval"),
    ("* to * seconds, or absent", "wording-grant"),
    ("a mailbox of * may hold at most * octets: ask the operator for more", "wording-box-bound"),
    ("too many codes were wrong: wait * minutes", "wording-codes"),
    (
        "* has the form of a rewritten sender (SRS): mail to it is led back to who sent it",
        "wording-rewritten",
    ),
    ("* is *, but belongs to a mailing list *: remove it first", "wording-list-would-own"),
    ("* is a second name of *: everything in it is set under *", "wording-second-name"),
    ("domain * has second names, remove them first: *", "wording-second-names"),
    ("audit entry * tells of no removal of a forward, mailing list or autoresponder", "wording-no-removal"),
    ("the * days for restoring * * are over", "wording-days-over"),
    ("mailbox * was removed more than * days ago: its mail is gone", "wording-mail-gone"),
    ("the mailing list * is gone for good", "wording-list-gone"),
    ("domain * belongs to another customer now", "wording-domain-others"),
    ("domain * is not hosted here any more for the owner of *: add the domain first", "wording-domain-gone"),
    ("* was the default box of *, which has another one now", "wording-default-box-was"),
    ("* is the default box of *: it goes with its domain", "wording-default-box-stays"),
    ("* is the default box of *: its password is that of the customer", "wording-default-box-password"),
    // Of records in DNS.
    ("DNS did not answer: try again in a few minutes; nothing was changed", "wording-dns-no-answer"),
    (
        "add this TXT record to *, so that others believe mail that this platform sends for it",
        "wording-dns-spf-missing",
    ),
    ("the SPF record of * does not let this platform send: add * to it", "wording-dns-spf-add"),
    ("* has more than one SPF record, which makes all of them void: leave one", "wording-dns-spf-many"),
    ("set these name servers where * is registered, or set the MX below", "wording-dns-servers"),
    (
        "not needed, since the MX of * leads here; only if this platform is to serve all of its DNS",
        "wording-dns-servers-spare",
    ),
    (
        "the name servers of * are ours already; mail comes here only with this MX in its zone",
        "wording-dns-mx-zone",
    ),
    ("set this MX in the DNS of *; without it the world's mail for * does not come here", "wording-dns-mx"),
    (
        "more than one customer asked for *, or it had another owner here: add this TXT record at * to show that it is yours",
        "wording-dns-claim",
    ),
    (
        "remove this record: the platform has no address of this kind, so that mail programs wait for nothing at *",
        "wording-dns-host-remove",
    ),
    ("set * to the addresses expected: mail programs look for the platform there", "wording-dns-host"),
    ("add this TXT record at *: it shows the key that the domain's mail is signed with", "wording-dns-key"),
    (
        "add this TXT record at * and leave the other one: it shows the next key; mail is signed with it once DNS shows it",
        "wording-dns-key-next",
    ),
    (
        "leave this TXT record at * for some days more: mail that was signed with this key is still under way",
        "wording-dns-key-ended",
    ),
    ("* has more than one DMARC record, which makes all of them void: leave one", "wording-dns-dmarc-many"),
    (
        "add this TXT record at *; others are to know what to do with mail that is not really from the domain",
        "wording-dns-dmarc",
    ),
];

/// The words of a service for this reader.
pub(crate) fn spoken(texts: Texts, words: &str) -> String {
    let known = KNOWN.iter().find_map(|(pattern, key)| Some((stars(pattern, words)?, key)));
    match known {
        Some((stars, key)) => {
            let values: Vec<(&str, FluentValue<'_>)> =
                ["a", "b", "c", "d"].into_iter().zip(stars.into_iter().map(FluentValue::from)).collect();
            texts.fill(key, &values)
        }
        None => capitalized(words),
    }
}

/// What stood for the stars of a pattern; `None`: the words are others.
fn stars<'w>(pattern: &str, words: &'w str) -> Option<Vec<&'w str>> {
    let mut pieces = pattern.split('*');
    let mut rest = words.strip_prefix(pieces.next()?)?;
    let mut found = Vec::new();
    let mut pieces = pieces.peekable();
    while let Some(piece) = pieces.next() {
        let (star, after) = match (piece, pieces.peek()) {
            ("", None) => (rest, ""),
            (piece, None) => (rest.strip_suffix(piece)?, ""),
            (piece, Some(_)) => rest.split_once(piece)?,
        };
        found.push(star);
        rest = after;
    }
    rest.is_empty().then_some(found)
}

fn capitalized(words: &str) -> String {
    let mut letters = words.chars();
    match letters.next() {
        // An address at the begin stays as it is written.
        Some(first) if !words.split(' ').next().unwrap_or_default().contains(['@', '.']) => {
            first.to_uppercase().chain(letters).collect()
        }
        _ => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::Language;

    #[test]
    fn known_words_are_said_in_the_readers_language_and_others_as_they_are() {
        let german = |words: &str| spoken(Texts(Language::German), words);
        assert_eq!(german("too short: at least 8 bytes"), "Zu kurz: mindestens 8 Zeichen.");
        assert_eq!(german("a@x.test is a forward already"), "a@x.test ist schon eine Weiterleitung.");
        let limit =
            "customer homepage may have 3 mailboxes and has 3: remove some, or ask the operator for more";
        assert!(german(limit).contains('3'), "{}", german(limit));
        let record = "the SPF record of x.test does not let this platform send: add a:mail.y.test to it";
        let told = "Der SPF-Eintrag von x.test erlaubt dieser Plattform nicht zu senden: Fügen Sie a:mail.y.test hinzu.";
        assert_eq!(german(record), told);
        let gone = "the 30 days for restoring forward info@x.test are over";
        assert_eq!(
            german(gone),
            "info@x.test wurde vor mehr als 30 Tagen entfernt und kann nicht mehr zurückkommen."
        );
        let brace =
            "a brace that stands for nothing: {sender}, {subject} and {date} are known, {{ and }} are braces";
        assert!(german(brace).contains("{sender}"), "{}", german(brace));
        let full = "anna@x.test has 20 app passwords: remove one that is not used any more";
        assert!(german(full).starts_with("anna@x.test hat 20 App-Passwörter"), "{}", german(full));
        assert_eq!(german("something new"), "Something new");
        assert_eq!(german("a@x.test leads nowhere"), "a@x.test leads nowhere");
        assert_eq!(stars("a * b * c", "a 1 b 2 c"), Some(vec!["1", "2"]));
        assert_eq!(stars("is missing", "is missing too"), None);
    }
}
