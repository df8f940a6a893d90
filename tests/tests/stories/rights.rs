//! Who may do what: every RPC of the descriptors is called by every kind of caller against the real services.
//!
//! The access table says who may call at all. Whoever may, and names another customer's thing, gets the answer for a thing that
//! does not exist, to the letter; nothing changes by it. The owner's same calls all succeed, so that the refusals mean
//! something. What was done then is in the audit, and no secret with it.

mod house;
mod persons;
mod secrets;
mod things;
mod trials;

use std::{collections::BTreeSet, time::Duration};

use anyhow::Context as _;
use postern_mail::Reason;
use postern_mesh::{
    access, failure,
    identity::{Caller, MeshKey, Role, Scopes},
};
use postern_tests::eventually;
use prost_reflect::DescriptorPool;
use serde_json::{Value, json};

use self::{
    house::House,
    persons::{Person, persons},
    things::{Things, absent},
    trials::{CHANGED_BY_MAILBOX_USERS, CHANGED_BY_SUPPORT, Trial, Whose, trials},
};

const API_TOKEN_PROTO: &str = include_str!("../../../proto/postern/account/v1/api_token.proto");

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
    let mut house = House::open().await?;
    let trials = trials();
    assert_every_rpc_is_tried(&house.pool, &trials);
    let settled = eventually(Duration::from_secs(30), async || {
        let moving = "select count(*) from mail.queue where state <> 3";
        sqlx::query_scalar::<_, i64>(moving).fetch_one(&house.database).await.is_ok_and(|count| count == 0)
    });
    assert!(settled.await, "what was sent has left");

    let (before, held_before) = (house.state().await?, house.held().await?);
    let mut wrong = strangers(&house, &trials).await?;
    wrong.extend(staff_and_forgers(&house, &trials).await?);
    assert_eq!(house.held().await?, held_before, "the lock and the grant of the rival");
    let after = house.state().await?;
    let changed: Vec<_> = before.iter().zip(&after).filter(|(a, b)| a != b).map(|(a, _)| &a.0).collect();
    assert!(changed.is_empty(), "changed by calls that may change nothing: {changed:?}");
    assert!(wrong.is_empty(), "{} wrong answers:\n{}", wrong.len(), wrong.join("\n"));

    let mut hashes = secrets::hashes(&house.database).await?;
    let failed = owners(&mut house, &trials).await?;
    assert!(failed.is_empty(), "the owner was refused:\n{}", failed.join("\n"));
    let factor = json!({"login": house.rival.get("spare")});
    house.operate("account.v1.SecondFactorService/DeleteSecondFactor", factor).await?;
    let refused = admitted_staff(&house, &trials).await?;
    assert!(refused.is_empty(), "staff was refused:\n{}", refused.join("\n"));
    hashes.extend(secrets::hashes(&house.database).await?);
    let known = [house.secrets.clone(), hashes].concat();
    secrets::are_in_no_audit(&house.database, &known).await
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
