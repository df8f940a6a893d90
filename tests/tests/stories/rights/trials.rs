//! Every RPC with a request that names a rival's things, in the order in which their owner can do all of it.

use serde_json::{Value, json};

use super::secrets::CANARY;

/// A call that names things by `$name`; what a row of it is tried with is in [`super::things::Things`].
pub(super) struct Trial {
    pub(super) path: String,
    pub(super) request: Value,
    /// True: the owner of the things gets a good answer to the same.
    pub(super) owner_succeeds: bool,
    /// Who calls it at all, as people are told; the access table is held against this.
    pub(super) whose: Whose,
}

/// Who calls something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// A customer, for what is its own.
    Customers,
    /// Operators and parts of the house only.
    House,
    /// Whoever brings a token or a password.
    Anybody,
}

/// What a mailbox user changes: the own password, forward, autoresponder (and brings them back), app passwords and second factor, and what is in the own
/// box.
pub(super) const CHANGED_BY_MAILBOX_USERS: [&str; 18] = [
    "/postern.account.v1.AppPasswordService/CreateAppPassword",
    "/postern.account.v1.AppPasswordService/DeleteAppPassword",
    "/postern.account.v1.AuditService/RestoreAuditEntry",
    "/postern.account.v1.AutoresponderService/DeleteAutoresponder",
    "/postern.account.v1.AutoresponderService/UpdateAutoresponder",
    "/postern.account.v1.ForwardService/CreateForward",
    "/postern.account.v1.ForwardService/DeleteForward",
    "/postern.account.v1.ForwardService/UpdateForward",
    "/postern.account.v1.MailboxService/SetMailboxPassword",
    "/postern.account.v1.SecondFactorService/BeginSecondFactor",
    "/postern.account.v1.SecondFactorService/ConfirmSecondFactor",
    "/postern.account.v1.SecondFactorService/DeleteSecondFactor",
    "/postern.auth.v1.PanelSessionService/EndPanelSessions",
    "/postern.auth.v1.RelayService/RevokeGrant",
    "/postern.delivery.v1.BoxService/ClearBox",
    "/postern.delivery.v1.BoxService/ImportMessages",
    "/postern.delivery.v1.BoxService/RestoreBox",
    "/postern.delivery.v1.LockService/ReleaseLock",
];

/// What support changes: it releases locks and grants, clears boxes, and has DNS asked. It never reads mail.
pub(super) const CHANGED_BY_SUPPORT: [&str; 5] = [
    "/postern.account.v1.DomainService/VerifyDomain",
    "/postern.auth.v1.RelayService/RevokeGrant",
    "/postern.delivery.v1.BoxService/ClearBox",
    "/postern.delivery.v1.BoxService/RestoreBox",
    "/postern.delivery.v1.LockService/ReleaseLock",
];

fn trial(package: &str, method: &str, request: Value, owner_succeeds: bool) -> Trial {
    let path = format!("/postern.{package}.v1.{method}");
    Trial { path, request, owner_succeeds, whose: Whose::Customers }
}

/// In the order in which an owner can do all of it: what reads before what removes.
pub(super) fn trials() -> Vec<Trial> {
    let mut trials = of_delivery_and_auth();
    trials.extend(of_account());
    trials.extend(of_the_house());
    trials
}

