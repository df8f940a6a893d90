//! A domain on its way into service and out of it, under a second name, and in the hands of its owner: through the real gateways,
//! set with the operator's commands, while the world's DNS changes.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use postern_mesh::client::MeshChannel;
use postern_proto::auth::v1::{
    ExplainLoginRequest, Explanation, Verdict, explain_service_client::ExplainServiceClient,
};
use postern_tests::{
    admin::PASSWORD,
    dns::{World, mx, ns, txt},
    eventually,
    platform::{Blueprint, Platform},
    pop3::Pop3,
    smtp::{self, Smtp, message},
};

const WAIT: Duration = Duration::from_secs(30);
const NOT_LIVE: &str = "450 4.3.2 mail for this domain is not in service yet, please try again later";

/// Runs an operator's command that must succeed and returns what it prints.
async fn postern(platform: &Platform, words: &[&str]) -> anyhow::Result<String> {
    let (code, out, err) = platform.postern(words, "").await?;
    anyhow::ensure!(code == 0, "{words:?}: {code} {out}{err}");
    Ok(out)
}

/// The same for one that must be refused.
async fn refused(platform: &Platform, words: &[&str]) -> anyhow::Result<String> {
    let (code, out, err) = platform.postern(words, "").await?;
    anyhow::ensure!(code == 1, "{words:?}: {code} {out}{err}");
    Ok(err)
}

async fn customer(platform: &Platform, login: &str) -> anyhow::Result<()> {
    let words = ["customer", "add", login, "--password-stdin"];
    let (code, _, err) = platform.postern(&words, PASSWORD).await?;
    anyhow::ensure!(code == 0, "{err}");
    Ok(())
}

/// What a stranger hears at RCPT.
async fn rcpt(platform: &Platform, address: &str) -> anyhow::Result<String> {
    let mut client = Smtp::hello(platform.smtp(0)).await?;
    client.expect("MAIL FROM:<stranger@outside.test>", 250).await?;
    client.command(&format!("RCPT TO:<{address}>")).await
}

