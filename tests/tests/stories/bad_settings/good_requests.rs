//! A good request for each call that people and their tools make.

use serde_json::{Value, json};

/// An argon2id hash of the least strength.
const PHC: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Good requests, in an order in which each of them can be done; those of account are named without their package.
pub(super) fn good_requests() -> Vec<(&'static str, Value)> {
    let mut requests = of_account();
    requests.splice(0..0, of_auth_and_delivery());
    requests
}

fn of_auth_and_delivery() -> Vec<(&'static str, Value)> {
    let user = "user@homepage.test";
    let queue_id = "99000000000070008000000000000101";
    vec![
        ("auth.v1.LoginService/GetLoginHistory", json!({"login": user})),
        ("auth.v1.PanelSessionService/ListPanelSessions", json!({"login": user})),
        (
            "auth.v1.PanelSessionService/EndPanelSessions",
            json!({"login": user, "sessionId": "s", "exceptSessionId": "t"}),
        ),
        ("auth.v1.RelayService/ListGrants", json!({"login": user, "peerIp": "192.0.2.1", "pageToken": ""})),
        ("auth.v1.RelayService/RevokeGrant", json!({"login": user, "peerIp": "192.0.2.1"})),
        ("auth.v1.ExplainService/ExplainLogin", json!({"login": user, "peerIp": "192.0.2.1"})),
        (
            "auth.v1.ExplainService/ExplainSend",
            json!({"sender": user, "recipient": "a@elsewhere.test", "peerIp": "192.0.2.1", "login": user}),
        ),
        ("auth.v1.ExplainService/ExplainRecipient", json!({"address": user})),
        ("auth.v1.ExplainService/ExplainDomain", json!({"name": "homepage.test"})),
        ("delivery.v1.LockService/ListLocks", json!({"pageToken": ""})),
        (
            "delivery.v1.QueueService/ListQueueEntries",
            json!({"customer": "homepage", "recipientDomain": "elsewhere.test", "queueId": queue_id, "pageToken": ""}),
        ),
        ("delivery.v1.QueueService/RetryQueueEntries", json!({"selection": {"queueId": queue_id}})),
        ("delivery.v1.QueueService/HoldQueueEntries", json!({"selection": {"queueId": queue_id}})),
        ("delivery.v1.QueueService/RemoveQueueEntries", json!({"selection": {"queueId": queue_id}})),
        ("delivery.v1.TraceService/GetTrace", json!({"queueId": queue_id})),
        (
            "delivery.v1.TraceService/ListTraces",
            json!({"customer": "homepage", "address": user, "sender": "a@elsewhere.test", "pageToken": ""}),
        ),
        ("delivery.v1.TraceService/GetSendingSummary", json!({"customer": "homepage"})),
        ("delivery.v1.TraceService/GetTraffic", json!({"customer": "homepage", "domain": "homepage.test"})),
    ]
}

