//! The words of what the audit has: of the fields of things, and of their values.

/// Fields of the system, that change with every write or number a thing, and tell nobody anything.
pub(super) const OWN: [&str; 27] = [
    "additionId",
    "appPasswordId",
    "bounceCount",
    "checkTime",
    // What proves a claim is on the page of the domain.
    "claim",
    "createTime",
    "credentialVersion",
    "customerId",
    "defaultMailboxId",
    "effective",
    "effectiveQuotaBytes",
    "etag",
    "full",
    "lastUseTime",
    // Of members: it is the name of the entry.
    "list",
    "listId",
    "lockToken",
    "mailboxId",
    "memberCount",
    "remainingSeconds",
    "sessionId",
    "subscribedAddresses",
    "textVersion",
    "tokenId",
    "updateTime",
    "usage",
    "usedBytes",
];
/// Fields that people know by a word: as the audit has them, and the key of the word. Others are shown as they are.
pub(super) const FIELDS: [(&str, &str); 66] = [
    ("action", "default-field-action"),
    ("address", "mail-address"),
    ("addresses", "list-members"),
    ("aliasOf", "domain-second-name"),
    ("allowedSenders", "domain-field-named"),
    ("authOnly", "domain-field-auth-only"),
    ("budget", "activity-kind-sending-limit"),
    ("bytes", "mail-column-size"),
    ("checkedCount", "pop-clearing-looked-at"),
    ("clearedCount", "pop-clearing-taken"),
    ("confirmTime", "factor-confirm"),
    ("count", "operator-queue"),
    ("customer", "operator-customer"),
    ("defaultBox", "pop-default-box"),
    ("description", "list-field-description"),
    ("displayName", "pop-field-name"),
    ("dmarcHandling", "domain-field-dmarc"),
    ("domain", "domain-field-name"),
    ("domains", "operator-domains"),
    ("endTime", "answer-field-end"),
    ("entries", "operator-queue-recipient"),
    ("expireTime", "activity-field-expires"),
    ("gateway", "operator-gateway"),
    ("graceEndTime", "domain-grace"),
    ("grantTtlSeconds", "domain-field-grant"),
    ("intervalSeconds", "answer-field-interval"),
    ("keepCopy", "activity-field-copy"),
    ("limits.autoresponders", "answer-title"),
    ("limits.domains", "operator-domains"),
    ("limits.forwards", "forward-title"),
    ("limits.listMembers", "list-members"),
    ("limits.lists", "list-title"),
    ("limits.mailboxStorageBytes", "operator-limit-box"),
    ("limits.mailboxes", "pop-title"),
    ("limits.messagesPerHour", "operator-limit-messages"),
    ("limits.storageBytes", "operator-limit-storage"),
    ("listserv", "list-field-listserv"),
    ("liveWithoutDns", "operator-field-live"),
    ("login", "front-login"),
    ("mailbox", "operator-mailbox"),
    ("messageMaxBytes", "list-field-largest"),
    ("name", "activity-name"),
    ("origin", "list-column-origin"),
    ("owner", "list-field-owner"),
    ("peerIp", "pop-lock-from"),
    ("plaintextLogin", "domain-field-plaintext"),
    ("posting", "list-field-posting"),
    ("protocol", "app-field-for"),
    ("quotaBytes", "pop-field-quota"),
    ("recoveryCodesLeft", "factor-codes-title"),
    ("replies", "list-field-replies"),
    ("role", "activity-field-role"),
    ("scopes", "activity-field-scopes"),
    ("senderPolicy", "domain-field-senders"),
    ("sinceTime", "pop-lock-since"),
    ("spamHandling", "domain-field-spam"),
    ("spamMailbox", "domain-field-spam-mailbox"),
    ("startTime", "answer-field-start"),
    ("state", "pop-column-state"),
    ("subject", "answer-field-subject"),
    ("subjectPrefix", "list-field-prefix"),
    ("suspendTime", "list-posts-why"),
    ("target", "default-field-target"),
    ("targets", "activity-field-targets"),
    ("text", "answer-field-text"),
    ("totalCount", "pop-messages"),
];
/// Values that people know by a word.
pub(super) const VALUES: [(&str, &str); 33] = [
    ("ACTIVITY_STATE_ACTIVE", "pop-state-active"),
    ("ACTIVITY_STATE_SUSPENDED", "pop-state-suspended"),
    ("APP_PROTOCOL_POP3", "login-pop3"),
    ("APP_PROTOCOL_SMTP", "login-smtp"),
    ("DEFAULT_ACTION_BOX", "default-box"),
    ("DEFAULT_ACTION_REJECT", "default-reject"),
    ("DEFAULT_ACTION_DISCARD", "default-discard"),
    ("DEFAULT_ACTION_ADDRESS", "default-address"),
    ("DMARC_HANDLING_NOTE", "activity-no"),
    ("DMARC_HANDLING_FOLLOW", "activity-yes"),
    ("DOMAIN_STATE_LIVE", "domain-state-live"),
    ("DOMAIN_STATE_PENDING", "domain-state-pending"),
    ("DOMAIN_STATE_LOST", "domain-state-lost"),
    ("DOMAIN_STATE_CLAIMED", "domain-state-claimed"),
    ("LIST_POSTING_MEMBERS", "list-posting-members"),
    ("LIST_POSTING_ANYONE", "list-posting-anyone"),
    ("LIST_POSTING_OWNER", "list-posting-owner"),
    ("LIST_REPLIES_AUTHOR", "list-replies-author"),
    ("LIST_REPLIES_LIST", "list-replies-list"),
    ("MEMBER_ORIGIN_ADDED", "list-origin-added"),
    ("MEMBER_ORIGIN_SUBSCRIBED", "list-origin-subscribed"),
    ("SENDER_POLICY_OWNER", "domain-senders-owner"),
    ("SENDER_POLICY_NAMED", "domain-senders-named"),
    ("SENDER_POLICY_ANYONE", "domain-senders-anyone"),
    ("SPAM_HANDLING_OFF", "domain-spam-off"),
    ("SPAM_HANDLING_MARK", "domain-spam-mark"),
    ("SPAM_HANDLING_FOLLOW", "domain-spam-follow"),
    ("SPAM_HANDLING_QUARANTINE", "domain-spam-quarantine"),
    ("TOKEN_ROLE_CUSTOMER", "activity-role-customer"),
    ("TOKEN_ROLE_OPERATOR", "activity-role-operator"),
    ("TOKEN_ROLE_SUPPORT", "activity-role-support"),
    ("true", "activity-yes"),
    ("false", "activity-no"),
];

