//! What lets somebody in beside the password of a mailbox: API tokens, sessions of people, app passwords. Each is good for what it
//! says, and ends at once when it is told to, or when what it rests on ends. And the limits of a customer, also when many ask at once.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::future::join_all;
use postern_mail::Reason;
use postern_mesh::{
    client::MeshChannel,
    failure,
    identity::{Caller, Role},
};
use postern_proto::{
    account::v1::{
        AppProtocol, CreateAppPasswordRequest, CreateForwardRequest, CreateMailboxRequest, CustomerLimits,
        DeleteAppPasswordRequest, Forward, GetLimitsRequest, GetMailboxRequest, Limits, ListMailboxesRequest,
        NewPassword, SetCustomerPasswordRequest, UpdateLimitsRequest,
        app_password_service_client::AppPasswordServiceClient,
        customer_service_client::CustomerServiceClient, limits_service_client::LimitsServiceClient,
        mailbox_service_client::MailboxServiceClient, new_password::Secret,
    },
    auth::v1::{
        CreatePanelSessionRequest, DeletePanelSessionRequest, ExchangeTokenRequest, PanelSession,
        login_service_client::LoginServiceClient, panel_session_service_client::PanelSessionServiceClient,
    },
};
use postern_tests::{
    admin::{Admin, PASSWORD},
    eventually,
    platform::{Blueprint, Platform},
    pop3::Pop3,
    smtp::{self, Smtp, message},
};
use tonic::Status;

const AUTH: &str = "/postern.auth.";
const ACCOUNT: &str = "/postern.account.";
/// A change is acted upon by every part within a second.
const AT_ONCE: Duration = Duration::from_secs(1);

async fn house() -> anyhow::Result<(Platform, Admin)> {
    let platform = Blueprint::new().start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox("user@homepage.test").await?;
    admin.domain("rival", "rival.test").await?;
    Ok((platform, admin))
}

fn reason<T: std::fmt::Debug>(answer: Result<T, Status>) -> Option<Reason> {
    failure::typed_reason(&answer.err()?)
}

/// The way to account that this token opens now.
async fn exchanged(admin: &Admin, token: &str) -> Result<MeshChannel, Status> {
    let request = ExchangeTokenRequest { token: token.to_owned() };
    let answer = LoginServiceClient::new(admin.channel_as(AUTH, None)).exchange_token(request).await?;
    Ok(admin.channel_with(ACCOUNT, answer.into_inner().assertion))
}

async fn boxes_of(channel: MeshChannel, domain: &str) -> Result<usize, Status> {
    let request = ListMailboxesRequest { domain: domain.to_owned(), ..Default::default() };
    Ok(MailboxServiceClient::new(channel).list_mailboxes(request).await?.into_inner().mailboxes.len())
}

async fn add_box(channel: MeshChannel, address: &str) -> Result<(), Status> {
    let password = Some(NewPassword { secret: Some(Secret::Plain(PASSWORD.to_owned())) });
    let request = CreateMailboxRequest { address: address.to_owned(), password, ..Default::default() };
    let mut client = MailboxServiceClient::new(channel);
    loop {
        let made = client.create_mailbox(request.clone()).await.map(|_| ());
        // Passwords are hashed a few at a time: who hears that there are too many asks again.
        if !matches!(&made, Err(status) if failure::typed_reason(status) == Some(Reason::Overloaded)) {
            return made;
        }
    }
}