fn of_account() -> Vec<(&'static str, Value)> {
    let password = json!({"plain": "correct horse"});
    let list = "staff@homepage.test";
    vec![
        ("CustomerService/GetCustomer", json!({"login": "homepage"})),
        ("CustomerService/ListCustomers", json!({"pageToken": "", "prefix": "a"})),
        (
            "CustomerService/CreateCustomer",
            json!({"login": "fresh", "displayName": "F", "password": password, "requestId": "r1"}),
        ),
        (
            "CustomerService/UpdateCustomer",
            json!({"customer": {"login": "fresh", "displayName": "G"}, "updateMask": "displayName"}),
        ),
        ("CustomerService/SetCustomerPassword", json!({"login": "fresh", "password": password})),
        ("CustomerService/SetCustomerPassword", json!({"login": "fresh", "password": {"phc": PHC}})),
        (
            "CustomerService/CreateCustomer",
            json!({"login": "hashed", "displayName": "H", "password": {"phc": PHC}, "requestId": "r7"}),
        ),
        ("DomainService/GetDomain", json!({"name": "homepage.test"})),
        ("DomainService/ListDomains", json!({"customer": "homepage", "pageToken": "", "prefix": "a"})),
        (
            "DomainService/CreateDomain",
            json!({"name": "second.test", "customer": "homepage", "requestId": "r2", "aliasOf": "homepage.test", "live": true}),
        ),
        (
            "DomainService/UpdateDomain",
            json!({"domain": {"name": "homepage.test", "allowedSenders": ["rival"]}, "updateMask": "allowedSenders"}),
        ),
        (
            "DomainService/UpdateDomain",
            json!({"domain": {"name": "homepage.test", "spamMailbox": "user@homepage.test"}, "updateMask": "spamMailbox"}),
        ),
        ("DomainService/VerifyDomain", json!({"name": "homepage.test"})),
        ("DomainService/GetDomainOverview", json!({"name": "homepage.test"})),
        ("DefaultAddressService/GetDefaultAddress", json!({"domain": "homepage.test"})),
        (
            "DefaultAddressService/UpdateDefaultAddress",
            json!({"defaultAddress": {"domain": "homepage.test", "action": "DEFAULT_ACTION_ADDRESS", "target": "user@homepage.test"}}),
        ),
        ("MailboxService/GetMailbox", json!({"address": "user@homepage.test"})),
        ("MailboxService/ListMailboxes", json!({"domain": "homepage.test", "pageToken": "", "prefix": "a"})),
        ("MailboxService/GetMailboxHistory", json!({"address": "user@homepage.test"})),
        (
            "MailboxService/CreateMailbox",
            json!({"address": "new@homepage.test", "password": password, "displayName": "N", "requestId": "r3"}),
        ),
        (
            "MailboxService/UpdateMailbox",
            json!({"mailbox": {"address": "new@homepage.test", "displayName": "M"}, "updateMask": "displayName"}),
        ),
        (
            "MailboxService/UpdateMailbox",
            json!({"mailbox": {"login": "homepage", "displayName": "D"}, "updateMask": "displayName"}),
        ),
        ("MailboxService/SetMailboxPassword", json!({"address": "new@homepage.test", "password": password})),
        (
            "AppPasswordService/CreateAppPassword",
            json!({"mailbox": "new@homepage.test", "protocol": "APP_PROTOCOL_POP3", "displayName": "phone"}),
        ),
        ("SecondFactorService/GetSecondFactor", json!({"login": "new@homepage.test"})),
        ("SecondFactorService/BeginSecondFactor", json!({"login": "homepage"})),
        ("SecondFactorService/ConfirmSecondFactor", json!({"login": "homepage", "code": "123456"})),
        ("SecondFactorService/DeleteSecondFactor", json!({"login": "new@homepage.test", "code": "123456"})),
        (
            "MailboxService/SetMailboxPassword",
            json!({"address": "new@homepage.test", "password": {"phc": PHC}}),
        ),
        (
            "MailboxService/CreateMailbox",
            json!({"address": "hashed@homepage.test", "password": {"phc": PHC}, "displayName": "H", "requestId": "r8"}),
        ),
        ("AppPasswordService/ListAppPasswords", json!({"mailbox": "new@homepage.test"})),
        (
            "AppPasswordService/DeleteAppPassword",
            json!({"mailbox": "new@homepage.test", "appPasswordId": "1"}),
        ),
        (
            "ForwardService/CreateForward",
            json!({"forward": {"address": "to@homepage.test", "targets": ["user@homepage.test", "a@elsewhere.test"]}, "requestId": "r4"}),
        ),
        ("ForwardService/GetForward", json!({"address": "to@homepage.test"})),
        ("ForwardService/ListForwards", json!({"domain": "homepage.test", "pageToken": "", "prefix": "a"})),
        (
            "ForwardService/UpdateForward",
            json!({"forward": {"address": "to@homepage.test", "targets": ["b@elsewhere.test"]}, "updateMask": "targets"}),
        ),
        ("ForwardService/DeleteForward", json!({"address": "to@homepage.test"})),
        ("MailboxService/DeleteMailbox", json!({"address": "new@homepage.test"})),
        (
            "MailboxService/ListRemovedMailboxes",
            json!({"domain": "homepage.test", "address": "new@homepage.test", "pageToken": ""}),
        ),
        ("MailboxService/RestoreMailbox", json!({"address": "new@homepage.test"})),
        (
            "MailingListService/CreateMailingList",
            json!({"list": {"address": list, "subjectPrefix": "[s]", "owner": "user@homepage.test", "description": "Staff"}, "requestId": "r5"}),
        ),
        (
            "MailingListService/CreateMailingList",
            json!({"list": {"address": "out@homepage.test", "listserv": "out@lists.elsewhere.test"}, "requestId": "r9"}),
        ),
        ("MailingListService/GetMailingList", json!({"address": list})),
        (
            "MailingListService/ListMailingLists",
            json!({"domain": "homepage.test", "pageToken": "", "prefix": "a"}),
        ),
        (
            "MailingListService/UpdateMailingList",
            json!({"list": {"address": list, "subjectPrefix": "[t]", "owner": "user@homepage.test", "description": "All"}, "updateMask": "subjectPrefix,owner,description"}),
        ),
        (
            "MailingListService/UpdateMailingList",
            json!({"list": {"address": list, "listserv": "staff@lists.elsewhere.test"}, "updateMask": "listserv"}),
        ),
        (
            "MailingListService/AddListMembers",
            json!({"list": list, "addresses": ["user@homepage.test"],
                "additionId": "0193d1c2-7f1e-7a54-9c3e-5d2f8b6a4e10", "totalCount": 1}),
        ),
        ("MailingListService/ListMemberAdditions", json!({"list": list})),
        ("MailingListService/ListListMembers", json!({"list": list, "pageToken": "", "prefix": "a"})),
        ("MailingListService/RemoveListMembers", json!({"list": list, "addresses": ["user@homepage.test"]})),
        ("MailingListService/DeleteMailingList", json!({"address": list})),
        (
            "AutoresponderService/UpdateAutoresponder",
            json!({"autoresponder": {"address": "user@homepage.test", "subject": "Away", "text": "Back soon"}, "allowMissing": true}),
        ),
        ("AutoresponderService/GetAutoresponder", json!({"address": "user@homepage.test"})),
        (
            "AutoresponderService/ListAutoresponders",
            json!({"domain": "homepage.test", "pageToken": "", "prefix": "a"}),
        ),
        ("AutoresponderService/DeleteAutoresponder", json!({"address": "user@homepage.test"})),
        ("LimitsService/GetLimits", json!({"customer": "homepage"})),
        ("LimitsService/UpdateLimits", json!({"limits": {"customer": "homepage", "limits": {"lists": "5"}}})),
        (
            "ApiTokenService/CreateApiToken",
            json!({"token": {"role": "TOKEN_ROLE_CUSTOMER", "customer": "homepage", "displayName": "T", "scopes": ["audit:read"]}}),
        ),
        ("ApiTokenService/ListApiTokens", json!({"customer": "homepage", "pageToken": ""})),
        ("ApiTokenService/DeleteApiToken", json!({"tokenId": "1"})),
        (
            "AuditService/ListAuditEntries",
            json!({"customer": "homepage", "kind": "mailbox", "name": "user@homepage.test", "action": "create", "actor": "tests", "pageToken": ""}),
        ),
        ("AuditService/RestoreAuditEntry", json!({"auditId": "1"})),
        ("DirectoryService/ResolveRecipient", json!({"address": "user@homepage.test"})),
        ("DirectoryService/BatchResolveRecipients", json!({"addresses": ["user@homepage.test"]})),
        ("DirectoryService/LookupMailbox", json!({"mailboxId": "1"})),
        ("DirectoryService/LookupDomain", json!({"name": "homepage.test"})),
        (
            "DomainService/CreateDomain",
            json!({"name": "rival.test", "customer": "homepage", "requestId": "r6", "aliasOf": ""}),
        ),
        ("DomainService/DeleteDomain", json!({"name": "rival.test", "claimOf": "homepage"})),
        ("DomainService/DeleteDomain", json!({"name": "second.test", "claimOf": ""})),
        ("CustomerService/DeleteCustomer", json!({"login": "fresh"})),
    ]
}

/// Whose good requests name what is not there.
pub(super) const OF_NOTHING: [&str; 8] = [
    "DeleteAppPassword",
    "DeleteApiToken",
    "DeleteSecondFactor",
    "RestoreAuditEntry",
    "RetryQueueEntries",
    "HoldQueueEntries",
    "RemoveQueueEntries",
    "GetTrace",
];