/// Key of the word for a field that is not set, where that says something: what holds then.
pub(super) fn unset(field: &str) -> Option<&'static str> {
    match field {
        "quotaBytes" => Some("pop-quota-plan"),
        "grantTtlSeconds" | "messageMaxBytes" => Some("activity-value-usual"),
        limit if limit.starts_with("limits.") => Some("activity-value-usual"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and types of all fields and values of the services' messages.
    const CONTRACT: &str = include_str!("../../../../proto/contract.txt");
    /// Messages with what people set, as the audit writes them; `limits` holds the second one.
    const SETTINGS: [&str; 13] = [
        "account.v1.Customer",
        "account.v1.Limits",
        "account.v1.Domain",
        "account.v1.Mailbox",
        "account.v1.Forward",
        "account.v1.MailingList",
        "account.v1.ListMember",
        "account.v1.AddListMembersRequest",
        "account.v1.Autoresponder",
        "account.v1.DefaultAddress",
        "account.v1.AppPassword",
        "account.v1.ApiToken",
        "auth.v1.RevokeGrantRequest",
    ];

    /// As JSON has it.
    fn camel(name: &str) -> String {
        let mut parts = name.split('_');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |all, part| all + &part[..1].to_uppercase() + &part[1..])
    }

    #[test]
    fn every_field_that_is_set_has_a_word_and_every_value_of_it() {
        let (mut wordless, mut enums) = (Vec::new(), Vec::new());
        for message in SETTINGS {
            let prefix = format!("field postern.{message}.");
            let mut fields = CONTRACT.lines().filter_map(|line| line.strip_prefix(&prefix)).peekable();
            assert!(fields.peek().is_some(), "{message} is there no more");
            for field in fields {
                let (name, kind) = field.split_once(" = ").expect("a field");
                let name = if message.ends_with(".Limits") {
                    format!("limits.{}", camel(name))
                } else {
                    camel(name)
                };
                if !OWN.contains(&&*name) && !FIELDS.iter().any(|(known, _)| *known == name) {
                    wordless.push(format!("{message}: {name}"));
                }
                enums.extend(kind.split_once(": .postern.").map(|(_, name)| name));
            }
        }
        for name in enums {
            let prefix = format!("value postern.{name}.");
            for value in CONTRACT.lines().filter_map(|line| line.strip_prefix(&prefix)) {
                let value = value.split(' ').next().unwrap_or_default();
                if !value.ends_with("_UNSPECIFIED") && !VALUES.iter().any(|(known, _)| *known == value) {
                    wordless.push(value.to_owned());
                }
            }
        }
        assert!(wordless.is_empty(), "no word in `words`: {wordless:#?}");
    }
}
