//! Bad input over every text of every call that people and their tools make: a clear INVALID_ARGUMENT that names the field and says
//! why, nothing stored, and the service lives on.
//!
//! Each call has a request that is good. The test puts each bad text into each of its texts in turn, by the compiled
//! descriptors; at the end the good request itself is done, so that it was the bad text that was refused. A call without a
//! good request (`good_requests`), or a text that can be set and no good request has, fails the test.

mod bad_texts;
mod calls;
mod good_requests;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use postern_mesh::access::{self, Area, Shape};
use postern_tests::{
    admin::Admin,
    dns::World,
    platform::{Blueprint, Platform},
};
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use tonic::{Code, Status};

use self::{
    bad_texts::{bad_texts, is_good_all_the_same},
    calls::{Call, leaves, path_of, with},
    good_requests::{OF_NOTHING, good_requests},
};

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