fn of_delivery_and_auth() -> Vec<Trial> {
    let own = |package, method, request| trial(package, method, request, true);
    let other = |package, method, request| trial(package, method, request, false);
    let explain_send =
        json!({"sender": "$address", "recipient": "$spare", "peerIp": "127.0.0.1", "login": "$address"});
    vec![
        own("delivery", "LockService/GetLock", json!({"mailboxId": "$box_id"})),
        own("delivery", "LockService/ListLocks", json!({})),
        own("auth", "RelayService/ListGrants", json!({"login": "$address"})),
        own("auth", "RelayService/ListGrants", json!({})),
        own("auth", "RelayService/ListGrants", json!({"peerIp": "127.0.0.1"})),
        own("auth", "LoginService/GetLoginHistory", json!({"login": "$address"})),
        own("auth", "PanelSessionService/ListPanelSessions", json!({})),
        own("auth", "PanelSessionService/ListPanelSessions", json!({"login": "$address"})),
        own("auth", "PanelSessionService/EndPanelSessions", json!({"login": "$address"})),
        own("auth", "ExplainService/ExplainLogin", json!({"login": "$address", "peerIp": "127.0.0.1"})),
        own("auth", "ExplainService/ExplainSend", explain_send),
        own("auth", "ExplainService/ExplainRecipient", json!({"address": "$address"})),
        own("auth", "ExplainService/ExplainRecipient", json!({"address": "$list"})),
        own("auth", "ExplainService/ExplainDomain", json!({"name": "$domain"})),
        own("auth", "RelayService/RevokeGrant", json!({"login": "$address"})),
        own("auth", "RelayService/RevokeGrant", json!({"peerIp": "127.0.0.1"})),
        own("delivery", "LockService/ReleaseLock", json!({"mailboxId": "$box_id"})),
        own("delivery", "BoxService/GetBox", json!({"mailboxId": "$box_id"})),
        own("delivery", "BoxService/ListClearings", json!({"mailboxId": "$box_id"})),
        own("delivery", "BoxService/ListImports", json!({"mailboxId": "$box_id"})),
        own("delivery", "BoxService/ExportMessages", json!({"mailboxId": "$box_id"})),
        own(
            "delivery",
            "BoxService/ImportMessages",
            json!({"mailboxId": "$box_id", "begin": {}, "content": "U3ViamVjdDogaQ0KDQppDQo=", "end": true}),
        ),
        own(
            "delivery",
            "BoxService/ClearBox",
            json!({"mailboxId": "$box_id", "scope": "CLEAR_SCOPE_ALL", "validateOnly": true}),
        ),
        own("delivery", "BoxService/ClearBox", json!({"mailboxId": "$box_id", "scope": "CLEAR_SCOPE_ALL"})),
        own(
            "delivery",
            "BoxService/RestoreBox",
            json!({"mailboxId": "$box_id", "clearingId": "$clearing_id"}),
        ),
        other(
            "delivery",
            "BoxService/RestoreBox",
            json!({"mailboxId": "$own_box_id", "clearingId": "$clearing_id"}),
        ),
        own(
            "delivery",
            "BoxService/MoveMessages",
            json!({"fromMailboxId": "$removed_id", "toMailboxId": "$spare_id"}),
        ),
        other(
            "delivery",
            "BoxService/MoveMessages",
            json!({"fromMailboxId": "$box_id", "toMailboxId": "$own_box_id"}),
        ),
        other(
            "delivery",
            "BoxService/MoveMessages",
            json!({"fromMailboxId": "$own_box_id", "toMailboxId": "$box_id"}),
        ),
        own("delivery", "QueueService/GetQueueEntry", json!({"entryId": "$entry_id"})),
        own("delivery", "QueueService/ListQueueEntries", json!({"customer": "$customer"})),
        own("delivery", "QueueService/ListQueueEntries", json!({})),
        own("delivery", "TraceService/GetTrace", json!({"queueId": "$message_id"})),
        own("delivery", "TraceService/ListTraces", json!({"customer": "$customer"})),
        own("delivery", "TraceService/ListTraces", json!({"mailboxId": "$box_id"})),
        own("delivery", "TraceService/ListTraces", json!({"address": "$address"})),
        own("delivery", "TraceService/ListTraces", json!({})),
        own("delivery", "TraceService/GetTraffic", json!({"customer": "$customer"})),
        own("delivery", "TraceService/GetTraffic", json!({"domain": "$domain"})),
        own("delivery", "TraceService/GetSendingSummary", json!({"customer": "$customer"})),
        own("delivery", "TraceService/GetSendingSummary", json!({"mailboxId": "$box_id"})),
    ]
}

