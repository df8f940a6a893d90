//! Sending budgets: what the client is told when one is used up, and that the owner of the box reads of it, once in an hour.

use std::time::Duration;

use postern_proto::account::v1::{ListAuditEntriesRequest, audit_service_client::AuditServiceClient};
use postern_tests::{admin::PASSWORD, eventually, platform::Blueprint, pop3::Pop3, smtp::Smtp};

#[tokio::test(flavor = "multi_thread")]
async fn a_used_up_budget_names_its_hour_and_tells_the_owner_once() -> anyhow::Result<()> {
    let platform = Blueprint::new().set("POSTERN_LIMIT_RECIPIENTS_PER_HOUR_MAILBOX", "2").start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox("user@homepage.test").await?;
    Pop3::login(platform.pop3(0), "user@homepage.test", PASSWORD).await?.quit().await?;

    let mut client = Smtp::hello(platform.smtp(0)).await?;
    client.expect("MAIL FROM:<user@homepage.test>", 250).await?;
    let mut refusals = Vec::new();
    // An hour may end meanwhile: two more are allowed then.
    for number in 0..8 {
        let reply = client.command(&format!("RCPT TO:<you{number}@outside.test>")).await?;
        if !reply.starts_with("250 ") {
            refusals.push(reply);
        }
    }
    anyhow::ensure!(refusals.len() >= 4, "{refusals:?}");
    for reply in &refusals {
        let hour = reply
            .strip_prefix("452 4.7.1 sending limit reached, please try again later: it frees at ")
            .and_then(|rest| rest.strip_suffix(":00 UTC"));
        assert!(hour.is_some_and(|hour| hour.parse::<u8>().is_ok_and(|hour| hour < 24)), "{reply}");
    }
    // Mail to local boxes needs no budget.
    client.expect("RCPT TO:<user@homepage.test>", 250).await?;

    let entries = async || -> anyhow::Result<Vec<String>> {
        let request = ListAuditEntriesRequest {
            customer: "homepage".to_owned(),
            kind: "sending-limit".to_owned(),
            ..Default::default()
        };
        let answer = AuditServiceClient::new(admin.account_channel()).list_audit_entries(request).await?;
        let told =
            |e: postern_proto::account::v1::AuditEntry| format!("{} {} {}", e.name, e.action, e.after_json);
        Ok(answer.into_inner().entries.into_iter().map(told).collect())
    };
    let told = eventually(Duration::from_secs(20), async || entries().await.is_ok_and(|all| !all.is_empty()));
    assert!(told.await, "the owner is told");
    let all = entries().await?;
    assert!(all.len() <= 2 && all[0].starts_with("user@homepage.test reached "), "{all:?}");
    assert!(all[0].contains("\"mailbox\""), "{all:?}");
    Ok(())
}