async fn rcpt_becomes(platform: &Platform, address: &str, start: &str) -> bool {
    eventually(WAIT, async || rcpt(platform, address).await.is_ok_and(|reply| reply.starts_with(start))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_wait_until_dns_leads_here_and_after_it_leads_away() -> anyhow::Result<()> {
    let world = World::start().await;
    let platform = Blueprint::new()
        .set("POSTERN_NEW_DOMAINS_LIVE", "false")
        .set("POSTERN_RESOLVER", &world.address.to_string())
        .set("POSTERN_NAME_SERVERS", "ns1.postern.test")
        .set("POSTERN_MAIL_HOST_ADDRESSES", "192.0.2.1")
        .set("POSTERN_DOMAIN_CHECK_SECONDS", "1")
        .set("POSTERN_DOMAIN_GRACE_SECONDS", "1")
        .start()
        .await?;
    customer(&platform, "anna").await?;
    let said = postern(&platform, &["domain", "add", "homepage.test", "--customer", "anna"]).await?;
    assert!(said.contains("homepage.test is pending") && said.contains("postern domain verify"), "{said}");
    assert_eq!(rcpt(&platform, "anna@homepage.test").await?, NOT_LIVE);
    assert!(Pop3::login(platform.pop3(0), "homepage", PASSWORD).await.is_err());

    // The command says what is missing, in words that can be acted on.
    let said = postern(&platform, &["domain", "verify", "homepage.test"]).await?;
    for words in
        ["is pending", "MISSING", "set this MX", "10 mail.postern.test.", "ns1.postern.test.", "v=DKIM1"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    // A resolver that fails changes nothing, for as long as it fails.
    world.add("homepage.test", mx("mail.postern.test"));
    assert!(rcpt_becomes(&platform, "anna@homepage.test", "250").await, "pending -> live");
    world.fail("homepage.test", true);
    let said = postern(&platform, &["domain", "verify", "homepage.test"]).await?;
    assert!(said.contains("is live") && said.contains("no answer"), "{said}");
    assert!(rcpt(&platform, "anna@homepage.test").await?.starts_with("250"));
    world.fail("homepage.test", false);

    world.clear("homepage.test");
    assert!(rcpt_becomes(&platform, "anna@homepage.test", NOT_LIVE).await, "live -> lost");
    let said = postern(&platform, &["domain", "show", "homepage.test"]).await?;
    assert!(said.contains("lost"), "{said}");
    world.add("homepage.test", ns("ns1.postern.test"));
    assert!(rcpt_becomes(&platform, "anna@homepage.test", "250").await, "lost -> live");

    // Another customer asks for the same name: a claim, which DNS proves.
    customer(&platform, "bert").await?;
    let said = postern(&platform, &["domain", "add", "homepage.test", "--customer", "bert"]).await?;
    let record = said.lines().find(|line| line.contains("TXT")).expect("the record that is needed").trim();
    let (name, text) = record.split_once(" TXT ").expect("name and text");
    let listed = postern(&platform, &["domain", "list", "--customer", "bert"]).await?;
    assert!(listed.contains("claimed"), "{listed}");
    world.add(name, txt(text.trim_matches('"')));
    let moved = eventually(WAIT, async || {
        postern(&platform, &["domain", "show", "homepage.test"]).await.is_ok_and(|said| said.contains("bert"))
    });
    assert!(moved.await, "the platform looks by itself");
    // The box is now that of the new owner, whose login is another one.
    assert!(rcpt_becomes(&platform, "anna@homepage.test", "250").await);
    assert!(Pop3::login(platform.pop3(0), "homepage", PASSWORD).await.is_err());
    let mut owner = Pop3::login(platform.pop3(0), "homepag2", PASSWORD).await?;
    assert_eq!(owner.stat().await?.0, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_name_reaches_the_same_boxes_through_every_door() -> anyhow::Result<()> {
    let platform = Blueprint::new().start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.domain("other", "other.test").await?;
    let mailbox = admin.mailbox("anna@homepage.test").await?;
    admin.mailbox("user@other.test").await?;
    let add = ["domain", "add", "home.test", "--customer", "homepage", "--alias-of", "homepage.test"];
    let said = postern(&platform, &add).await?;
    assert!(said.contains("second name of homepage.test"), "{said}");

    let content = message("to the second name", 5000);
    let reply = smtp::send(platform.smtp(0), "a@outside.test", &["Anna@home.test"], &content).await?;
    assert!(reply.starts_with("250 2.0.0 "), "{reply}");
    let delivered = async || admin.message_count(mailbox.mailbox_id).await.is_ok_and(|count| count == 1);
    assert!(eventually(WAIT, delivered).await);
    // Checked under the second name; the box is the same, and what it got says under which name.
    let mut session = Pop3::login(platform.pop3(0), "anna@home.test", PASSWORD).await?;
    let text = String::from_utf8_lossy(&session.retr(1).await?).into_owned();
    assert!(text.contains("Delivered-To: anna@home.test\r\n"), "{text}");
    assert!(
        Pop3::login(platform.pop3(0), "anna@homepage.test", PASSWORD).await.is_err(),
        "one box, one lock"
    );
    session.quit().await?;
    // The mail that was checked lets its owner send under both names; AUTH works under both.
    for sender in ["anna@home.test", "anna@homepage.test"] {
        let reply = smtp::send(platform.smtp(0), sender, &["you@outside.test"], &content).await?;
        assert!(reply.starts_with("250 2.0.0 "), "{sender}: {reply}");
        let mut submission = Smtp::hello(platform.submission(0)).await?;
        let plain = STANDARD.encode(format!("\0{sender}\0{PASSWORD}"));
        submission.expect(&format!("AUTH PLAIN {plain}"), 235).await?;
    }

    // A change under the target is seen under the second name, and the other way round.
    admin.default_address("homepage.test", postern_proto::account::v1::DefaultAction::Reject, "").await?;
    assert!(rcpt_becomes(&platform, "nobody@home.test", "550").await);
    admin.forward("list@homepage.test", &["x@outside.test"], false).await?;
    assert!(rcpt_becomes(&platform, "list@home.test", "250").await);
    admin.remove_mailbox("anna@homepage.test").await?;
    assert!(rcpt_becomes(&platform, "anna@home.test", "550").await);
    let err = refused(&platform, &["domain", "remove", "homepage.test"]).await?;
    assert!(err.contains("home.test"), "{err}");
    postern(&platform, &["domain", "remove", "home.test"]).await?;
    assert!(
        rcpt_becomes(&platform, "anna@home.test", "550 5.7.1").await,
        "remote, and no relay for strangers"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_says_who_may_send_as_a_domain() -> anyhow::Result<()> {
    let platform = Blueprint::new().start().await?;
    let admin = platform.admin()?;
    for (customer, domain) in
        [("homepage", "homepage.test"), ("friend", "friend.test"), ("third", "third.test")]
    {
        admin.domain(customer, domain).await?;
        admin.mailbox(&format!("user@{domain}")).await?;
    }
    let content = message("in another name", 1000);
    // Each from an address of its own, so that nobody sends by the grant of another.
    let may_send = async |login: &str, sender: &str| -> anyhow::Result<String> {
        let mut client = Smtp::hello(platform.submission(0)).await?;
        let plain = STANDARD.encode(format!("\0{login}\0{PASSWORD}"));
        client.expect(&format!("AUTH PLAIN {plain}"), 235).await?;
        let reply = client.transaction(sender, &["you@outside.test"], &content).await?;
        Ok(reply.chars().take(9).collect())
    };
    let becomes = async |login: &str, answer: &str| {
        eventually(WAIT, async || {
            may_send(login, "info@homepage.test").await.is_ok_and(|reply| reply == answer)
        })
        .await
    };
    let set = |more: &[&'static str]| [&["domain", "set", "homepage.test"], more].concat();
    assert!(becomes("user@homepage.test", "250 2.0.0").await);
    for other in ["user@friend.test", "user@third.test"] {
        assert!(becomes(other, "550 5.7.1").await, "owner only is the default");
    }
    let said = postern(&platform, &set(&["--senders", "named", "--allow", "friend"])).await?;
    assert!(said.contains("its owner and friend"), "{said}");
    assert!(becomes("user@friend.test", "250 2.0.0").await);
    assert!(becomes("user@third.test", "550 5.7.1").await);
    postern(&platform, &set(&["--senders", "anyone"])).await?;
    assert!(becomes("user@third.test", "250 2.0.0").await);
    postern(&platform, &set(&["--senders", "owner"])).await?;
    for other in ["user@friend.test", "user@third.test"] {
        assert!(becomes(other, "550 5.7.1").await);
    }
    let err = refused(&platform, &set(&["--allow", "nobody"])).await?;
    assert!(err.contains("domain.allowed_senders"), "{err}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn p_30_passwords_in_clear_text_where_the_domain_takes_them() -> anyhow::Result<()> {
    const PROXY: &str = "127.0.0.9";
    const FAR: &str = "203.0.113.20";
    let platform = Blueprint::new()
        .set("POSTERN_PLAINTEXT_LOGIN", "by-domain")
        .set("POSTERN_PROXY_NETWORKS", PROXY)
        .start()
        .await?;
    let admin = platform.admin()?;
    for (customer, domain) in [("old", "old.test"), ("strict", "strict.test")] {
        admin.domain(customer, domain).await?;
        admin.mailbox(&format!("user@{domain}")).await?;
    }
    let said = postern(&platform, &["domain", "set", "old.test", "--plaintext-login", "true"]).await?;
    assert!(said.contains("passwords in clear text:  taken"), "{said}");
    let from_far = async |login: &str| -> anyhow::Result<String> {
        let mut client = Pop3::through_proxy(platform.pop3(0), PROXY, FAR).await?;
        let capabilities = String::from_utf8(client.list("CAPA").await?)?;
        anyhow::ensure!(capabilities.contains("\r\nUSER\r\n"), "{capabilities}");
        client.ok(&format!("USER {login}")).await?;
        client.command(&format!("PASS {PASSWORD}")).await
    };
    let taken = async || from_far("user@old.test").await.is_ok_and(|said| said.starts_with("+OK"));
    assert!(eventually(WAIT, taken).await);
    let refusal = "-ERR encryption is required for this login, use STARTTLS first";
    for login in ["user@strict.test", "nobody@strict.test", "user@nowhere.test", "nobody"] {
        assert_eq!(from_far(login).await?, refusal, "{login}");
    }
    assert!(from_far("nobody@old.test").await?.starts_with("-ERR [AUTH]"));
    // From this machine, where nobody listens on the way, as ever.
    Pop3::login(platform.pop3(0), "user@strict.test", PASSWORD).await?.quit().await?;

    let auth = async |login: &str| -> anyhow::Result<String> {
        let mut client = Smtp::through_proxy(platform.submission(0), PROXY, FAR).await?;
        let plain = STANDARD.encode(format!("\0{login}\0{PASSWORD}"));
        client.command(&format!("AUTH PLAIN {plain}")).await
    };
    assert!(auth("user@old.test").await?.starts_with("235 2.7.0 "));
    assert!(auth("user@strict.test").await?.starts_with("538 5.7.11"));

    // An explanation says the same, to the letter.
    let said = |explanation: &Explanation, command: &str| {
        let answer = explanation.wire_answers.iter().find(|answer| answer.command == command);
        answer.map(|answer| answer.answer.clone()).unwrap_or_default()
    };
    let explained = async |mut explain: ExplainServiceClient<MeshChannel>, login: &str| {
        let (login, peer_ip) = (login.to_owned(), FAR.to_owned());
        let request = ExplainLoginRequest { login, peer_ip, clear_text: true };
        anyhow::Ok(explain.explain_login(request).await?.into_inner().explanation.unwrap_or_default())
    };
    for login in ["user@strict.test", "nobody@strict.test", "user@nowhere.test", "nobody", "nobody@old.test"]
    {
        let told = explained(admin.explain(), login).await?;
        assert_eq!(told.verdict(), Verdict::Refused, "{login}: {told:#?}");
        assert_eq!(said(&told, "POP3 PASS"), from_far(login).await?, "{login}");
        assert_eq!(said(&told, "SMTP AUTH"), auth(login).await?, "{login}");
    }
    let told = explained(admin.explain(), "user@strict.test").await?;
    assert!(told.next_step.starts_with("Switch on TLS"), "{told:#?}");
    let told = explained(admin.explain(), "user@old.test").await?;
    assert_eq!(told.verdict(), Verdict::Works, "{told:#?}");
    // Another customer is not told which domains take them.
    for login in ["user@old.test", "nobody@old.test"] {
        let told = explained(admin.explain_as_customer("strict"), login).await?;
        assert_eq!(said(&told, "POP3 PASS"), refusal, "{login}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn p_30_an_explanation_knows_that_no_password_is_taken_without_tls() -> anyhow::Result<()> {
    const PROXY: &str = "127.0.0.9";
    const FAR: &str = "203.0.113.20";
    let platform = Blueprint::new()
        .set("POSTERN_PLAINTEXT_LOGIN", "false")
        .set("POSTERN_PROXY_NETWORKS", PROXY)
        .start()
        .await?;
    platform.admin()?.domain("strict", "strict.test").await?;
    platform.admin()?.mailbox("user@strict.test").await?;
    let mut client = Pop3::through_proxy(platform.pop3(0), PROXY, FAR).await?;
    let heard = client.command("USER user@strict.test").await?;
    let explain = ["explain", "login", "user@strict.test", "--ip", FAR, "--clear-text"];
    let said = postern(&platform, &explain).await?;
    assert!(said.contains(&format!("POP3 USER: {heard}")), "{heard}: {said}");
    let mut client = Smtp::through_proxy(platform.submission(0), PROXY, FAR).await?;
    let heard = client.command(&format!("AUTH PLAIN {}", STANDARD.encode("\0a\0b"))).await?;
    assert!(heard.starts_with("538 5.7.11"), "{heard}");
    assert!(said.contains(&format!("SMTP AUTH: {heard}")), "{heard}: {said}");
    // With TLS it works, and so it does from this machine.
    assert!(postern(&platform, &explain[..5]).await?.starts_with("It works"));
    let here = ["explain", "login", "user@strict.test", "--ip", "127.0.0.1", "--clear-text"];
    assert!(postern(&platform, &here).await?.starts_with("It works"));
    Ok(())
}