fn of_account() -> Vec<Trial> {
    let own = |method, request| trial("account", method, request, true);
    let other = |method, request| trial("account", method, request, false);
    let password = json!({"plain": CANARY});
    vec![
        own("CustomerService/GetCustomer", json!({"login": "$customer"})),
        own("LimitsService/GetLimits", json!({"customer": "$customer"})),
        own("AuditService/ListAuditEntries", json!({"customer": "$customer"})),
        own("AuditService/ListAuditEntries", json!({"kind": "mailbox", "name": "$address"})),
        own("AuditService/RestoreAuditEntry", json!({"auditId": "$audit_id"})),
        own("DomainService/GetDomain", json!({"name": "$domain"})),
        own("DomainService/GetDomainOverview", json!({"name": "$domain"})),
        own("DomainService/ListDomains", json!({"customer": "$customer"})),
        own("DomainService/ListDomains", json!({})),
        own("DomainService/CreateDomain", json!({"name": "fresh.test", "customer": "$customer"})),
        other(
            "DomainService/CreateDomain",
            json!({"name": "second.test", "customer": "$own_customer", "aliasOf": "$domain"}),
        ),
        own(
            "DomainService/UpdateDomain",
            json!({"domain": {"name": "$domain", "grantTtlSeconds": 600}, "updateMask": "grantTtlSeconds"}),
        ),
        own("DomainService/VerifyDomain", json!({"name": "$domain"})),
        other("DomainService/DeleteDomain", json!({"name": "$domain", "claimOf": "$own_customer"})),
        own("DomainService/DeleteDomain", json!({"name": "$idle"})),
        own("DefaultAddressService/GetDefaultAddress", json!({"domain": "$domain"})),
        own(
            "DefaultAddressService/UpdateDefaultAddress",
            json!({"defaultAddress": {"domain": "$domain", "action": "DEFAULT_ACTION_REJECT"}}),
        ),
        own("ForwardService/GetForward", json!({"address": "$address"})),
        own("ForwardService/ListForwards", json!({"domain": "$domain"})),
        own(
            "ForwardService/CreateForward",
            json!({"forward": {"address": "more@$domain", "targets": ["you@outside.test"]}}),
        ),
        own(
            "ForwardService/UpdateForward",
            json!({"forward": {"address": "$address", "targets": ["me@outside.test"]}, "updateMask": "targets"}),
        ),
        own("ForwardService/DeleteForward", json!({"address": "$address"})),
        own("MailboxService/GetMailbox", json!({"address": "$address"})),
        own("MailboxService/ListMailboxes", json!({"domain": "$domain"})),
        own("MailboxService/GetMailboxHistory", json!({"address": "$address"})),
        own("MailboxService/CreateMailbox", json!({"address": "fresh@$domain", "password": password})),
        own(
            "MailboxService/UpdateMailbox",
            json!({"mailbox": {"address": "$address", "displayName": "M"}, "updateMask": "displayName"}),
        ),
        own("MailboxService/SetMailboxPassword", json!({"address": "$address", "password": password})),
        own("MailboxService/ListRemovedMailboxes", json!({"domain": "$domain"})),
        own("MailboxService/ListRemovedMailboxes", json!({"domain": "$domain", "address": "$removed"})),
        other(
            "MailboxService/RestoreMailbox",
            json!({"address": "back@$own_domain", "mailboxId": "$removed_id"}),
        ),
        own("MailboxService/RestoreMailbox", json!({"address": "$removed", "mailboxId": "$removed_id"})),
        own("MailboxService/DeleteMailbox", json!({"address": "$removed"})),
        own(
            "AppPasswordService/CreateAppPassword",
            json!({"mailbox": "$address", "protocol": "APP_PROTOCOL_POP3", "displayName": "phone"}),
        ),
        own("AppPasswordService/ListAppPasswords", json!({"mailbox": "$address"})),
        other(
            "AppPasswordService/DeleteAppPassword",
            json!({"mailbox": "$own_address", "appPasswordId": "$app_password_id"}),
        ),
        own(
            "AppPasswordService/DeleteAppPassword",
            json!({"mailbox": "$address", "appPasswordId": "$app_password_id"}),
        ),
        own("SecondFactorService/GetSecondFactor", json!({"login": "$address"})),
        own("SecondFactorService/BeginSecondFactor", json!({"login": "$customer"})),
        other("SecondFactorService/ConfirmSecondFactor", json!({"login": "$customer", "code": "000000"})),
        own("SecondFactorService/DeleteSecondFactor", json!({"login": "$customer"})),
        own("MailingListService/GetMailingList", json!({"address": "$list"})),
        own("MailingListService/ListMailingLists", json!({"domain": "$domain"})),
        own(
            "MailingListService/CreateMailingList",
            json!({"list": {"address": "crew@$domain", "owner": "you@outside.test"}}),
        ),
        own(
            "MailingListService/UpdateMailingList",
            json!({"list": {"address": "$list", "description": "All"}, "updateMask": "description"}),
        ),
        own("MailingListService/ListListMembers", json!({"list": "$list"})),
        own("MailingListService/ListMemberAdditions", json!({"list": "$list"})),
        own("MailingListService/AddListMembers", json!({"list": "$list", "addresses": ["c@outside.test"]})),
        own(
            "MailingListService/RemoveListMembers",
            json!({"list": "$list", "addresses": ["b@outside.test"]}),
        ),
        own("MailingListService/DeleteMailingList", json!({"address": "$list"})),
        own("AutoresponderService/GetAutoresponder", json!({"address": "$address"})),
        own("AutoresponderService/ListAutoresponders", json!({"domain": "$domain"})),
        own(
            "AutoresponderService/UpdateAutoresponder",
            json!({"autoresponder": {"address": "$address", "subject": "Away", "text": "Later"}, "updateMask": "subject,text", "allowMissing": true}),
        ),
        own("AutoresponderService/DeleteAutoresponder", json!({"address": "$address"})),
        own(
            "ApiTokenService/CreateApiToken",
            json!({"token": {"role": "TOKEN_ROLE_CUSTOMER", "customer": "$customer", "displayName": "T", "scopes": ["audit:read"]}}),
        ),
        own("ApiTokenService/ListApiTokens", json!({"customer": "$customer"})),
        own("ApiTokenService/DeleteApiToken", json!({"tokenId": "$token_id"})),
        own("CustomerService/SetCustomerPassword", json!({"login": "$customer", "password": password})),
    ]
}

