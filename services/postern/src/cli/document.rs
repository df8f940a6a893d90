//! A customer's settings as one YAML document: what `postern export` prints and `postern apply` takes. Passwords are never in
//! it, save as ready hashes that an operator writes there.
//!
//! What is left out of a document is left as it is; `postern apply --prune` removes things, never switches.

mod check;
mod loops;
mod merge;
mod reading;
mod stored;

use std::io::Read as _;

use postern_proto::account::v1::{
    DefaultAction, DmarcHandling, ListPosting, ListReplies, SenderPolicy, SpamHandling,
};
use serde::{Deserialize, Serialize};

pub(super) use self::{
    check::{domain_key, key, standing},
    merge::merged,
    reading::read,
};
use super::Failure;

/// Larger documents are refused, octets.
const DOCUMENT_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The whole document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    /// Login of the customer.
    pub(super) customer: String,
    #[serde(default)]
    pub(super) domains: Vec<DomainSettings>,
}

/// A domain and all in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DomainSettings {
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) alias_of: Option<String>,
    /// Life of a relay grant, seconds; 0: the platform's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) grant_seconds: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) auth_only: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) plaintext_login: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dmarc: Option<Dmarc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) spam: Option<Spam>,
    /// Address of the mailbox for spam; empty: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) spam_mailbox: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) senders: Option<Senders>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) allowed_senders: Option<Vec<String>>,
    /// `box`, `reject`, `discard`, or an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) default_address: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) mailboxes: Vec<MailboxSettings>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) forwards: Vec<ForwardSettings>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) lists: Vec<ListSettings>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) autoresponders: Vec<AutoresponderSettings>,
}

/// What becomes of mail that fails DMARC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Dmarc {
    Note,
    Follow,
}

impl Dmarc {
    pub(super) fn handling(self) -> DmarcHandling {
        match self {
            Self::Note => DmarcHandling::Note,
            Self::Follow => DmarcHandling::Follow,
        }
    }

    fn of(handling: DmarcHandling) -> Self {
        if handling == DmarcHandling::Follow { Self::Follow } else { Self::Note }
    }
}

/// What becomes of mail by the word of the spam scanner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Spam {
    Off,
    Mark,
    Follow,
    Quarantine,
}

impl Spam {
    pub(super) fn handling(self) -> SpamHandling {
        match self {
            Self::Off => SpamHandling::Off,
            Self::Mark => SpamHandling::Mark,
            Self::Follow => SpamHandling::Follow,
            Self::Quarantine => SpamHandling::Quarantine,
        }
    }

    fn of(handling: SpamHandling) -> Self {
        match handling {
            SpamHandling::Off => Self::Off,
            SpamHandling::Follow => Self::Follow,
            SpamHandling::Quarantine => Self::Quarantine,
            SpamHandling::Mark | SpamHandling::Unspecified => Self::Mark,
        }
    }
}

/// Who may send as the domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Senders {
    Owner,
    Named,
    Anyone,
}

impl Senders {
    pub(super) fn policy(self) -> SenderPolicy {
        match self {
            Self::Owner => SenderPolicy::Owner,
            Self::Named => SenderPolicy::Named,
            Self::Anyone => SenderPolicy::Anyone,
        }
    }

    fn of(policy: SenderPolicy) -> Self {
        match policy {
            SenderPolicy::Named => Self::Named,
            SenderPolicy::Anyone => Self::Anyone,
            SenderPolicy::Owner | SenderPolicy::Unspecified => Self::Owner,
        }
    }
}

/// A mailbox.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MailboxSettings {
    pub(super) address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// Octets; -1: no bound of its own; 0: what the limits of its customer say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) quota_bytes: Option<i64>,
    /// For a mailbox that is created; operators only. Else it gets a random password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) password_phc: Option<String>,
}

/// A forward.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ForwardSettings {
    pub(super) address: String,
    pub(super) targets: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) keep_copy: bool,
}

/// Who may post.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Posting {
    Anyone,
    Members,
    Owner,
}

impl Posting {
    pub(super) fn proto(self) -> ListPosting {
        match self {
            Self::Anyone => ListPosting::Anyone,
            Self::Members => ListPosting::Members,
            Self::Owner => ListPosting::Owner,
        }
    }

