//! Bad input over every field of every call of account: a clear INVALID_ARGUMENT that names the field and says why, nothing
//! stored, and the service lives on.
//!
//! Each call has a request that is good. The test puts each bad text into each of its texts in turn, by the compiled
//! descriptors; at the end the good request itself is done, so that it was the bad text that was refused. A call without a
//! good request here, or a text field that no good request has, fails the test.

use std::collections::BTreeSet;

use anyhow::Context as _;
use bytes::Bytes;
use postern_mesh::access::{self, Area, Shape};
use postern_tests::{
    admin::Admin,
    dns::World,
    platform::{Blueprint, Platform},
    raw::Octets,
};
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor};
use serde_json::{Value, json};
use tonic::{Code, Request, Status};

/// Good requests, in an order in which each of them can be done.
fn good_requests() -> Vec<(&'static str, Value)> {
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
        ("MailboxService/SetMailboxPassword", json!({"address": "new@homepage.test", "password": password})),
        (
            "AppPasswordService/CreateAppPassword",
            json!({"mailbox": "new@homepage.test", "protocol": "APP_PROTOCOL_POP3", "displayName": "phone"}),
        ),
        ("SecondFactorService/GetSecondFactor", json!({"login": "new@homepage.test"})),
        ("SecondFactorService/DeleteSecondFactor", json!({"login": "new@homepage.test", "code": "123456"})),
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
        ("MailingListService/GetMailingList", json!({"address": list})),
        ("MailingListService/ListMailingLists", json!({"domain": "homepage.test", "pageToken": ""})),
        (
            "MailingListService/UpdateMailingList",
            json!({"list": {"address": list, "subjectPrefix": "[t]", "owner": "user@homepage.test", "description": "All"}, "updateMask": "subjectPrefix,owner,description"}),
        ),
        ("MailingListService/AddListMembers", json!({"list": list, "addresses": ["user@homepage.test"]})),
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
        ("DomainService/DeleteDomain", json!({"name": "second.test"})),
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
        ("1 MB", "x".repeat(1_000_000)),
    ];
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
const GOOD_ALL_THE_SAME: [(&str, &str); 6] = [
    // A password may have any letters, and an id is compared only.
    ("plain", "turned reading direction"),
    ("requestId", "turned reading direction"),
    // A text has lines, and may be in any script.
    ("text", "CR LF"),
    ("text", "turned reading direction"),
    // Told by line, not as a failure of the call.
    ("addresses", "*"),
    // Compared only.
    ("actor", "*"),
];

/// Filters of the audit find nothing; that is an answer.
const ONLY_COMPARED: &str = "AuditService/ListAuditEntries";

fn is_good_all_the_same(method: &str, field: &str, case: &str) -> bool {
    // BatchResolveRecipients refuses what is no address; members are reported line by line.
    let by_line = method.ends_with("AddListMembers") || method.ends_with("RemoveListMembers");
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
}

impl Call {
    fn new(pool: &DescriptorPool, method: &str) -> anyhow::Result<Self> {
        let (service, name) = method.split_once('/').context("Service/Method")?;
        let full = format!("postern.account.v1.{service}");
        let service = pool.get_service_by_name(&full).with_context(|| full.clone())?;
        let method =
            service.methods().find(|m| m.name() == name).with_context(|| format!("{full}/{name}"))?;
        Ok(Self { path: format!("/{full}/{name}"), input: method.input() })
    }

    /// `None`: the JSON is no such message, so that no client of ours could send it.
    async fn ask(&self, admin: &Admin, request: &Value) -> Option<Result<(), Status>> {
        use prost_reflect::prost::Message as _;
        let message = DynamicMessage::deserialize(self.input.clone(), request).ok()?;
        let octets = Bytes::from(message.encode_to_vec());
        let mut client = tonic::client::Grpc::new(admin.account_channel());
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
    for table in ["audit", "customers", "logins", "domains", "mailboxes", "forwards", "versions"] {
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
    assert_eq!(stored(&database).await?, before, "something was stored");
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(asked > 300, "only {asked} questions");
    println!("{asked} bad texts were refused");
    good_ones_are_done(&pool, &admin).await
}

/// What is wrong with the answer to a bad text.
fn complaint(method: &str, names: &[&str], case: &str, answer: &Result<(), Status>) -> Option<String> {
    let place = names.join(".");
    let status = match answer {
        Ok(()) if method == ONLY_COMPARED => return None,
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
        // Built on another branch.
        Code::Unimplemented => None,
        Code::InvalidArgument if is_named && status.message().contains(':') => None,
        // A well-formed name of nothing.
        Code::NotFound => None,
        _ => Some(format!("{method} {place}: {case}: {:?}: {:.200}", status.code(), status.message())),
    }
}

/// The service lives on, and it was the bad text that was refused.
async fn good_ones_are_done(pool: &DescriptorPool, admin: &Admin) -> anyhow::Result<()> {
    for (method, good) in good_requests() {
        let answer = Call::new(pool, method)?.ask(admin, &good).await.context("a message")?;
        match answer {
            Ok(()) => {}
            Err(status) if status.code() == Code::Unimplemented => println!("{method} is not built yet"),
            // Numbers that only a run can know: well formed, and of nothing.
            Err(status)
                if matches!(status.code(), Code::NotFound | Code::FailedPrecondition)
                    && ["DeleteAppPassword", "DeleteApiToken", "DeleteSecondFactor", "RestoreAuditEntry"]
                        .iter()
                        .any(|m| method.ends_with(m)) => {}
            Err(status) => anyhow::bail!("{method}: {status}"),
        }
    }
    Ok(())
}

#[test]
fn every_call_and_every_text_field_has_a_good_request() {
    let pool = DescriptorPool::decode(postern_proto::DESCRIPTORS).expect("descriptors");
    let good = good_requests();
    let have: BTreeSet<String> =
        good.iter().map(|(method, _)| format!("/postern.account.v1.{method}")).collect();
    for row in access::table() {
        // The test asks as an operator; what only people themselves may set is tried by the panel's tests.
        let of_operators = row.callers.admit(postern_mesh::identity::Role::Operator);
        let of_people = row.area != Area::Mesh && row.shape != Shape::Watch;
        if row.path.starts_with("/postern.account.v1.") && of_people && of_operators {
            assert!(have.contains(row.path), "{} has no good request", row.path);
        }
    }
    // Fields of the request itself; of the things within it only what can be set is in the good requests.
    for (method, request) in &good {
        let call = Call::new(&pool, method).expect("a call");
        for field in call.input.fields().filter(|field| matches!(field.kind(), Kind::String)) {
            assert!(request.get(field.json_name()).is_some(), "{method}: {} is not tried", field.json_name());
        }
    }
}
