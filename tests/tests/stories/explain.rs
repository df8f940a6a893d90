//! Explanations: each of the four troubles of mail users is made for real, and what `ExplainService` says a gateway answers is
//! what the gateway answered, to the letter.

use std::time::Duration;

use postern_proto::{
    account::v1::{DefaultAction, DomainState, MailingList},
    auth::v1::{
        ExplainLoginRequest, ExplainRecipientRequest, ExplainSendRequest, ExplainSendResponse, Explanation,
        Verdict,
    },
};
use postern_tests::{
    admin::{Admin, PASSWORD},
    dns::{World, address, mx},
    eventually,
    platform::{Blueprint, Platform},
    pop3::Pop3,
    smtp::{self, Smtp, message},
};

const BOX: &str = "user@homepage.test";
const OUTSIDE: &str = "you@outside.test";
const HERE: &str = "127.0.0.1";

/// The answer of this command in an explanation.
fn said(explanation: &Explanation, command: &str) -> String {
    let answer = explanation.wire_answers.iter().find(|answer| answer.command == command);
    answer.unwrap_or_else(|| panic!("no answer to {command} in {explanation:#?}")).answer.clone()
}

/// The rule that ended the way.
fn decided_by(explanation: &Explanation) -> &str {
    explanation.rules.iter().find(|rule| !rule.passed).map_or("", |rule| rule.name.as_str())
}

async fn explain_login(admin: &Admin, login: &str, peer: &str) -> anyhow::Result<Explanation> {
    let request =
        ExplainLoginRequest { login: login.to_owned(), peer_ip: peer.to_owned(), clear_text: false };
    Ok(admin.explain().explain_login(request).await?.into_inner().explanation.unwrap_or_default())
}

async fn explain_send(
    admin: &Admin,
    from: &str,
    to: &str,
    peer: &str,
    login: &str,
) -> anyhow::Result<ExplainSendResponse> {
    let request = ExplainSendRequest {
        sender: from.to_owned(),
        recipient: to.to_owned(),
        peer_ip: peer.to_owned(),
        login: login.to_owned(),
        clear_text: false,
    };
    Ok(admin.explain().explain_send(request).await?.into_inner())
}

/// What PASS really hears.
async fn pass(platform: &Platform, login: &str, password: &str) -> anyhow::Result<String> {
    let mut client = Pop3::connect(platform.pop3(0)).await?;
    client.ok(&format!("USER {login}")).await?;
    client.command(&format!("PASS {password}")).await
}

/// What AUTH really hears.
async fn auth(platform: &Platform, login: &str, password: &str) -> anyhow::Result<String> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let mut client = Smtp::hello(platform.submission(0)).await?;
    client.command(&format!("AUTH PLAIN {}", STANDARD.encode(format!("\0{login}\0{password}")))).await
}

/// What RCPT really hears on the MX port.
async fn rcpt(platform: &Platform, from: &str, to: &str, client: &str) -> anyhow::Result<String> {
    let mut session = Smtp::connect_from(platform.smtp(0), client).await?;
    session.expect("EHLO client.test", 250).await?;
    session.expect(&format!("MAIL FROM:<{from}>"), 250).await?;
    session.command(&format!("RCPT TO:<{to}>")).await
}

/// What MAIL really hears on the submission port.
async fn mail(platform: &Platform, from: &str, client: &str) -> anyhow::Result<String> {
    let mut session = Smtp::connect_from(platform.submission(0), client).await?;
    session.expect("EHLO client.test", 250).await?;
    session.command(&format!("MAIL FROM:<{from}>")).await
}

async fn house() -> anyhow::Result<(Platform, Admin)> {
    let platform = Blueprint::new().set("POSTERN_LIMIT_FAILED_LOGINS_ACCOUNT", "3").start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox(BOX).await?;
    Ok((platform, admin))
}

