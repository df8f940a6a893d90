//! Who may do what: every RPC of the descriptors is called by every kind of caller against the real services.
//!
//! The access table says who may call at all. Whoever may, and names another customer's thing, gets the answer for a thing that
//! does not exist, to the letter; nothing changes by it. The owner's same calls all succeed, so that the refusals mean
//! something. What was done then is in the audit, and no secret with it.

mod trials;

use std::{collections::BTreeSet, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use postern_mail::Reason;
use postern_mesh::{
    access, failure,
    identity::{Caller, MeshKey, Role, Scopes},
};
use postern_tests::{
    admin::{Admin, PASSWORD},
    dns::World,
    eventually,
    platform::{Blueprint, Platform},
    pop3::Pop3,
    raw, smtp,
};
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, prost::Message as _};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use trials::{CHANGED_BY_MAILBOX_USERS, CHANGED_BY_SUPPORT, Trial, Whose, trials};

/// What passwords are set to: found in no audit entry.
const CANARY: &str = "canary-in-the-mine";

const API_TOKEN_PROTO: &str = include_str!("../../../proto/postern/account/v1/api_token.proto");
const AUDIT_PROTO: &str = include_str!("../../../proto/postern/account/v1/audit.proto");

/// What the names in a trial stand for, the longest values first.
#[derive(Clone)]
struct Things(Vec<(&'static str, String)>);

impl Things {
    fn new(mut pairs: Vec<(&'static str, String)>) -> Self {
        pairs.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        Self(pairs)
    }

    /// A request with values for names; those of the caller's own things too.
    fn fill(&self, request: &Value, own: &Self) -> anyhow::Result<Value> {
        let mut text = request.to_string();
        let mut pairs: Vec<_> = own.0.iter().chain(&self.0).collect();
        pairs.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        for (name, value) in pairs {
            text = text.replace(&format!("${name}"), value);
        }
        anyhow::ensure!(!text.contains('$'), "a name without a value: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// An answer with names for values.
    fn mask(&self, answer: &str) -> String {
        self.0.iter().fold(answer.to_owned(), |text, (name, value)| text.replace(value, &format!("${name}")))
    }

    fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(of, _)| *of == name).map_or("", |(_, value)| value)
    }
}

/// What no customer has, under names as those of the rival.
fn absent() -> Things {
    let text = |(name, value): (&'static str, &str)| (name, value.to_owned());
    Things::new(
        [
            ("customer", "absent"),
            ("domain", "absent.test"),
            ("idle", "idle-absent.test"),
            ("address", "victim@absent.test"),
            ("spare", "spare@absent.test"),
            ("removed", "removed@absent.test"),
            ("list", "staff@absent.test"),
            ("box_id", "91000101"),
            ("spare_id", "91000102"),
            ("removed_id", "91000103"),
            ("list_id", "95000101"),
            ("token_id", "93000101"),
            ("app_password_id", "94000101"),
            ("audit_id", "92000101"),
            ("clearing_id", "98000101"),
            ("entry_id", "96000101"),
            ("message_id", "99000000000070008000000000000101"),
        ]
        .map(text)
        .into(),
    )
}

/// Somebody who calls, and what is theirs.
struct Person {
    name: &'static str,
    /// `None`: without an assertion.
    caller: Option<Caller>,
    own: Things,
}

struct House {
    /// Its services end with it.
    _platform: Platform,
    admin: Admin,
    database: PgPool,
    pool: DescriptorPool,
    _world: World,
    rival: Things,
    /// Holds the rival's box.
    _session: Pop3,
    /// Secrets that were answered to who made them.
    secrets: Vec<String>,
}

impl House {
    fn descriptor(&self, path: &str) -> anyhow::Result<MethodDescriptor> {
        let (service, name) = path.trim_start_matches('/').split_once('/').context("a path")?;
        let service = self.pool.get_service_by_name(service).with_context(|| path.to_owned())?;
        service.methods().find(|method| method.name() == name).with_context(|| path.to_owned())
    }

    /// The answer as JSON, or the refusal.
    async fn ask(
        &self,
        caller: Option<&Caller>,
        path: &str,
        request: &Value,
    ) -> anyhow::Result<Result<Value, tonic::Status>> {
        self.send(self.admin.channel_as(path, caller), path, request).await
    }

    async fn send(
        &self,
        channel: postern_mesh::client::MeshChannel,
        path: &str,
        request: &Value,
    ) -> anyhow::Result<Result<Value, tonic::Status>> {
        let method = self.descriptor(path)?;
        let message = DynamicMessage::deserialize(method.input(), request)
            .with_context(|| format!("{path}: {request}"))?;
        match raw::call(channel, path, Bytes::from(message.encode_to_vec())).await {
            Ok(octets) => {
                Ok(Ok(serde_json::to_value(DynamicMessage::decode(method.output(), octets.as_ref())?)?))
            }
            Err(status) => Ok(Err(status)),
        }
    }

    /// The operator does it, and it is done.
    async fn operate(&self, method: &str, request: Value) -> anyhow::Result<Value> {
        let operator = Caller::new("tests", Role::Operator);
        let answer = self.ask(Some(&operator), &format!("/postern.{method}"), &request).await?;
        answer.with_context(|| format!("{method} {request}"))
    }
}

/// Ids that occur nowhere by chance.
const SEQUENCES: [(&str, &str, i64); 7] = [
    ("account.mailboxes", "mailbox_id", 71_000_000),
    ("account.audit", "audit_id", 72_000_000),
    ("account.api_tokens", "token_id", 73_000_000),
    ("account.app_passwords", "app_password_id", 74_000_000),
    ("account.lists", "list_id", 75_000_000),
    ("mail.queue", "id", 76_000_000),
    ("mail.clearings", "clearing_id", 78_000_000),
];

async fn house() -> anyhow::Result<House> {
    // Nobody asks the world's DNS here: a server that knows nothing answers at once.
    let world = World::start().await;
    let platform = Blueprint::new().set("POSTERN_RESOLVER", &world.address.to_string()).start().await?;
    let admin = platform.admin()?;
    let database = PgPool::connect(&platform.stores.database_url()).await?;
    for (table, column, start) in SEQUENCES {
        let query = format!("alter table {table} alter column {column} restart with {start}");
        sqlx::query(AssertSqlSafe(query)).execute(&database).await?;
    }
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox("user@homepage.test").await?;
    admin.domain("rival", "rival.test").await?;
    let victim = admin.mailbox("victim@rival.test").await?.mailbox_id;
    anyhow::ensure!(smtp_mail(&platform, "first").await?, "the first mail is taken");
    let session = Pop3::login(platform.pop3(0), "victim@rival.test", PASSWORD).await?;
    let pool = DescriptorPool::decode(postern_proto::DESCRIPTORS)?;
    let (rival, secrets) = (Things::new(Vec::new()), vec![PASSWORD.to_owned(), CANARY.to_owned()]);
    let mut house = House {
        _platform: platform,
        admin,
        database,
        pool,
        _world: world,
        rival,
        _session: session,
        secrets,
    };
    house.rival = furnish(&mut house, victim).await?;
    Ok(house)
}

async fn smtp_mail(platform: &Platform, tag: &str) -> anyhow::Result<bool> {
    let content = smtp::message(tag, 500);
    let reply = smtp::send(platform.smtp(0), "you@outside.test", &["victim@rival.test"], &content).await?;
    Ok(reply.starts_with("250"))
}

/// The rival gets one of everything.
async fn furnish(house: &mut House, victim: i64) -> anyhow::Result<Things> {
    let admin = house.admin.clone();
    let arrived = eventually(Duration::from_secs(30), async || {
        admin.message_count(victim).await.is_ok_and(|count| count == 1)
    });
    anyhow::ensure!(arrived.await, "the first mail arrives");
    let spare = admin.mailbox("spare@rival.test").await?.mailbox_id;
    admin.mailbox("removed@rival.test").await?;
    let removed = admin.remove_mailbox("removed@rival.test").await?;
    admin.forward("victim@rival.test", &["you@outside.test"], true).await?;
    admin.autoresponder("victim@rival.test", "Away", "Back soon").await?;
    house
        .operate(
            "account.v1.DomainService/CreateDomain",
            json!({"name": "idle-rival.test", "customer": "rival"}),
        )
        .await?;
    let list = json!({"list": {"address": "staff@rival.test", "owner": "you@outside.test"}});
    let list = house.operate("account.v1.MailingListService/CreateMailingList", list).await?;
    let members = json!({"list": "staff@rival.test", "addresses": ["b@outside.test"]});
    house.operate("account.v1.MailingListService/AddListMembers", members).await?;
    let token = json!({"token": {"role": "TOKEN_ROLE_CUSTOMER", "customer": "rival", "displayName": "T", "scopes": ["*:read"]}});
    let token = house.operate("account.v1.ApiTokenService/CreateApiToken", token).await?;
    let app = json!({"mailbox": "victim@rival.test", "protocol": "APP_PROTOCOL_SMTP", "displayName": "app"});
    let app = house.operate("account.v1.AppPasswordService/CreateAppPassword", app).await?;
    house
        .secrets
        .extend([&token["secret"], &app["secret"]].map(|s| s.as_str().unwrap_or_default().to_owned()));
    // Another user's second factor, with a code for when it is lost.
    sqlx::query(
        "insert into account.second_factors (mailbox_id, secret, confirm_time, recovery_sha256)
         values ($1, decode(repeat('5ec2e7a1', 5), 'hex'), now(), array[sha256('recovery')])",
    )
    .bind(spare)
    .execute(&house.database)
    .await?;
    admin.forward("gone@rival.test", &["you@outside.test"], false).await?;
    admin.remove_forward("gone@rival.test").await?;
    let audit: i64 = sqlx::query_scalar(
        "select audit_id from account.audit where name = 'gone@rival.test' and action = 'delete'",
    )
    .fetch_one(&house.database)
    .await?;
    let clear = json!({"mailboxId": spare.to_string(), "scope": "CLEAR_SCOPE_ALL"});
    house.operate("delivery.v1.BoxService/ClearBox", clear).await?;
    let (clearing, entry, message) = mail_of_the_rival(&house.database, victim).await?;
    let number = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(Things::new(vec![
        ("customer", "rival".to_owned()),
        ("domain", "rival.test".to_owned()),
        ("idle", "idle-rival.test".to_owned()),
        ("address", "victim@rival.test".to_owned()),
        ("spare", "spare@rival.test".to_owned()),
        ("removed", "removed@rival.test".to_owned()),
        ("list", "staff@rival.test".to_owned()),
        ("box_id", victim.to_string()),
        ("spare_id", spare.to_string()),
        ("removed_id", removed.to_string()),
        ("list_id", number(&list["list"]["listId"])),
        ("token_id", number(&token["token"]["tokenId"])),
        ("app_password_id", number(&app["appPassword"]["appPasswordId"])),
        ("audit_id", audit.to_string()),
        ("clearing_id", clearing.to_string()),
        ("entry_id", entry.to_string()),
        ("message_id", message),
    ]))
}

/// A clearing that can be restored and an entry that waits in the queue, without the wait for a host that is down.
async fn mail_of_the_rival(database: &PgPool, victim: i64) -> anyhow::Result<(i64, i64, String)> {
    let clearing: i64 = sqlx::query_scalar(
        "insert into mail.clearings (mailbox_id, scope) values ($1, 2) returning clearing_id",
    )
    .bind(victim)
    .fetch_one(database)
    .await?;
    sqlx::query(
        "insert into mail.vault select mailbox_id, $2, nextval('mail.entry_uid'), size_bytes, message_id, accept_time, prefix
           from mail.entries where mailbox_id = $1",
    )
    .bind(victim)
    .bind(clearing)
    .execute(database)
    .await?;
    sqlx::query(
        "update mail.messages set references_count = references_count + 2
          where id in (select message_id from mail.entries where mailbox_id = $1)",
    )
    .bind(victim)
    .execute(database)
    .await?;
    let entry: i64 = sqlx::query_scalar(
        "insert into mail.queue (message_id, recipient, recipient_domain, customer, state)
         select message_id, 'you@outside.test', 'outside.test', 'rival', 3
           from mail.entries where mailbox_id = $1 limit 1 returning id",
    )
    .bind(victim)
    .fetch_one(database)
    .await?;
    let message: String = sqlx::query_scalar(
        "select replace(message_id::text, '-', '') from mail.entries where mailbox_id = $1 limit 1",
    )
    .bind(victim)
    .fetch_one(database)
    .await?;
    Ok((clearing, entry, message))
}

/// Everybody who has nothing to do with the rival, or not with all that is its.
async fn persons(house: &House) -> anyhow::Result<Vec<Person>> {
    let user = house.admin.get_mailbox("user@homepage.test").await?.mailbox_id;
    let spare: i64 = house.rival.get("spare_id").parse()?;
    let things = |customer: &str, domain: &str, address: &str, id: i64| {
        Things::new(vec![
            ("own_customer", customer.to_owned()),
            ("own_domain", domain.to_owned()),
            ("own_address", address.to_owned()),
            ("own_box_id", id.to_string()),
        ])
    };
    let stranger = || things("homepage", "homepage.test", "user@homepage.test", user);
    let reading = Scopes::parse(&["*:read"])?;
    let token = |customer: &str| Caller { scopes: reading.clone(), ..Caller::customer("token", customer) };
    Ok(vec![
        Person { name: "nobody", caller: None, own: stranger() },
        Person {
            name: "another customer",
            caller: Some(Caller::customer("homepage", "homepage")),
            own: stranger(),
        },
        Person { name: "its reading token", caller: Some(token("homepage")), own: stranger() },
        Person {
            name: "its mailbox user",
            caller: Some(Caller::mailbox("user@homepage.test", "homepage", user)),
            own: stranger(),
        },
        Person {
            name: "another user of the same customer",
            caller: Some(Caller::mailbox("spare@rival.test", "rival", spare)),
            own: things("rival", "rival.test", "spare@rival.test", spare),
        },
        Person {
            name: "a customer that is gone",
            caller: Some(Caller::customer("gone", "gone")),
            own: stranger(),
        },
    ])
}

fn admitted(path: &str, caller: Option<&Caller>) -> anyhow::Result<bool> {
    let row = access::method(path).with_context(|| format!("no row for {path}"))?;
    Ok(row.callers == access::Callers::ANYBODY || caller.is_some_and(|caller| row.admits(caller)))
}

/// What a caller is told whom the table does not admit.
fn is_refused(answer: &Result<Value, tonic::Status>, known: bool) -> bool {
    let reason = if known { Reason::CallerNotPermitted } else { Reason::CallerUnknown };
    let code = if known { tonic::Code::PermissionDenied } else { tonic::Code::Unauthenticated };
    answer
        .as_ref()
        .is_err_and(|status| status.code() == code && failure::typed_reason(status) == Some(reason))
}

/// Code, reason, text and metadata of a refusal, or the whole answer.
fn shown(answer: &Result<Value, tonic::Status>) -> String {
    match answer {
        Ok(answer) => answer.to_string(),
        Err(status) => {
            let metadata: std::collections::BTreeMap<_, _> =
                failure::metadata_of(status).into_iter().collect();
            format!(
                "{:?} {:?} {} {metadata:?}",
                status.code(),
                failure::typed_reason(status),
                status.message()
            )
        }
    }
}

/// A digest of every row that the services keep, without what moves by itself.
async fn state(database: &PgPool) -> anyhow::Result<Vec<(String, String)>> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select table_schema || '.' || table_name from information_schema.tables
          where table_schema in ('account', 'mail') and table_name not in ('requests', 'box_usage', 'box_usage_days', 'traffic')
            and table_type = 'BASE TABLE' order by 1",
    )
    .fetch_all(database)
    .await?;
    let mut digests = Vec::new();
    for table in tables {
        let row = "(to_jsonb(t) - array['last_use_time', 'check_time', 'next_check_time', 'reported_version'])::text";
        let query = format!("select md5(coalesce(string_agg({row}, '|' order by {row}), '')) from {table} t");
        digests.push((table, sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(database).await?));
    }
    Ok(digests)
}

/// What is not in tables: who holds the rival's box, and who may send by having checked it.
async fn held(house: &House) -> anyhow::Result<(Value, Value)> {
    let mut lock = house
        .operate("delivery.v1.LockService/GetLock", json!({"mailboxId": house.rival.get("box_id")}))
        .await?;
    if let Some(lock) = lock["lock"].as_object_mut() {
        lock.remove("remainingSeconds");
    }
    let grants = house
        .operate("auth.v1.RelayService/ListGrants", json!({"login": house.rival.get("address")}))
        .await?;
    Ok((lock, grants))
}

/// One call of somebody whose things these are not; what is wrong about its answer.
async fn try_as(house: &House, person: &Person, trial: &Trial) -> anyhow::Result<Vec<String>> {
    let (caller, missing) = (person.caller.as_ref(), absent());
    let request = house.rival.fill(&trial.request, &person.own)?;
    let answer = house.ask(caller, &trial.path, &request).await?;
    let who = format!("{} by {}: {request}", trial.path, person.name);
    if !admitted(&trial.path, caller)? {
        let wrong = !is_refused(&answer, caller.is_some());
        return Ok(wrong.then(|| format!("{who}: not refused: {}", shown(&answer))).into_iter().collect());
    }
    let request_missing = missing.fill(&trial.request, &person.own)?;
    let answer_missing = house.ask(caller, &trial.path, &request_missing).await?;
    let (told, told_missing) = (shown(&answer), shown(&answer_missing));
    let mut wrong = Vec::new();
    // The caller's own things are named alike in both.
    let expected = house.rival.mask(&missing.mask(&told_missing));
    if house.rival.mask(&told) != expected {
        wrong.push(format!("{who}:\n  {told}\n  but of what does not exist:\n  {told_missing}"));
    }
    let own = format!("{request} {:?}", person.own.0);
    for (name, value) in &house.rival.0 {
        if told.contains(value) && !own.contains(value) {
            wrong.push(format!("{who}: tells {name}: {told}"));
        }
    }
    Ok(wrong)
}

/// The table holds every RPC of the descriptors, and nothing else.
fn assert_every_rpc_is_tried(pool: &DescriptorPool, trials: &[Trial]) {
    let tried: BTreeSet<String> = trials.iter().map(|trial| trial.path.clone()).collect();
    let methods = pool.services().flat_map(|s| s.methods().collect::<Vec<_>>());
    let known: BTreeSet<String> = methods
        .map(|method| format!("/{}/{}", method.parent_service().full_name(), method.name()))
        .filter(|path| path.starts_with("/postern."))
        .collect();
    assert!(known.len() > 60, "the descriptors hold the platform");
    assert_eq!(known.difference(&tried).collect::<Vec<_>>(), Vec::<&String>::new(), "RPCs that nobody tries");
    assert_eq!(tried.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "no such RPC");
}

/// The trials ask the table who may call; here the table is held against what people are told.
#[test]
fn the_table_admits_whom_it_is_said_to() {
    for trial in trials() {
        let callers =
            access::method(&trial.path).map(|row| row.callers).unwrap_or_else(|| panic!("{}", trial.path));
        let (by_customers, by_users) = (callers.admit(Role::Customer), callers.admit(Role::Mailbox));
        match trial.whose {
            Whose::Anybody => assert!(callers == access::Callers::ANYBODY, "{}", trial.path),
            Whose::House => {
                assert!(callers != access::Callers::ANYBODY, "{}", trial.path);
                assert!(!by_customers && !by_users, "{} is not for customers", trial.path);
            }
            Whose::Customers => assert!(by_customers, "{} is for customers", trial.path),
        }
    }
    let changed_by = |role| -> BTreeSet<&str> {
        let rows =
            access::table().iter().filter(|row| row.changes && row.callers != access::Callers::ANYBODY);
        rows.filter(|row| row.callers.admit(role)).map(|row| row.path).collect()
    };
    assert_eq!(changed_by(Role::Mailbox), BTreeSet::from(CHANGED_BY_MAILBOX_USERS));
    assert_eq!(changed_by(Role::Support), BTreeSet::from(CHANGED_BY_SUPPORT));
    for area in access::Area::SCOPED {
        let comment = API_TOKEN_PROTO.split_once("Areas: ").and_then(|(_, rest)| rest.split_once('.'));
        let (areas, _) = comment.expect("the comment names the areas");
        let told = areas.split([' ', ',', '\n', '/']).any(|word| word == area.name());
        assert!(told, "{} is no area of the comment in api_token.proto: {areas}", area.name());
    }
    for reads_mail in ["MaildropService/ReadMessages", "BoxService/ExportMessages"] {
        let row = access::method(&format!("/postern.delivery.v1.{reads_mail}")).expect(reads_mail);
        assert!(!row.callers.admit(Role::Support), "support never reads mail: {reads_mail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reaches_what_is_another_customers_and_no_secret_is_audited() -> anyhow::Result<()> {
    let mut house = house().await?;
    let trials = trials();
    assert_every_rpc_is_tried(&house.pool, &trials);
    let settled = eventually(Duration::from_secs(30), async || {
        let moving = "select count(*) from mail.queue where state <> 3";
        sqlx::query_scalar::<_, i64>(moving).fetch_one(&house.database).await.is_ok_and(|count| count == 0)
    });
    assert!(settled.await, "what was sent has left");

    let (before, held_before) = (state(&house.database).await?, held(&house).await?);
    let mut wrong = strangers(&house, &trials).await?;
    wrong.extend(staff_and_forgers(&house, &trials).await?);
    assert_eq!(held(&house).await?, held_before, "the lock and the grant of the rival");
    let after = state(&house.database).await?;
    let changed: Vec<_> = before.iter().zip(&after).filter(|(a, b)| a != b).map(|(a, _)| &a.0).collect();
    assert!(changed.is_empty(), "changed by calls that may change nothing: {changed:?}");
    assert!(wrong.is_empty(), "{} wrong answers:\n{}", wrong.len(), wrong.join("\n"));

    let mut hashes = hashes(&house.database).await?;
    let failed = owners(&mut house, &trials).await?;
    assert!(failed.is_empty(), "the owner was refused:\n{}", failed.join("\n"));
    let factor = json!({"login": house.rival.get("spare")});
    house.operate("account.v1.SecondFactorService/DeleteSecondFactor", factor).await?;
    let refused = admitted_staff(&house, &trials).await?;
    assert!(refused.is_empty(), "staff was refused:\n{}", refused.join("\n"));
    hashes.extend(self::hashes(&house.database).await?);
    let mut secrets = house.secrets.clone();
    secrets.extend(hashes);
    no_secret_in_the_audit(&house.database, &secrets).await
}

async fn strangers(house: &House, trials: &[Trial]) -> anyhow::Result<Vec<String>> {
    let (persons, mut wrong, mut calls) = (persons(house).await?, Vec::new(), 0);
    for trial in trials {
        for person in &persons {
            wrong.extend(try_as(house, person, trial).await?);
            calls += 1;
        }
    }
    println!("{calls} trials by strangers, {} wrong", wrong.len());
    Ok(wrong)
}

/// Staff and owners where the table does not admit them, and an assertion that another house signed.
async fn staff_and_forgers(house: &House, trials: &[Trial]) -> anyhow::Result<Vec<String>> {
    let victim: i64 = house.rival.get("box_id").parse()?;
    let reading =
        Caller { scopes: Scopes::parse(&["*:read"])?, ..Caller::customer("rival's token", "rival") };
    let callers = [
        Caller::new("tests", Role::Service),
        Caller::new("tests", Role::Operator),
        Caller::new("tests", Role::Support),
        Caller::customer("rival", "rival"),
        Caller::mailbox("victim@rival.test", "rival", victim),
        reading,
    ];
    let own = persons(house).await?.swap_remove(0).own;
    let (forger, mut wrong) = (MeshKey::random(), Vec::new());
    for trial in trials {
        let request = house.rival.fill(&trial.request, &own)?;
        for caller in &callers {
            if admitted(&trial.path, Some(caller))? {
                continue;
            }
            let answer = house.ask(Some(caller), &trial.path, &request).await?;
            if !is_refused(&answer, true) {
                wrong.push(format!("{} by {caller:?}: {}", trial.path, shown(&answer)));
            }
        }
        if !admitted(&trial.path, None)? {
            let channel = house.admin.channel_with(&trial.path, forger.assertion(&callers[1]));
            let answer = house.send(channel, &trial.path, &request).await?;
            if !is_refused(&answer, false) {
                wrong.push(format!("{} by a forger: {}", trial.path, shown(&answer)));
            }
        }
    }
    Ok(wrong)
}

/// The rival's own calls, first of its mailbox user as far as they read, then of the customer.
async fn owners(house: &mut House, trials: &[Trial]) -> anyhow::Result<Vec<String>> {
    let victim: i64 = house.rival.get("box_id").parse()?;
    let user = Caller::mailbox("victim@rival.test", "rival", victim);
    let customer = Caller::customer("rival", "rival");
    let nothing = Things::new(Vec::new());
    let mut failed = Vec::new();
    for caller in [&user, &customer] {
        for trial in trials.iter().filter(|trial| trial.owner_succeeds) {
            let row = access::method(&trial.path).context("a row")?;
            let names = trial.request.to_string();
            let of_others = ["$list", "$spare"].iter().any(|name| names.contains(name));
            if !row.admits(caller) || (caller.role == Role::Mailbox && (row.changes || of_others)) {
                continue;
            }
            let request = house.rival.fill(&trial.request, &nothing)?;
            let answer = house.ask(Some(caller), &trial.path, &request).await?;
            match &answer {
                Ok(answer) => house.secrets.extend(answer["secret"].as_str().map(str::to_owned)),
                Err(_) => {
                    failed.push(format!(
                        "{} {request} by {}: {}",
                        trial.path,
                        caller.subject,
                        shown(&answer)
                    ));
                }
            }
        }
    }
    Ok(failed)
}

/// Staff whom the table admits gets past the guard; the things are none, so that no order matters.
async fn admitted_staff(house: &House, trials: &[Trial]) -> anyhow::Result<Vec<String>> {
    let own = persons(house).await?.swap_remove(1).own;
    let mut refused = Vec::new();
    for trial in trials {
        let request = absent().fill(&trial.request, &own)?;
        for role in [Role::Service, Role::Operator, Role::Support] {
            let caller = Caller::new("tests", role);
            if !admitted(&trial.path, Some(&caller))? {
                continue;
            }
            let answer = house.ask(Some(&caller), &trial.path, &request).await?;
            if is_refused(&answer, true) || is_refused(&answer, false) {
                // What ANYBODY may try is refused by what it brings.
                if access::method(&trial.path).is_some_and(|row| row.callers != access::Callers::ANYBODY) {
                    refused.push(format!("{} by {role:?}: {}", trial.path, shown(&answer)));
                }
            }
        }
    }
    Ok(refused)
}

/// Every hash that is stored, as text that could have got out.
async fn hashes(database: &PgPool) -> anyhow::Result<Vec<String>> {
    Ok(sqlx::query_scalar(
        "select password_phc from account.customers where password_phc <> ''
         union select password_phc from account.mailboxes where password_phc is not null
         union select encode(secret_sha256, 'hex') from account.api_tokens
         union select encode(secret_sha256, 'base64') from account.api_tokens
         union select encode(secret_sha256, 'hex') from account.app_passwords
         union select encode(secret_sha256, 'base64') from account.app_passwords
         union select encode(secret, 'hex') from account.second_factors
         union select encode(secret, 'base64') from account.second_factors
         union select encode(unnest(recovery_sha256), 'hex') from account.second_factors
         union select encode(unnest(recovery_sha256), 'base64') from account.second_factors",
    )
    .fetch_all(database)
    .await?)
}

async fn no_secret_in_the_audit(database: &PgPool, secrets: &[String]) -> anyhow::Result<()> {
    let entries: Vec<String> =
        sqlx::query_scalar("select audit::text from account.audit").fetch_all(database).await?;
    let done: Vec<String> =
        sqlx::query_scalar("select distinct kind || ' ' || action from account.audit order by 1")
            .fetch_all(database)
            .await?;
    println!("{} audit entries: {}; {} secrets", entries.len(), done.join(", "), secrets.len());
    for told in [
        "api-token create",
        "app-password create",
        "mailbox set-password",
        "customer set-password",
        "second-factor delete",
    ] {
        assert!(done.iter().any(|deed| deed == told), "{told} is in the audit: {done:?}");
    }
    for kind in done.iter().filter_map(|deed| deed.split_whitespace().next()) {
        assert!(AUDIT_PROTO.contains(&format!("`{kind}`")), "{kind} is not told in audit.proto");
    }
    assert!(secrets.len() > 8 && secrets.iter().all(|secret| secret.len() > 8), "there are secrets");
    for entry in &entries {
        for secret in secrets.iter().map(String::as_str).chain(["$argon2", "pst_", "pss_"]) {
            assert!(!entry.contains(secret), "{secret} is in the audit: {entry}");
        }
    }
    Ok(())
}
