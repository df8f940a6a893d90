//! The house in which everything is tried, and what the rival has in it.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use postern_mesh::{
    client::MeshChannel,
    identity::{Caller, Role},
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

use super::{secrets::CANARY, things::Things};

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

pub(super) struct House {
    /// Its services end with it.
    _platform: Platform,
    pub(super) admin: Admin,
    pub(super) database: PgPool,
    pub(super) pool: DescriptorPool,
    _world: World,
    pub(super) rival: Things,
    /// Holds the rival's box.
    _session: Pop3,
    /// Secrets that were answered to who made them.
    pub(super) secrets: Vec<String>,
}

impl House {
    /// With two customers, one of which has one of everything.
    pub(super) async fn open() -> anyhow::Result<Self> {
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
        let mut house = Self {
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

    fn descriptor(&self, path: &str) -> anyhow::Result<MethodDescriptor> {
        let (service, name) = path.trim_start_matches('/').split_once('/').context("a path")?;
        let service = self.pool.get_service_by_name(service).with_context(|| path.to_owned())?;
        service.methods().find(|method| method.name() == name).with_context(|| path.to_owned())
    }

    /// The answer as JSON, or the refusal.
    pub(super) async fn ask(
        &self,
        caller: Option<&Caller>,
        path: &str,
        request: &Value,
    ) -> anyhow::Result<Result<Value, tonic::Status>> {
        self.send(self.admin.channel_as(path, caller), path, request).await
    }

    pub(super) async fn send(
        &self,
        channel: MeshChannel,
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
    pub(super) async fn operate(&self, method: &str, request: Value) -> anyhow::Result<Value> {
        let operator = Caller::new("tests", Role::Operator);
        let answer = self.ask(Some(&operator), &format!("/postern.{method}"), &request).await?;
        answer.with_context(|| format!("{method} {request}"))
    }

    /// A digest of every row that the services keep, without what moves by itself.
    pub(super) async fn state(&self) -> anyhow::Result<Vec<(String, String)>> {
        let tables: Vec<String> = sqlx::query_scalar(
            "select table_schema || '.' || table_name from information_schema.tables
              where table_schema in ('account', 'mail') and table_name not in ('requests', 'box_usage', 'box_usage_days', 'traffic')
                and table_type = 'BASE TABLE' order by 1",
        )
        .fetch_all(&self.database)
        .await?;
        let mut digests = Vec::new();
        for table in tables {
            let row = "(to_jsonb(t) - array['last_use_time', 'check_time', 'next_check_time', 'reported_version'])::text";
            let query =
                format!("select md5(coalesce(string_agg({row}, '|' order by {row}), '')) from {table} t");
            digests.push((table, sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&self.database).await?));
        }
        Ok(digests)
    }

    /// What is not in tables: who holds the rival's box, and who may send by having checked it.
    pub(super) async fn held(&self) -> anyhow::Result<(Value, Value)> {
        let mut lock = self
            .operate("delivery.v1.LockService/GetLock", json!({"mailboxId": self.rival.get("box_id")}))
            .await?;
        if let Some(lock) = lock["lock"].as_object_mut() {
            lock.remove("remainingSeconds");
        }
        let grants = self
            .operate("auth.v1.RelayService/ListGrants", json!({"login": self.rival.get("address")}))
            .await?;
        Ok((lock, grants))
    }
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