/// Runs the command as its own user would, with `POSTERN_API_TOKEN`.
async fn with_token(platform: &Platform, token: &str, arguments: &[&str]) -> anyhow::Result<(i32, String)> {
    let (code, out, error) = platform.postern_with(&[("POSTERN_API_TOKEN", token)], arguments, "").await?;
    Ok((code, format!("{out}{error}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_token_does_what_it_says_until_it_ends() -> anyhow::Result<()> {
    let (platform, admin) = house().await?;
    let add = |more: &'static [&'static str]| {
        let platform = &platform;
        async move {
            let fixed = ["token", "add", "--role", "customer", "--customer", "homepage", "--name", "tool"];
            let arguments: Vec<_> = fixed.iter().chain(more).copied().collect();
            let (code, out, error) = platform.postern(&arguments, "").await?;
            anyhow::ensure!(code == 0, "{out}{error}");
            let secret = out.split_whitespace().find(|word| word.starts_with("pst_"));
            Ok::<_, anyhow::Error>(secret.unwrap_or_default().to_owned())
        }
    };
    let reading = add(&["--scope", "mailboxes:read"]).await?;
    let (code, told) = with_token(&platform, &reading, &["account", "list", "homepage.test"]).await?;
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("user@homepage.test"), "{told}");
    for (arguments, what) in [
        (&["account", "suspend", "user@homepage.test"][..], "it may not write"),
        (&["forward", "list", "homepage.test"], "another area"),
        (&["account", "list", "rival.test"], "another customer"),
        (&["customer", "list"], "an operator's"),
    ] {
        let (code, told) = with_token(&platform, &reading, arguments).await?;
        assert_eq!(code, 1, "{what}: {told}");
    }
    // A secret is whole or nothing, and one token's secret opens no other.
    let writing = add(&["--scope", "*:write", "--expires", "3600s"]).await?;
    let parts: Vec<_> = reading.splitn(3, '_').collect();
    let other_secret = writing.splitn(3, '_').last().unwrap_or_default();
    let exchanged_secret = format!("pst_{}_{other_secret}", parts[1]);
    for forged in [&reading[..reading.len() - 1], &exchanged_secret, "pst_1_", "pst_0_x"] {
        assert_eq!(reason(exchanged(&admin, forged).await), Some(Reason::CallerUnknown), "{forged}");
    }
    add_box(exchanged(&admin, &writing).await?, "made@homepage.test").await?;
    let foreign = add_box(exchanged(&admin, &writing).await?, "made@rival.test").await;
    assert_eq!(reason(foreign), Some(Reason::NotFound));

    // It ends when it is revoked, and with the time it was given.
    let (code, out, error) = platform.postern(&["token", "revoke", parts[1]], "").await?;
    assert_eq!(code, 0, "{out}{error}");
    assert_eq!(reason(exchanged(&admin, &reading).await), Some(Reason::CallerUnknown));
    let (code, told) = with_token(&platform, &reading, &["account", "list", "homepage.test"]).await?;
    assert_eq!(code, 1, "{told}");
    let short = add(&["--scope", "*:read", "--expires", "2s"]).await?;
    exchanged(&admin, &short).await?;
    let ended = eventually(Duration::from_secs(10), async || exchanged(&admin, &short).await.is_err());
    assert!(ended.await, "it outlived its time");
    // And with its customer.
    let (code, out, error) = platform.postern(&["customer", "suspend", "homepage"], "").await?;
    assert_eq!(code, 0, "{out}{error}");
    assert_eq!(reason(exchanged(&admin, &writing).await), Some(Reason::CallerUnknown));
    Ok(())
}

async fn log_in(admin: &Admin, login: &str, password: &str) -> Result<(String, PanelSession), Status> {
    let request = CreatePanelSessionRequest {
        login: login.to_owned(),
        password: password.as_bytes().to_vec().into(),
        peer_ip: "203.0.113.9".to_owned(),
        ..Default::default()
    };
    let panel = Caller::new("control-panel", Role::Service);
    let channel = admin.channel_as(AUTH, Some(&panel));
    let answer = PanelSessionServiceClient::new(channel).create_panel_session(request).await?.into_inner();
    Ok((answer.token, answer.session.unwrap_or_default()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_a_person_ends_with_what_it_rests_on() -> anyhow::Result<()> {
    let (platform, admin) = house().await?;
    for (login, password) in [("homepage", "wrong"), ("nobody", PASSWORD), ("", PASSWORD), ("homepage", "")] {
        let refused = log_in(&admin, login, password).await;
        assert_eq!(reason(refused), Some(Reason::BadCredentials), "{login} {password}");
    }
    // A customer acts for all that is its own, a mailbox user for the one box.
    let (token, session) = log_in(&admin, "HomePage", PASSWORD).await?;
    assert_eq!((session.customer.as_str(), session.mailbox_id), ("homepage", 0));
    add_box(exchanged(&admin, &token).await?, "new@homepage.test").await?;
    let foreign = boxes_of(exchanged(&admin, &token).await?, "rival.test").await;
    assert_eq!(reason(foreign), Some(Reason::NotFound));
    let (user_token, session) = log_in(&admin, "user@homepage.test", PASSWORD).await?;
    assert!(session.mailbox_id > 0);
    let own = GetMailboxRequest { address: "user@homepage.test".to_owned() };
    let user = MailboxServiceClient::new(exchanged(&admin, &user_token).await?).get_mailbox(own).await?;
    assert_eq!(user.into_inner().mailbox.map(|m| m.mailbox_id), Some(session.mailbox_id));
    let more = add_box(exchanged(&admin, &user_token).await?, "more@homepage.test").await;
    assert_eq!(reason(more), Some(Reason::CallerNotPermitted));

    // Signed out: that session only.
    let (second, _) = log_in(&admin, "homepage", PASSWORD).await?;
    let sessions = || PanelSessionServiceClient::new(admin.channel_as(AUTH, None));
    sessions().delete_panel_session(DeletePanelSessionRequest { token: second.clone() }).await?;
    assert_eq!(reason(exchanged(&admin, &second).await), Some(Reason::CallerUnknown));
    let again = sessions().delete_panel_session(DeletePanelSessionRequest { token: second }).await;
    assert_eq!(reason(again), Some(Reason::NotFound));
    exchanged(&admin, &token).await?;

    // A new password ends all that the old one opened; of the mailbox too.
    let request = SetCustomerPasswordRequest {
        login: "homepage".to_owned(),
        password: Some(NewPassword { secret: Some(Secret::Plain("another horse".to_owned())) }),
    };
    CustomerServiceClient::new(admin.account_channel()).set_customer_password(request).await?;
    assert_eq!(reason(exchanged(&admin, &token).await), Some(Reason::CallerUnknown));
    exchanged(&admin, &user_token).await?;
    admin.set_password("user@homepage.test", "another horse").await?;
    assert_eq!(reason(exchanged(&admin, &user_token).await), Some(Reason::CallerUnknown));
    // Suspension is told to who has the right password, and ends what is open.
    let (token, _) = log_in(&admin, "user@homepage.test", "another horse").await?;
    admin.suspend("user@homepage.test", true).await?;
    assert_eq!(reason(exchanged(&admin, &token).await), Some(Reason::CallerUnknown));
    let refused = log_in(&admin, "user@homepage.test", "another horse").await;
    assert_eq!(reason(refused), Some(Reason::AccountSuspended));
    drop(platform);
    Ok(())
}

async fn smtp_auth(platform: &Platform, login: &str, password: &str) -> anyhow::Result<String> {
    let mut client = Smtp::hello(platform.submission(0)).await?;
    let response = STANDARD.encode(format!("\0{login}\0{password}"));
    client.command(&format!("AUTH PLAIN {response}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_password_opens_one_door_until_it_is_removed() -> anyhow::Result<()> {
    let (platform, admin) = house().await?;
    let login = "user@homepage.test";
    let mailbox = admin.get_mailbox(login).await?.mailbox_id;
    let owner = Caller::mailbox(login, "homepage", mailbox);
    let mut client = AppPasswordServiceClient::new(admin.channel_as(ACCOUNT, Some(&owner)));
    let mut made = Vec::new();
    for protocol in [AppProtocol::Pop3, AppProtocol::Smtp] {
        let request = CreateAppPasswordRequest {
            mailbox: login.to_owned(),
            protocol: protocol.into(),
            display_name: "telephone".to_owned(),
        };
        let answer = client.create_app_password(request).await?.into_inner();
        made.push((answer.app_password.unwrap_or_default().app_password_id, answer.secret));
    }
    let [(pop3_id, pop3), (_, smtp)] = &made[..] else { anyhow::bail!("two were made: {made:?}") };
    // Typed with its hyphens or without.
    for typed in [pop3.clone(), pop3.replace('-', "")] {
        let opened = eventually(AT_ONCE, async || {
            let Ok(mut session) = Pop3::login(platform.pop3(0), login, &typed).await else { return false };
            session.ok("QUIT").await.is_ok()
        });
        assert!(opened.await, "POP3 by app password");
    }
    assert!(smtp_auth(&platform, login, smtp).await?.starts_with("235 2.7.0 "));
    // Each for its own protocol, and none for the panel.
    assert!(smtp_auth(&platform, login, pop3).await?.starts_with("535 5.7.8 "));
    let refused = Pop3::login(platform.pop3(0), login, smtp).await.err().map(|e| e.to_string());
    assert!(refused.is_some_and(|told| told.contains("[AUTH]")));
    assert_eq!(reason(log_in(&admin, login, pop3).await), Some(Reason::BadCredentials));
    // Removed: shut at once, the others and the password stay.
    let request = DeleteAppPasswordRequest { mailbox: login.to_owned(), app_password_id: *pop3_id };
    client.delete_app_password(request).await?;
    let shut = eventually(AT_ONCE, async || Pop3::login(platform.pop3(0), login, pop3).await.is_err()).await;
    assert!(shut, "a removed app password opens the box");
    assert!(smtp_auth(&platform, login, smtp).await?.starts_with("235 "));
    Pop3::login(platform.pop3(0), login, PASSWORD).await?.ok("QUIT").await?;
    Ok(())
}

async fn limit(admin: &Admin, limits: Limits) -> anyhow::Result<()> {
    let mut client = LimitsServiceClient::new(admin.account_channel());
    let limits =
        Some(CustomerLimits { customer: "homepage".to_owned(), limits: Some(limits), ..Default::default() });
    client.update_limits(UpdateLimitsRequest { limits }).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_exactly_also_when_many_ask_at_once() -> anyhow::Result<()> {
    let (platform, admin) = house().await?;
    limit(&admin, Limits { mailboxes: Some(5), forwards: Some(3), ..Default::default() }).await?;
    let owner = Caller::customer("homepage", "homepage");
    let made = (0..16).map(|n| {
        let channel = admin.channel_as(ACCOUNT, Some(&owner));
        async move { add_box(channel, &format!("many{n}@homepage.test")).await }
    });
    let answers = join_all(made).await;
    let refused: Vec<_> = answers.into_iter().filter_map(reason::<()>).collect();
    assert_eq!(refused, vec![Reason::LimitReached; 12], "one was there, five may be");
    let shown = boxes_of(admin.account_channel(), "homepage.test").await?;
    assert_eq!(shown, 6, "these five and the default box, which is not counted");
    let forwards = (0..16).map(|n| {
        let mut client = admin.forwards();
        let forward = Forward {
            address: format!("f{n}@homepage.test"),
            targets: vec!["user@homepage.test".to_owned()],
            ..Default::default()
        };
        let request = CreateForwardRequest { forward: Some(forward), ..Default::default() };
        async move { client.create_forward(request).await.map(|_| ()) }
    });
    let good = join_all(forwards).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(good, 3);
    let request = GetLimitsRequest { customer: "homepage".to_owned() };
    let answer = LimitsServiceClient::new(admin.account_channel()).get_limits(request).await?.into_inner();
    let usage = answer.limits.and_then(|limits| limits.usage).unwrap_or_default();
    assert_eq!((usage.mailboxes, usage.forwards), (5, 3), "the counts are those of what there is");
    drop(platform);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_sends_so_much_an_hour_over_all_its_boxes() -> anyhow::Result<()> {
    let (platform, admin) = house().await?;
    limit(&admin, Limits { messages_per_hour: Some(3), ..Default::default() }).await?;
    let boxes = ["user@homepage.test", "many@homepage.test"];
    admin.mailbox(boxes[1]).await?;
    for login in boxes {
        Pop3::login(platform.pop3(0), login, PASSWORD).await?.ok("QUIT").await?;
    }
    let mut replies = Vec::new();
    for (n, from) in boxes.iter().cycle().take(5).enumerate() {
        let letter = message(&format!("budget{n}"), 500);
        replies.push(smtp::send(platform.smtp(0), from, &["far@outside.test"], &letter).await?);
    }
    let codes: Vec<_> = replies.iter().map(|reply| &reply[..3]).collect();
    assert_eq!(codes, ["250", "250", "250", "452", "452"], "{replies:?}");
    assert!(replies[3].starts_with("452 4.7.1 "), "{replies:?}");
    // Mail to boxes here is not counted.
    let local = smtp::send(platform.smtp(0), boxes[0], &[boxes[1]], &message("local", 500)).await?;
    assert!(local.starts_with("250 "), "{local}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_comes_back_by_its_audit_entry() -> anyhow::Result<()> {
    let (platform, admin) = house().await?;
    admin.forward("sales@homepage.test", &["user@homepage.test", "far@outside.test"], false).await?;
    admin.remove_forward("sales@homepage.test").await?;
    let list = ["audit", "list", "--kind", "forward", "--action", "delete", "--json"];
    let (code, out, error) = platform.postern(&list, "").await?;
    assert_eq!(code, 0, "{out}{error}");
    let answer: serde_json::Value = serde_json::from_str(&out)?;
    let id = answer["entries"][0]["auditId"].as_str().unwrap_or_default().to_owned();
    let (code, out, error) = platform.postern(&["audit", "restore", &id], "").await?;
    assert_eq!(code, 0, "{out}{error}");
    let (_, out, _) = platform.postern(&["forward", "list", "homepage.test"], "").await?;
    assert!(out.contains("sales@homepage.test") && out.contains("far@outside.test"), "{out}");
    let reply =
        smtp::send(platform.smtp(0), "a@outside.test", &["sales@homepage.test"], &message("restored", 500))
            .await?;
    assert!(reply.starts_with("250 "), "{reply}");
    let mailbox = admin.get_mailbox("user@homepage.test").await?.mailbox_id;
    let arrived = eventually(Duration::from_secs(10), async || {
        admin.message_count(mailbox).await.is_ok_and(|count| count == 1)
    });
    assert!(arrived.await, "mail takes the restored way");
    // There is nothing left to bring back.
    let (code, out, error) = platform.postern(&["audit", "restore", &id], "").await?;
    assert_eq!(code, 1, "{out}{error}");
    Ok(())
}