#[tokio::test(flavor = "multi_thread")]
async fn any_username_and_password_error() -> anyhow::Result<()> {
    let (platform, admin) = house().await?;
    admin.forward("alias@homepage.test", &[BOX], false).await?;

    // It works: nothing is said of the password.
    let explained = explain_login(&admin, BOX, HERE).await?;
    assert_eq!(explained.verdict(), Verdict::Works, "{explained:#?}");
    assert_eq!(said(&explained, "SMTP AUTH"), auth(&platform, BOX, PASSWORD).await?);

    // Unknown: each with its own hint, all with the same wire answer.
    for (login, rule, hint) in [
        ("nobody@homepage.test", "login-known", "Check the part before the @"),
        ("user@homepgae.test", "login-known", "Check how homepgae.test is spelled"),
        ("user", "login-known", "logs in with its whole address"),
        ("alias@homepage.test", "login-known", "A forward has no box"),
        ("john.smith", "login-form", "the whole address"),
        ("us er", "login-form", "the whole address"),
    ] {
        let explained = explain_login(&admin, login, HERE).await?;
        assert_eq!((explained.verdict(), decided_by(&explained)), (Verdict::Refused, rule), "{login}");
        assert!(explained.next_step.contains(hint), "{login}: {explained:#?}");
        assert_eq!(said(&explained, "POP3 PASS"), pass(&platform, login, PASSWORD).await?, "{login}");
        assert_eq!(said(&explained, "SMTP AUTH"), auth(&platform, login, PASSWORD).await?, "{login}");
    }

    // Its domain is not in service.
    admin.domain_state("homepage.test", DomainState::Pending).await?;
    let refused = eventually(Duration::from_secs(2), async || {
        pass(&platform, BOX, PASSWORD).await.is_ok_and(|r| r.starts_with("-ERR"))
    })
    .await;
    assert!(refused);
    let explained = explain_login(&admin, BOX, HERE).await?;
    assert_eq!((explained.verdict(), decided_by(&explained)), (Verdict::Refused, "domain-live"));
    assert_eq!(said(&explained, "POP3 PASS"), pass(&platform, BOX, PASSWORD).await?);
    admin.domain_state("homepage.test", DomainState::Live).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn suspended_and_too_many_wrong_passwords() -> anyhow::Result<()> {
    let (platform, admin) = house().await?;
    admin.suspend(BOX, true).await?;
    let refused = eventually(Duration::from_secs(2), async || {
        pass(&platform, BOX, PASSWORD).await.is_ok_and(|r| r.starts_with("-ERR"))
    })
    .await;
    assert!(refused);
    let explained = explain_login(&admin, BOX, HERE).await?;
    assert_eq!((explained.verdict(), decided_by(&explained)), (Verdict::Refused, "not-suspended"));
    let heard = pass(&platform, BOX, PASSWORD).await?;
    assert!(heard.starts_with("-ERR [SYS/PERM] disconnected by administrator"), "{heard}");
    assert_eq!(said(&explained, "POP3 PASS"), heard);
    assert_eq!(said(&explained, "SMTP AUTH"), auth(&platform, BOX, PASSWORD).await?);
    admin.suspend(BOX, false).await?;

    // Too many wrong passwords, until the platform asks to wait.
    let other = "other@homepage.test";
    admin.mailbox(other).await?;
    let throttled = eventually(Duration::from_secs(10), async || {
        pass(&platform, other, "wrong password").await.is_ok_and(|reply| reply.contains("[LOGIN-DELAY]"))
    })
    .await;
    assert!(throttled);
    let explained = explain_login(&admin, other, HERE).await?;
    assert_eq!((explained.verdict(), decided_by(&explained)), (Verdict::Later, "may-try-now"));
    assert!(explained.next_step.starts_with("Wait "), "{explained:#?}");
    assert_eq!(said(&explained, "POP3 PASS"), pass(&platform, other, PASSWORD).await?);
    assert_eq!(said(&explained, "SMTP AUTH"), auth(&platform, other, PASSWORD).await?);
    // Asking does not count: it can be asked any number of times without making it worse.
    let before = explained.rules.clone();
    for _ in 0..5 {
        assert_eq!(explain_login(&admin, other, HERE).await?.rules, before);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn cannot_lock_account() -> anyhow::Result<()> {
    let (platform, admin) = house().await?;
    let holder = Pop3::login(platform.pop3(0), BOX, PASSWORD).await?;
    // The answer names the minute: both must be asked within one.
    let explained = explain_login(&admin, BOX, "").await?;
    let heard = pass(&platform, BOX, PASSWORD).await?;
    assert!(heard.starts_with("-ERR [IN-USE] can't lock account: in use since "), "{heard}");
    assert_eq!(said(&explained, "POP3 PASS"), heard);
    assert_eq!((explained.verdict(), decided_by(&explained)), (Verdict::Later, "lock-free"));
    assert!(explained.next_step.contains("postern lock release"), "{explained:#?}");
    holder.quit().await?;
    assert_eq!(explain_login(&admin, BOX, "").await?.verdict(), Verdict::Works);

    // The command prints it, and exits 0 whatever the verdict.
    let (code, out, error) = platform.postern(&["explain", "login", "nobody@homepage.test"], "").await?;
    assert_eq!(code, 0, "{error}");
    assert!(out.starts_with("It does not work: there is no such login"), "{out}");
    assert!(out.contains("POP3 PASS: -ERR [AUTH] login or password is wrong"), "{out}");
    let (code, out, _) = platform.postern(&["explain", "login", BOX, "--json"], "").await?;
    assert_eq!(code, 0);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&out)?["explanation"]["verdict"], "VERDICT_WORKS");
    let (code, _, error) = platform.postern(&["explain", "login", BOX, "--ip", "here"], "").await?;
    assert!(code == 1 && error.contains("peer_ip"), "{code} {error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn cannot_send_mail() -> anyhow::Result<()> {
    let (platform, admin) = house().await?;
    admin.domain("rival", "rival.test").await?;
    admin.default_address("homepage.test", DefaultAction::Reject, "").await?;

    // Has not checked mail.
    for from in [BOX, "me@elsewhere.test", ""] {
        let explained = explain_send(&admin, from, OUTSIDE, HERE, "").await?.explanation.unwrap_or_default();
        assert_eq!((explained.verdict(), decided_by(&explained)), (Verdict::Refused, "may-relay"), "{from}");
        assert_eq!(said(&explained, "SMTP RCPT"), rcpt(&platform, from, OUTSIDE, HERE).await?, "{from}");
        assert_eq!(said(&explained, "SMTP MAIL (submission)"), mail(&platform, from, HERE).await?, "{from}");
    }
    // For a recipient here nobody needs that.
    let explained = explain_send(&admin, "a@b.test", BOX, HERE, "").await?.explanation.unwrap_or_default();
    assert_eq!(explained.verdict(), Verdict::Works, "{explained:#?}");
    assert_eq!(said(&explained, "SMTP RCPT"), rcpt(&platform, "a@b.test", BOX, HERE).await?);
    let explained = explain_send(&admin, "a@b.test", "none@homepage.test", HERE, "")
        .await?
        .explanation
        .unwrap_or_default();
    assert_eq!(decided_by(&explained), "recipient-place");
    assert_eq!(said(&explained, "SMTP RCPT"), rcpt(&platform, "a@b.test", "none@homepage.test", HERE).await?);

    // Has checked mail; another customer's sender is refused all the same.
    Pop3::login(platform.pop3(0), BOX, PASSWORD).await?.quit().await?;
    for (from, verdict) in [(BOX, Verdict::Works), ("boss@rival.test", Verdict::Refused)] {
        let explained = explain_send(&admin, from, OUTSIDE, HERE, "").await?.explanation.unwrap_or_default();
        assert_eq!(explained.verdict(), verdict, "{explained:#?}");
        assert_eq!(said(&explained, "SMTP RCPT"), rcpt(&platform, from, OUTSIDE, HERE).await?, "{from}");
        assert_eq!(said(&explained, "SMTP MAIL (submission)"), mail(&platform, from, HERE).await?, "{from}");
    }
    // With a login it works from everywhere, with a wrong one it does not.
    let explained =
        explain_send(&admin, BOX, OUTSIDE, "127.0.0.99", BOX).await?.explanation.unwrap_or_default();
    assert_eq!(explained.verdict(), Verdict::Works, "{explained:#?}");
    let explained =
        explain_send(&admin, BOX, OUTSIDE, "", "nobody@homepage.test").await?.explanation.unwrap_or_default();
    assert_eq!(decided_by(&explained), "login-known");

    // A list is answered for after the mail itself.
    let list = "staff@homepage.test";
    let staff = MailingList { address: list.to_owned(), owner: BOX.to_owned(), ..MailingList::default() };
    admin.mailing_list(staff, &["member@elsewhere.test".to_owned()]).await?;
    for (from, verdict) in [
        ("a@b.test", Verdict::Refused),
        ("Member@elsewhere.test", Verdict::Works),
        (BOX, Verdict::Works),
        ("", Verdict::Refused),
    ] {
        let explained = explain_send(&admin, from, list, HERE, "").await?.explanation.unwrap_or_default();
        assert_eq!(explained.verdict(), verdict, "{from}: {explained:#?}");
        assert_eq!(said(&explained, "SMTP RCPT"), rcpt(&platform, from, list, HERE).await?, "{from}");
        let heard = smtp::send(platform.smtp(0), from, &[list], &message("post", 500)).await?;
        match verdict {
            Verdict::Works => assert!(heard.starts_with("250"), "{from}: {heard}"),
            _ => {
                assert!(heard.starts_with("550 5.7.2 "), "{from}: {heard}");
                assert_eq!(said(&explained, "SMTP DATA"), heard, "{from}");
                assert_eq!(decided_by(&explained), "may-post", "{from}");
            }
        }
    }

    // A domain that is not in service.
    admin.domain_state("rival.test", DomainState::Pending).await?;
    let later = eventually(Duration::from_secs(2), async || {
        rcpt(&platform, "a@b.test", "boss@rival.test", "127.0.0.98").await.is_ok_and(|r| r.starts_with("450"))
    })
    .await;
    assert!(later);
    let explained = explain_send(&admin, "a@b.test", "boss@rival.test", "127.0.0.98", "")
        .await?
        .explanation
        .unwrap_or_default();
    let heard = rcpt(&platform, "a@b.test", "boss@rival.test", "127.0.0.98").await?;
    assert_eq!(said(&explained, "SMTP RCPT"), heard);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_blocks_port_25() -> anyhow::Result<()> {
    let (platform, admin) = house().await?;
    // Its POP3 arrives, its SMTP never does.
    let client = "127.0.0.44";
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(format!("{client}:0").parse()?)?;
    let _pop3 = socket.connect(platform.pop3(0)).await?;
    let seen = eventually(Duration::from_secs(5), async || {
        explain_send(&admin, BOX, OUTSIDE, client, "").await.is_ok_and(|a| a.last_pop3_time.is_some())
    })
    .await;
    assert!(seen, "gateways tell whom they have seen");
    let answer = explain_send(&admin, BOX, OUTSIDE, client, "").await?;
    assert!(answer.last_smtp_time.is_none() && answer.last_submission_time.is_none());
    let explained = answer.explanation.unwrap_or_default();
    assert!(explained.next_step.contains("your provider blocks port 25"), "{explained:#?}");
    assert!(explained.rules.iter().any(|rule| rule.name == "client-seen" && !rule.passed));

    // Once a connection arrives, by whichever port, that is not said any more.
    let _session = Smtp::connect_from(platform.submission(0), client).await?;
    let told = eventually(Duration::from_secs(5), async || {
        explain_send(&admin, BOX, OUTSIDE, client, "").await.is_ok_and(|a| a.last_submission_time.is_some())
    })
    .await;
    assert!(told);
    let explained = explain_send(&admin, BOX, OUTSIDE, client, "").await?.explanation.unwrap_or_default();
    assert!(!explained.next_step.contains("port 25"), "{explained:#?}");
    assert!(explained.next_step.contains("Check your mail at mail.homepage.test first"), "{explained:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_an_address_leads() -> anyhow::Result<()> {
    let (platform, admin) = house().await?;
    admin.forward("info@homepage.test", &["sales@homepage.test", OUTSIDE], false).await?;
    admin.forward("sales@homepage.test", &[BOX], false).await?;
    let explain = async |address: &str| {
        let request = ExplainRecipientRequest { address: address.to_owned() };
        anyhow::Ok(admin.explain().explain_recipient(request).await?.into_inner())
    };
    let answer = explain("info@homepage.test").await?;
    let id = admin.get_mailbox(BOX).await?.mailbox_id;
    assert_eq!(
        answer.path,
        [
            "info@homepage.test -> sales@homepage.test".to_owned(),
            "info@homepage.test -> you@outside.test".to_owned(),
            "sales@homepage.test -> user@homepage.test".to_owned(),
            "you@outside.test -> the outside, outside.test".to_owned(),
            format!("user@homepage.test -> mailbox {id} (user@homepage.test)"),
        ]
    );
    for address in ["info@homepage.test", "any@homepage.test", "user+tag@homepage.test", "x@elsewhere.test"] {
        let explained = explain(address).await?.explanation.unwrap_or_default();
        assert_eq!(
            said(&explained, "SMTP RCPT"),
            rcpt(&platform, "", address, "127.0.0.9").await?,
            "{address}"
        );
    }

    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn problems_resolving_your_mailhost() -> anyhow::Result<()> {
    let world = World::start().await;
    let platform = Blueprint::new()
        .set("POSTERN_RESOLVER", &world.address.to_string())
        .set("POSTERN_MAIL_HOST_ADDRESSES", "192.0.2.1")
        .set("POSTERN_DOMAIN_CHECK_SECONDS", "0")
        .start()
        .await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    let explain = async |name: &str| {
        let (code, out, error) = platform.postern(&["explain", "domain", name], "").await?;
        anyhow::ensure!(code == 0, "{name}: {code} {error}");
        anyhow::Ok(out)
    };
    world.add("homepage.test", mx("mail.postern.test"));
    let out = explain("homepage.test").await?;
    assert!(out.starts_with("It does not work: problems resolving the mail host"), "{out}");
    assert!(out.contains("set mail.homepage.test to the addresses expected"), "{out}");
    world.add("mail.homepage.test", address("192.0.2.1"));
    let out = explain("homepage.test").await?;
    assert!(out.starts_with("It works: homepage.test is in service"), "{out}");

    // Not delegated: strangers are told to come later, and that is what the explanation says, too.
    admin.domain_state("homepage.test", DomainState::Pending).await?;
    world.clear("homepage.test");
    let out = explain("homepage.test").await?;
    assert!(out.starts_with("It does not work: homepage.test is not in service"), "{out}");
    let pending = eventually(Duration::from_secs(2), async || {
        rcpt(&platform, "", "any@homepage.test", "127.0.0.9")
            .await
            .is_ok_and(|reply| reply.starts_with("450"))
    })
    .await;
    assert!(pending);
    assert!(out.contains(&rcpt(&platform, "", "any@homepage.test", "127.0.0.9").await?), "{out}");
    assert!(explain("unknown.test").await?.contains("not hosted here"));
    Ok(())
}

/// Customers and mailbox users hear of what is somebody else's as of what is not there.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_learns_of_others() -> anyhow::Result<()> {
    let (platform, admin) = house().await?;
    admin.domain("rival", "rival.test").await?;
    admin.mailbox("secret@rival.test").await?;
    admin.forward("alias@rival.test", &["secret@rival.test"], false).await?;
    Pop3::login(platform.pop3(0), "secret@rival.test", PASSWORD).await?.quit().await?;
    for (who, explain) in [
        ("customer", admin.explain_as_customer("homepage")),
        ("mailbox user", admin.explain_as_mailbox(BOX, "homepage", admin.get_mailbox(BOX).await?.mailbox_id)),
    ] {
        let login = async |login: &str| {
            let request =
                ExplainLoginRequest { login: login.to_owned(), peer_ip: HERE.to_owned(), clear_text: false };
            anyhow::Ok(
                explain.clone().explain_login(request).await?.into_inner().explanation.unwrap_or_default(),
            )
        };
        let recipient = async |address: &str| {
            let request = ExplainRecipientRequest { address: address.to_owned() };
            anyhow::Ok(explain.clone().explain_recipient(request).await?.into_inner())
        };
        let send = async |login: &str| {
            let request = ExplainSendRequest {
                sender: "me@elsewhere.test".to_owned(),
                recipient: OUTSIDE.to_owned(),
                peer_ip: HERE.to_owned(),
                login: login.to_owned(),
                clear_text: false,
            };
            anyhow::Ok(explain.clone().explain_send(request).await?.into_inner())
        };
        let same = |there: String| there.replace("secret@rival.test", "X").replace("rival.test", "D");
        let gone = |there: String| there.replace("secret@nowhere.test", "X").replace("nowhere.test", "D");
        let (there, not) = (login("secret@rival.test").await?, login("secret@nowhere.test").await?);
        assert_eq!(same(format!("{there:?}")), gone(format!("{not:?}")), "{who}");
        let (there, not) = (recipient("secret@rival.test").await?, recipient("secret@nowhere.test").await?);
        assert_eq!(same(format!("{there:?}")), gone(format!("{not:?}")), "{who}");
        let (there, not) = (send("secret@rival.test").await?, send("secret@nowhere.test").await?);
        assert_eq!(same(format!("{there:?}")), gone(format!("{not:?}")), "{who}");
        // The rival's grant of the same client is not shown.
        let answer = format!("{:?}", send("").await?);
        assert!(!answer.contains("rival"), "{who}: {answer}");
        // What is their own they see.
        assert_eq!(login(BOX).await?.verdict(), Verdict::Works, "{who}");
        assert_eq!(recipient(BOX).await?.explanation.unwrap_or_default().verdict(), Verdict::Works, "{who}");
    }
    Ok(())
}