    fn of(posting: ListPosting) -> Self {
        match posting {
            ListPosting::Anyone => Self::Anyone,
            ListPosting::Owner => Self::Owner,
            ListPosting::Members | ListPosting::Unspecified => Self::Members,
        }
    }
}

/// Where replies go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Replies {
    Author,
    List,
}

impl Replies {
    pub(super) fn proto(self) -> ListReplies {
        match self {
            Self::Author => ListReplies::Author,
            Self::List => ListReplies::List,
        }
    }

    fn of(replies: ListReplies) -> Self {
        if replies == ListReplies::List { Self::List } else { Self::Author }
    }
}

/// A mailing list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListSettings {
    pub(super) address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) posting: Option<Posting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) replies: Option<Replies>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject_prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    /// Octets; 0: what the platform takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message_max_bytes: Option<i64>,
    /// Address of a list server elsewhere; empty: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) listserv: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) members: Vec<String>,
}

/// An autoresponder. Times as in RFC 3339.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AutoresponderSettings {
    pub(super) address: String,
    pub(super) subject: String,
    pub(super) text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start: Option<jiff::Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) end: Option<jiff::Timestamp>,
    /// Pause between two answers to one sender, seconds; absent: 7 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) interval_seconds: Option<i64>,
}

impl Document {
    /// Reads and checks a document; `-` is standard input.
    ///
    /// # Errors
    /// Usage: what is wrong, with line and name where they are known.
    pub(super) fn open(file: &str) -> Result<Self, Failure> {
        let mut text = String::new();
        let read = if file == "-" {
            std::io::stdin().take(DOCUMENT_MAX_BYTES).read_to_string(&mut text)
        } else {
            std::fs::File::open(file).and_then(|f| f.take(DOCUMENT_MAX_BYTES).read_to_string(&mut text))
        };
        read.map_err(|error| Failure::Usage(format!("{file}: {error}")))?;
        Self::parse(&text).map_err(|why| Failure::Usage(format!("{file}: {why}")))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let document: Self = serde_yaml_ng::from_str(text).map_err(|error| error.to_string())?;
        check::check(&document)?;
        Ok(document.into_stored())
    }

    /// The YAML of it.
    ///
    /// # Errors
    /// When it has none, which cannot be.
    pub(super) fn to_yaml(&self) -> Result<String, Failure> {
        serde_yaml_ng::to_string(self)
            .map_err(|error| Failure::Refused(format!("the settings have no YAML form: {error}")))
    }
}

/// The word of a rule for what nothing else takes.
fn default_word(action: DefaultAction, target: &str) -> String {
    match action {
        DefaultAction::Reject => "reject".to_owned(),
        DefaultAction::Discard => "discard".to_owned(),
        DefaultAction::Address => target.to_owned(),
        DefaultAction::Box | DefaultAction::Unspecified => "box".to_owned(),
    }
}

/// The rule of a word.
pub(super) fn default_rule(word: &str) -> (DefaultAction, String) {
    match word {
        "box" => (DefaultAction::Box, String::new()),
        "reject" => (DefaultAction::Reject, String::new()),
        "discard" => (DefaultAction::Discard, String::new()),
        address => (DefaultAction::Address, address.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "customer: homepage\ndomains:\n- name: homepage.test\n  auth_only: true\n  senders: anyone\n  \
                        default_address: reject\n  mailboxes:\n  - address: anna@homepage.test\n    name: Anna\n  \
                        forwards:\n  - address: info@homepage.test\n    targets: [anna@homepage.test]\n";

    #[test]
    fn a_document_reads_back() {
        let document = Document::parse(GOOD).expect("good");
        assert_eq!(document.domains[0].mailboxes[0].name.as_deref(), Some("Anna"));
        assert_eq!(Document::parse(&document.to_yaml().expect("yaml")), Ok(document));
    }

    #[test]
    fn what_is_unknown_is_refused_with_its_line_and_name() {
        let error = Document::parse(&GOOD.replace("auth_only", "auht_only")).expect_err("unknown");
        assert!(error.contains("auht_only") && error.contains("line 4"), "{error}");
        let error = Document::parse(&GOOD.replace("senders: anyone", "senders: all")).expect_err("unknown");
        assert!(error.contains("`all`") && error.contains("line 5"), "{error}");
        let error = Document::parse(&GOOD.replace("customer: homepage\n", "")).expect_err("missing");
        assert!(error.contains("customer"), "{error}");
    }
}
