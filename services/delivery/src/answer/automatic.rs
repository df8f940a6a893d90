//! May this message be answered by itself? Never what a machine, a list or a mail system sent (RFC 3834 section 2): one
//! answer too many is a loop. Pure; one function for autoresponders and for the commands of lists.

use postern_mail::{EmailAddress, ReversePath};

use crate::content::Header;

/// Local parts that stand for machines, as a whole.
const MACHINES: [&str; 10] = [
    "mailer-daemon",
    "postmaster",
    "listserv",
    "majordomo",
    "noreply",
    "no-reply",
    "no_reply",
    "donotreply",
    "do-not-reply",
    "do_not_reply",
];
/// The same by their begin.
const MACHINE_PREFIXES: [&str; 9] = [
    "mailer-daemon",
    "postmaster",
    "owner-",
    "noreply",
    "no-reply",
    "donotreply",
    "do-not-reply",
    "srs0=",
    "srs1=",
];
/// The same by their end.
const MACHINE_SUFFIXES: [&str; 7] =
    ["-owner", "-request", "-bounces", "-bounce", "-noreply", "-no-reply", "-relay"];
/// Fields that only mail of a list has (RFC 2369, RFC 2919, and older habits).
const LIST_FIELDS: [&str; 10] = [
    "list-id",
    "list-help",
    "list-subscribe",
    "list-unsubscribe",
    "list-post",
    "list-owner",
    "list-archive",
    "mailing-list",
    "x-mailing-list",
    "x-ml-name",
];

/// Gives the sender who may be answered, or why nobody may.
///
/// `unproven`: nothing shows that the sender sent it ([`MessageFlags`](crate::accept::MessageFlags)), so that the answer would most
/// likely reach somebody else. `header` is the whole one, with the fields in which we say what the spam scanner found.
pub(crate) fn answerable<'a>(
    sender: &'a ReversePath,
    unproven: bool,
    header: &Header,
) -> Result<&'a EmailAddress, &'static str> {
    let ReversePath::Address(sender) = sender else { return Err("the null sender") };
    if unproven {
        return Err("nothing proves its sender");
    }
    if is_machine(sender) {
        return Err("the sender is no person");
    }
    for field in header.fields() {
        if LIST_FIELDS.iter().any(|name| field.is(name)) {
            return Err("mail of a list");
        }
        let value = field.text().to_ascii_lowercase();
        let first_word =
            value.split(|c: char| c == ';' || c.is_ascii_whitespace()).next().unwrap_or_default();
        if field.is("auto-submitted") && first_word != "no" {
            return Err("automatic mail");
        }
        if field.is("precedence") && matches!(first_word, "bulk" | "list" | "junk") {
            return Err("bulk mail");
        }
        if field.is("x-spam-flag") && first_word == "yes" {
            return Err("spam");
        }
        if field.is("x-auto-response-suppress")
            && value.split(',').any(|word| matches!(word.trim(), "all" | "oof" | "autoreply"))
        {
            return Err("the sender wants no automatic answer");
        }
    }
    Ok(sender)
}

fn is_machine(sender: &EmailAddress) -> bool {
    let local = sender.canonical().local().to_owned();
    // A tag says what it is for, not who it is; of a list it names the member.
    let name = local.split_once('+').map_or(local.as_str(), |(name, _)| name);
    MACHINES.contains(&name)
        || MACHINE_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || MACHINE_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(sender: &str, header: &str) -> bool {
        let sender: ReversePath = sender.parse().expect(sender);
        answerable(&sender, false, &Header::read(header.as_bytes()).0).is_ok()
    }

    #[test]
    fn a_01_whoever_may_be_forged_is_not_answered() {
        let sender: ReversePath = "anna@x.test".parse().expect("a sender");
        let header = Header::read(b"Subject: hello\r\n").0;
        assert!(answerable(&sender, false, &header).is_ok());
        assert!(answerable(&sender, true, &header).is_err());
    }

    #[test]
    fn a_01_who_is_never_answered() {
        for sender in [
            "",
            "MAILER-DAEMON@x.test",
            "mailer-daemon-2@x.test",
            "postmaster@x.test",
            "owner-list@x.test",
            "list-owner@x.test",
            "list-request@x.test",
            "list-bounces@x.test",
            "list-bounces+anna=home.test@x.test",
            "noreply@x.test",
            "no-reply@x.test",
            "No_Reply@x.test",
            "donotreply@x.test",
            "do-not-reply@x.test",
            "SRS0=abcd=ef=x.test=anna@y.test",
        ] {
            assert!(!verdict(sender, "Subject: hello\r\n"), "{sender}");
        }
        for sender in ["anna@x.test", "requests@x.test", "owner@x.test", "anna+list@x.test"] {
            assert!(verdict(sender, "Subject: hello\r\n"), "{sender}");
        }
    }

    #[test]
    fn a_01_what_is_never_answered() {
        for header in [
            "Auto-Submitted: auto-replied\r\n",
            "auto-submitted:\r\n auto-generated; x=y\r\n",
            "Auto-Submitted:\r\n",
            "Precedence: bulk\r\n",
            "precedence: LIST\r\n",
            "Precedence: junk\r\n",
            "List-Id: <a.x.test>\r\n",
            "List-Help: x\r\n",
            "List-Subscribe: x\r\n",
            "List-Unsubscribe: x\r\n",
            "List-Post: NO\r\n",
            "List-Owner: x\r\n",
            "List-Archive: x\r\n",
            "Mailing-List: x\r\n",
            "X-Mailing-List: x\r\n",
            "X-ML-Name: x\r\n",
            "X-Spam-Flag: YES\r\n",
            "X-Auto-Response-Suppress: DR, OOF\r\n",
        ] {
            assert!(
                !verdict("anna@x.test", &format!("Subject: hello\r\n{header}To: b@x.test\r\n")),
                "{header}"
            );
        }
        for header in [
            "Auto-Submitted: no\r\n",
            "Precedence: first-class\r\n",
            "X-Spam-Flag: NO\r\n",
            "X-List-Id: x\r\n",
        ] {
            assert!(verdict("anna@x.test", header), "{header}");
        }
    }
}