/// What no customer calls: the refusal is all that there is to try.
fn of_the_house() -> Vec<Trial> {
    let rows = [
        ("account", "CustomerService/ListCustomers", json!({})),
        (
            "account",
            "CustomerService/CreateCustomer",
            json!({"login": "fresh", "password": {"plain": CANARY}}),
        ),
        (
            "account",
            "CustomerService/UpdateCustomer",
            json!({"customer": {"login": "$customer", "displayName": "X"}, "updateMask": "displayName"}),
        ),
        ("account", "LimitsService/UpdateLimits", json!({"limits": {"customer": "$customer", "limits": {}}})),
        ("account", "DirectoryService/ResolveRecipient", json!({"address": "$address"})),
        ("account", "DirectoryService/BatchResolveRecipients", json!({"addresses": ["$address"]})),
        ("account", "DirectoryService/LookupLogin", json!({"login": "$address"})),
        ("account", "DirectoryService/LookupMailbox", json!({"mailboxId": "$box_id"})),
        ("account", "DirectoryService/LookupDomain", json!({"name": "$domain"})),
        ("account", "DirectoryService/WatchChanges", json!({})),
        ("account", "MailingListService/LookupMailingList", json!({"listId": "$list_id"})),
        (
            "account",
            "MailingListService/RequestListChange",
            json!({"listId": "$list_id", "address": "b@outside.test", "change": "LIST_CHANGE_UNSUBSCRIBE"}),
        ),
        ("account", "MailingListService/ConfirmListChange", json!({"token": "t", "listId": "$list_id"})),
        (
            "account",
            "MailingListService/ReportListCopies",
            json!({"listId": "$list_id", "bounced": ["b@outside.test"], "bouncedProbes": ["t"]}),
        ),
        ("account", "MailingListService/LookupListSubscription", json!({"token": "t"})),
        ("account", "MailingListService/EndListSubscription", json!({"token": "t"})),
        ("account", "MailKeyService/LookupSigningKey", json!({"domain": "$domain"})),
        ("account", "MailKeyService/ListSenderKeys", json!({})),
        ("account", "AutoresponderService/LookupAutoresponder", json!({"autoresponderId": "1"})),
        ("account", "SecondFactorService/CheckSecondFactor", json!({"login": "$address", "code": "1"})),
        ("account", "ApiTokenService/LookupApiToken", json!({"tokenId": "$token_id"})),
        (
            "account",
            "AuditService/RecordAuditEntry",
            json!({"entry": {"actorRole": "customer", "actor": "x", "kind": "box", "action": "clear"}, "mailboxId": "$box_id"}),
        ),
        (
            "account",
            "StorageService/ReportBoxUsage",
            json!({"boxes": [{"mailboxId": "$box_id", "usedBytes": "1", "version": "99"}]}),
        ),
        ("account", "StorageService/ListExpiredMailboxes", json!({"pageSize": 10})),
        ("account", "StorageService/ConfirmDestroyedMailboxes", json!({"mailboxIds": ["$removed_id"]})),
        (
            "auth",
            "LoginService/Authenticate",
            json!({"login": "$address", "password": "eA==", "protocol": "PROTOCOL_POP3", "peerIp": "127.0.0.1"}),
        ),
        ("auth", "LoginService/ExchangeToken", json!({"token": "nothing"})),
        ("auth", "PanelSessionService/CreatePanelSession", json!({"login": "$address", "password": "eA=="})),
        ("auth", "PanelSessionService/ConfirmPanelSession", json!({"codeToken": "nothing", "code": "1"})),
        ("auth", "PanelSessionService/DeletePanelSession", json!({"token": "nothing"})),
        (
            "auth",
            "RelayService/CheckRelay",
            json!({"peerIp": "127.0.0.1", "sender": "$address", "recipientCount": 1}),
        ),
        ("auth", "RelayService/CountInbound", json!({"counts": [{"recipient": "box:1", "messages": 1}]})),
        ("auth", "RelayService/WatchRevocations", json!({})),
        (
            "auth",
            "SightingService/NoteSightings",
            json!({"sightings": [{"peerIp": "127.0.0.1", "door": "DOOR_POP3"}]}),
        ),
        (
            "delivery",
            "MaildropService/OpenMaildrop",
            json!({"mailboxId": "$box_id", "peerIp": "127.0.0.1", "gateway": "g", "sessionId": "s"}),
        ),
        (
            "delivery",
            "MaildropService/RenewMaildrops",
            json!({"locks": [{"mailboxId": "$box_id", "lockToken": "1"}]}),
        ),
        ("delivery", "MaildropService/ReadMessages", json!({"mailboxId": "$box_id", "uids": ["1"]})),
        ("delivery", "MaildropService/CloseMaildrop", json!({"mailboxId": "$box_id", "lockToken": "1"})),
        ("delivery", "QueueService/RetryQueueEntries", json!({"selection": {"entryIds": ["$entry_id"]}})),
        ("delivery", "QueueService/HoldQueueEntries", json!({"selection": {"entryIds": ["$entry_id"]}})),
        ("delivery", "QueueService/RemoveQueueEntries", json!({"selection": {"entryIds": ["$entry_id"]}})),
        ("delivery", "SubmissionService/SubmitMessage", json!({"envelope": {"sender": "$address"}})),
        ("account", "CustomerService/DeleteCustomer", json!({"login": "$customer"})),
    ];
    let by_anybody = ["ExchangeToken", "CreatePanelSession", "ConfirmPanelSession", "DeletePanelSession"];
    let row = |(package, method, request): (&str, &str, Value)| {
        let anybody = by_anybody.iter().any(|name| method.ends_with(name));
        let whose = if anybody { Whose::Anybody } else { Whose::House };
        Trial { whose, ..trial(package, method, request, false) }
    };
    rows.map(row).into()
}
