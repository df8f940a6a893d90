//! Bad input over every text of every call that people and their tools make: a clear INVALID_ARGUMENT that names the field and says
//! why, nothing stored, and the service lives on.
//!
//! Each call has a request that is good. The test puts each bad text into each of its texts in turn, by the compiled
//! descriptors; at the end the good request itself is done, so that it was the bad text that was refused. A call without a
//! good request here, or a text that can be set and no good request has, fails the test.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use bytes::Bytes;
use postern_mesh::{
    access::{self, Area, Shape},
    identity::{Caller, Role},
};
use postern_tests::{
    admin::Admin,
    dns::World,
    platform::{Blueprint, Platform},
    raw::Octets,
};
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};
use tonic::{Code, Request, Status};

/// An argon2id hash of the least strength.
const PHC: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Good requests, in an order in which each of them can be done; those of account are named without their package.
fn good_requests() -> Vec<(&'static str, Value)> {
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
        ("CustomerService/ListCustomers", json!({"pageToken": ""})),
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
        ("DomainService/ListDomains", json!({"customer": "homepage", "pageToken": ""})),
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
        ("MailboxService/ListMailboxes", json!({"domain": "homepage.test", "pageToken": ""})),
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
        ("ForwardService/ListForwards", json!({"domain": "homepage.test", "pageToken": ""})),
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
        ("MailingListService/ListMailingLists", json!({"domain": "homepage.test", "pageToken": ""})),
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
        ("MailingListService/ListListMembers", json!({"list": list, "pageToken": ""})),
        ("MailingListService/RemoveListMembers", json!({"list": list, "addresses": ["user@homepage.test"]})),
        ("MailingListService/DeleteMailingList", json!({"address": list})),
        (
            "AutoresponderService/UpdateAutoresponder",
            json!({"autoresponder": {"address": "user@homepage.test", "subject": "Away", "text": "Back soon"}, "allowMissing": true}),
        ),
        ("AutoresponderService/GetAutoresponder", json!({"address": "user@homepage.test"})),
        ("AutoresponderService/ListAutoresponders", json!({"domain": "homepage.test", "pageToken": ""})),
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

/// What no field may hold, with a word that the case is told by.
fn bad_texts(good: &str) -> Vec<(&'static str, String)> {
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

fn is_good_all_the_same(method: &str, field: &str, case: &str) -> bool {
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

/// Puts a text into the place of each text in turn: path of names, text that was there.
fn leaves(value: &Value, path: &mut Vec<String>, found: &mut Vec<(Vec<String>, String)>) {
    match value {
        Value::String(text) => found.push((path.clone(), text.clone())),
        Value::Object(fields) => {
            for (name, value) in fields {
                path.push(name.clone());
                leaves(value, path, found);
                path.pop();
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                path.push(index.to_string());
                leaves(value, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

fn with(value: &Value, path: &[String], text: &str) -> Value {
    let pointer = format!("/{}", path.join("/"));
    let mut changed = value.clone();
    if let Some(place) = changed.pointer_mut(&pointer) {
        *place = Value::String(text.to_owned());
    }
    changed
}

struct Call {
    path: String,
    input: MessageDescriptor,
    caller: Caller,
}

/// As it stands in the path of a call.
fn path_of(method: &str) -> String {
    let package = if method.contains(".v1.") { "" } else { "account.v1." };
    format!("/postern.{package}{method}")
}

impl Call {
    fn new(pool: &DescriptorPool, method: &str) -> anyhow::Result<Self> {
        let path = path_of(method);
        let (service, name) = path[1..].split_once('/').context("Service/Method")?;
        let service = pool.get_service_by_name(service).with_context(|| path.clone())?;
        let method = service.methods().find(|m| m.name() == name).with_context(|| path.clone())?;
        let row = access::method(&path).with_context(|| path.clone())?;
        // What only people themselves may set is asked by one.
        let by_operator = row.callers.admit(Role::Operator);
        let caller = if by_operator {
            Caller::new("tests", Role::Operator)
        } else {
            Caller::customer("homepage", "homepage")
        };
        Ok(Self { path, input: method.input(), caller })
    }

    /// `None`: the JSON is no such message, so that no client of ours could send it.
    async fn ask(&self, admin: &Admin, request: &Value) -> Option<Result<(), Status>> {
        use prost_reflect::prost::Message as _;
        let message = DynamicMessage::deserialize(self.input.clone(), request).ok()?;
        let octets = Bytes::from(message.encode_to_vec());
        let mut client = tonic::client::Grpc::new(admin.channel_as(&self.path, Some(&self.caller)));
        client.ready().await.ok()?;
        let mut request = Request::new(octets);
        request.set_timeout(std::time::Duration::from_secs(30));
        let path = self.path.parse().ok()?;
        Some(client.unary(request, path, Octets).await.map(|_| ()))
    }
}

/// Everything that a write would change: the audit tells each of them, and the tables show the rest.
async fn stored(pool: &sqlx::PgPool) -> anyhow::Result<Vec<i64>> {
    let mut counts = Vec::new();
    for table in [
        "api_tokens",
        "app_passwords",
        "audit",
        "autoresponders",
        "customers",
        "domain_claims",
        "domains",
        "forwards",
        "limits",
        "list_members",
        "lists",
        "logins",
        "mailboxes",
        "second_factors",
        "versions",
    ] {
        let query = format!("select count(*) from account.{table}");
        counts.push(sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(pool).await?);
    }
    let newest = "select coalesce(max(version), 0) from account.versions";
    counts.push(sqlx::query_scalar(newest).fetch_one(pool).await?);
    Ok(counts)
}

async fn house() -> anyhow::Result<(Platform, Admin, World)> {
    // Nobody asks the world's DNS here: a server that knows nothing answers at once.
    let world = World::start().await;
    let platform = Blueprint::new().set("POSTERN_RESOLVER", &world.address.to_string()).start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.domain("rival", "rival.test").await?;
    admin.mailbox("user@homepage.test").await?;
    Ok((platform, admin, world))
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_texts_are_refused_by_name_and_nothing_is_stored() -> anyhow::Result<()> {
    let pool = DescriptorPool::decode(postern_proto::DESCRIPTORS)?;
    let (platform, admin, _world) = house().await?;
    let database = sqlx::PgPool::connect(&platform.stores.database_url()).await?;
    let before = stored(&database).await?;
    let mut wrong = Vec::new();
    let mut asked = 0;
    for (method, good) in good_requests() {
        let call = Call::new(&pool, method)?;
        let mut places = Vec::new();
        leaves(&good, &mut Vec::new(), &mut places);
        for (path, text) in places {
            let names: Vec<&str> =
                path.iter().map(String::as_str).filter(|name| name.parse::<usize>().is_err()).collect();
            let field = *names.last().context("a field has a name")?;
            for (case, bad) in bad_texts(&text) {
                if is_good_all_the_same(method, field, case) {
                    continue;
                }
                let Some(answer) = call.ask(&admin, &with(&good, &path, &bad)).await else { continue };
                asked += 1;
                if let Some(complaint) = complaint(method, &names, case, &answer) {
                    wrong.push(complaint);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(stored(&database).await?, before, "something was stored");
    assert!(asked > 300, "only {asked} questions");
    println!("{asked} bad texts were refused");
    good_ones_are_done(&pool, &admin).await
}

/// What is wrong with the answer to a bad text.
fn complaint(method: &str, names: &[&str], case: &str, answer: &Result<(), Status>) -> Option<String> {
    let place = names.join(".");
    let status = match answer {
        Ok(()) => return Some(format!("{method} {place}: {case}: was taken")),
        Err(status) => status,
    };
    // `displayName` is `display_name` in a message; of nested names one is enough.
    let snake = |name: &str| -> String {
        name.chars()
            .flat_map(|c| if c.is_uppercase() { vec!['_', c.to_ascii_lowercase()] } else { vec![c] })
            .collect()
    };
    let is_named = names.iter().any(|name| status.message().contains(&snake(name)));
    match status.code() {
        Code::InvalidArgument
            if is_named && status.message().contains(':') && status.message().len() < 1000 =>
        {
            None
        }
        _ => Some(format!("{method} {place}: {case}: {:?}: {:.200}", status.code(), status.message())),
    }
}

/// The service lives on, and it was the bad text that was refused.
async fn good_ones_are_done(pool: &DescriptorPool, admin: &Admin) -> anyhow::Result<()> {
    for (method, good) in good_requests() {
        let answer = Call::new(pool, method)?.ask(admin, &good).await.context("a message")?;
        match answer {
            Ok(()) => {}
            // Numbers that only a run can know: well formed, and of nothing.
            Err(status)
                if matches!(status.code(), Code::NotFound | Code::FailedPrecondition)
                    && OF_NOTHING.iter().any(|name| method.ends_with(name)) => {}
            Err(status) if method.ends_with("ConfirmSecondFactor") => {
                anyhow::ensure!(status.message().contains("code: is wrong"), "{method}: {status}");
            }
            Err(status) => anyhow::bail!("{method}: {status}"),
        }
    }
    Ok(())
}

/// Whose good requests name what is not there.
const OF_NOTHING: [&str; 8] = [
    "DeleteAppPassword",
    "DeleteApiToken",
    "DeleteSecondFactor",
    "RestoreAuditEntry",
    "RetryQueueEntries",
    "HoldQueueEntries",
    "RemoveQueueEntries",
    "GetTrace",
];

/// Texts of messages that a request may hold and that no call sets: answers only, and etags, which are compared.
const NOT_SET: [&str; 9] = [
    ".etag",
    "account.v1.MailingList.domain",
    "account.v1.Customer.domains",
    "account.v1.Domain.alias_of",
    "account.v1.DomainClaim.txt_name",
    "account.v1.DomainClaim.txt_value",
    "account.v1.Domain.customer",
    "account.v1.Domain.login",
    "account.v1.Mailbox.domain",
];

/// Each text of a message, with the names on the way to it.
fn texts(message: &MessageDescriptor, path: &mut Vec<String>, found: &mut Vec<(String, FieldDescriptor)>) {
    for field in message.fields() {
        path.push(field.json_name().to_owned());
        match field.kind() {
            Kind::String => found.push((path.join("."), field.clone())),
            // FieldMask is a text in JSON, and Timestamp none that a program types.
            Kind::Message(inner) if !inner.full_name().starts_with("google.") => texts(&inner, path, found),
            _ => {}
        }
        path.pop();
    }
}

#[test]
fn every_call_and_every_text_has_a_good_request() {
    let pool = DescriptorPool::decode(postern_proto::DESCRIPTORS).expect("descriptors");
    let mut tried: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (method, request) in good_requests() {
        let mut places = Vec::new();
        leaves(&request, &mut Vec::new(), &mut places);
        let names = |path: Vec<String>| path.into_iter().filter(|name| name.parse::<usize>().is_err());
        let of_it = tried.entry(path_of(method)).or_default();
        of_it.extend(places.into_iter().map(|(path, _)| names(path).collect::<Vec<_>>().join(".")));
    }
    let mut missing = Vec::new();
    for row in access::table() {
        let of_people = row.area != Area::Mesh && matches!(row.shape, Shape::Read | Shape::Write);
        if !row.path.starts_with("/postern.") || !of_people {
            continue;
        }
        let (service, name) = row.path[1..].split_once('/').expect("a path");
        let service = pool.get_service_by_name(service).expect("a service");
        let input = service.methods().find(|method| method.name() == name).expect("a method").input();
        let mut found = Vec::new();
        texts(&input, &mut Vec::new(), &mut found);
        let is_tried = tried.get(row.path);
        if is_tried.is_none() && (!found.is_empty() || row.path.starts_with("/postern.account.")) {
            missing.push(format!("{} has no good request", row.path));
        }
        for (path, field) in found {
            let is_set = !NOT_SET.iter().any(|name| field.full_name().ends_with(name));
            if is_set && !is_tried.is_some_and(|tried| tried.contains(&path)) {
                missing.push(format!("{}: {path} ({}) is not tried", row.path, field.full_name()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
