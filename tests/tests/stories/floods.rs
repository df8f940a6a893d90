//! Floods and slow clients: from one address, from many, drop by drop. Each is told to come later, and customers notice nothing.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use nix::sys::signal::Signal;
use postern_tests::{
    admin::PASSWORD,
    eventually, metrics,
    platform::{Blueprint, Platform, Service},
    pop3::Pop3,
    siege::{SMTP_GATEWAY_LIMIT_MIB, Siege},
    smtp::{self, Smtp, message},
};

const BOX: &str = "user@homepage.test";
/// Where all connections come from; it names their clients.
const PROXY: &str = "127.0.0.9";
const CUSTOMER: &str = "198.51.100.20";
const FLOOD: &str = "203.0.113.7";

/// A house whose limits hold for everybody.
async fn house(settings: &[(&str, &str)]) -> anyhow::Result<Platform> {
    let mut blueprint = Blueprint::new()
        .set("POSTERN_PROXY_NETWORKS", PROXY)
        .set("POSTERN_LIMITS_EXEMPT_NETWORKS", "192.0.2.0/24");
    for (name, value) in settings {
        blueprint = blueprint.set(name, value);
    }
    let platform = blueprint.start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox(BOX).await?;
    Ok(platform)
}

/// Checks mail and sends, as a customer does.
async fn check_and_send(platform: &Platform, client: &str) -> anyhow::Result<()> {
    let mut pop3 = Pop3::through_proxy(platform.pop3(0), PROXY, client).await?;
    pop3.ok(&format!("USER {BOX}")).await?;
    pop3.ok(&format!("PASS {PASSWORD}")).await?;
    pop3.quit().await?;
    let mut smtp = Smtp::through_proxy(platform.submission(0), PROXY, client).await?;
    let reply = smtp.transaction(BOX, &["you@outside.test"], &message("sent", 300)).await?;
    anyhow::ensure!(reply.starts_with("250"), "{reply}");
    smtp.expect("QUIT", 221).await?;
    Ok(())
}

/// The first word to a client, at a door of each gateway.
async fn smtp_says(platform: &Platform, client: &str) -> anyhow::Result<(Smtp, String)> {
    let smtp = Smtp::greeted_through_proxy(platform.smtp(0), PROXY, client).await?;
    let banner = smtp.banner.clone();
    Ok((smtp, banner))
}

async fn pop3_says(platform: &Platform, client: &str) -> anyhow::Result<(Pop3, String)> {
    let pop3 = Pop3::through_proxy(platform.pop3(0), PROXY, client).await?;
    let greeting = pop3.greeting.clone();
    Ok((pop3, greeting))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_connects_a_hundred_times_a_minute_and_no_more() -> anyhow::Result<()> {
    let mut platform = house(&[]).await?;
    // A new minute may begin meanwhile.
    let (mut smtp, mut pop3) = (0, 0);
    let refused = loop {
        let (_, banner) = smtp_says(&platform, FLOOD).await?;
        if !banner.starts_with("220 ") {
            break banner;
        }
        smtp += 1;
        anyhow::ensure!(smtp <= 200, "nobody is turned away");
    };
    assert!(refused.starts_with("421 4.7.0 "), "{refused}");
    let refused = loop {
        let (_, greeting) = pop3_says(&platform, FLOOD).await?;
        if !greeting.starts_with("+OK") {
            break greeting;
        }
        pop3 += 1;
        anyhow::ensure!(pop3 <= 200, "nobody is turned away");
    };
    assert!(refused.starts_with("-ERR [SYS/TEMP] "), "{refused}");
    assert!(smtp >= 100 && pop3 >= 100, "turned away after {smtp} and {pop3} connections");
    check_and_send(&platform, CUSTOMER).await?;

    let why = &["why=\"too often\""];
    for (service, name) in [
        (Service::Smtp, "postern_smtp_connections_refused_total"),
        (Service::Pop3, "postern_pop3_turned_away_total"),
    ] {
        let health = platform.replica(service, 0).health;
        assert!(metrics::sum(health, name, why).await? >= 1.0, "{name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_from_everywhere_leave_places_for_customers() -> anyhow::Result<()> {
    let limits = [("POSTERN_LIMIT_CONNECTIONS", "20"), ("POSTERN_RESERVED_CONNECTIONS_PERCENT", "25")];
    let mut platform = house(&limits).await?;
    // One who has logged in and sent before, by a grant alone.
    check_and_send(&platform, CUSTOMER).await?;

    let (mut smtp, mut pop3) = (Vec::new(), Vec::new());
    for number in 1..=15 {
        let client = format!("203.0.113.{number}");
        let (stays, banner) = smtp_says(&platform, &client).await?;
        assert!(banner.starts_with("220 "), "{number}: {banner}");
        smtp.push(stays);
        let (stays, greeting) = pop3_says(&platform, &client).await?;
        assert!(greeting.starts_with("+OK"), "{number}: {greeting}");
        pop3.push(stays);
    }
    let (_, banner) = smtp_says(&platform, "203.0.113.99").await?;
    assert!(banner.starts_with("421 4.7.0 "), "{banner}");
    let (_, greeting) = pop3_says(&platform, "203.0.113.99").await?;
    assert!(greeting.starts_with("-ERR [SYS/TEMP] "), "{greeting}");
    check_and_send(&platform, CUSTOMER).await?;

    // A stranger that logs in is none any more, and its place is the next one's.
    let mut new = pop3.pop().expect("a stranger");
    new.ok(&format!("USER {BOX}")).await?;
    new.ok(&format!("PASS {PASSWORD}")).await?;
    let (next, greeting) = pop3_says(&platform, "203.0.113.99").await?;
    assert!(greeting.starts_with("+OK"), "{greeting}");
    drop((new, next));

    let health = platform.replica(Service::Pop3, 0).health;
    let reserved = metrics::sum(health, "postern_pop3_turned_away_total", &["why=\"reserved\""]).await?;
    assert!((reserved - 1.0).abs() < f64::EPSILON, "{reserved}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s_28_content_that_drips_ends_the_session_and_nothing_of_it_is_kept() -> anyhow::Result<()> {
    let mut platform = house(&[("POSTERN_SMTP_SLOWEST_WINDOW_SECONDS", "1")]).await?;
    for begin in ["DATA", "BDAT 100000"] {
        let mut client = Smtp::through_proxy(platform.smtp(0), PROXY, FLOOD).await?;
        client.expect("MAIL FROM:<a@outside.test>", 250).await?;
        client.expect(&format!("RCPT TO:<{BOX}>"), 250).await?;
        if begin == "DATA" {
            client.expect(begin, 354).await?;
        } else {
            client.send(b"BDAT 100000\r\n").await?;
        }
        // Some 100 octets a second, where 500 are asked for.
        let dripping = async {
            while client.send(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
                if let Ok(reply) = tokio::time::timeout(Duration::ZERO, client.reply()).await {
                    return reply;
                }
            }
            client.reply().await
        };
        let reply = tokio::time::timeout(Duration::from_secs(30), dripping).await??;
        assert!(reply.starts_with("421 4.4.2 "), "{begin}: {reply}");
        assert!(client.is_closed_within(Duration::from_secs(5)).await, "{begin}");
    }
    // Who sends at any real speed is not disturbed, and is all that arrives.
    let reply = smtp::send(platform.smtp(0), "a@outside.test", &[BOX], &message("whole", 300_000)).await?;
    assert!(reply.starts_with("250"), "{reply}");
    let (count, _) = Pop3::login(platform.pop3(0), BOX, PASSWORD).await?.stat().await?;
    assert_eq!(count, 1);
    let health = platform.replica(Service::Smtp, 0).health;
    let cut = metrics::sum(health, "postern_smtp_sessions_cut_total", &["why=\"slow\""]).await?;
    assert!((cut - 2.0).abs() < f64::EPSILON, "{cut}");
    Ok(())
}

/// Octets that delivery holds of a large message which does not end: an upload.
const HELD_OF_ONE: f64 = ((512 + 2 * 128) * 1024) as f64;

/// A message of which so much is there that it goes to the blob store, and more is to come.
async fn begin_large(platform: &Platform, client: &str) -> anyhow::Result<Smtp> {
    let mut smtp = Smtp::through_proxy(platform.smtp(0), PROXY, client).await?;
    smtp.expect("MAIL FROM:<a@outside.test>", 250).await?;
    smtp.expect(&format!("RCPT TO:<{BOX}>"), 250).await?;
    let begin = message("large", 300_000);
    smtp.send(format!("BDAT {}\r\n", begin.len()).as_bytes()).await?;
    smtp.send(&begin).await?;
    let reply = smtp.reply().await?;
    anyhow::ensure!(reply.starts_with("250"), "{reply}");
    Ok(smtp)
}

/// The word about a large message of a client.
async fn large_from(platform: &Platform, client: &str) -> anyhow::Result<String> {
    begin_large(platform, client).await?.command("BDAT 0 LAST").await
}

async fn delivery_holds(platform: &mut Platform, messages: f64) -> bool {
    let health = platform.replica(Service::Delivery, 0).health;
    eventually(Duration::from_secs(30), async || {
        let held = metrics::sum(health, "postern_content_memory_bytes", &[]).await;
        held.is_ok_and(|held| held >= messages * HELD_OF_ONE)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn large_mail_that_never_ends_is_held_in_the_share_of_whoever_sends_it() -> anyhow::Result<()> {
    let limits = [
        ("POSTERN_LIMIT_CONTENT_MEMORY_BYTES", "16777216"),
        // No frame is so small that it waits for the next one.
        ("POSTERN_INLINE_MAX_BYTES", "1024"),
        ("POSTERN_MAIL_CHECK_MILLIS", "0"),
    ];
    let mut platform = house(&limits).await?;
    // One who may send by a grant alone.
    check_and_send(&platform, CUSTOMER).await?;

    // One client may hold two such messages.
    let mut held = vec![begin_large(&platform, FLOOD).await?, begin_large(&platform, FLOOD).await?];
    assert!(delivery_holds(&mut platform, 2.0).await);
    let refused = large_from(&platform, FLOOD).await?;
    assert!(refused.starts_with("452 4.3.1 "), "{refused}");
    let reply = large_from(&platform, "203.0.113.99").await?;
    assert!(reply.starts_with("250 "), "{reply}");

    // Of 16 MiB strangers have 12, sixteen such messages.
    for number in 100..107 {
        for _ in 0..2 {
            held.push(begin_large(&platform, &format!("203.0.113.{number}")).await?);
        }
    }
    assert!(delivery_holds(&mut platform, 16.0).await);
    let refused = large_from(&platform, "203.0.113.99").await?;
    assert!(refused.starts_with("452 4.3.1 "), "{refused}");
    check_and_send(&platform, CUSTOMER).await?;
    let mut customer = Smtp::through_proxy(platform.submission(0), PROXY, CUSTOMER).await?;
    let reply = customer.transaction(BOX, &["you@outside.test"], &message("bill", 300_000)).await?;
    assert!(reply.starts_with("250 "), "{reply}");

    drop(held);
    let again = eventually(Duration::from_secs(30), async || {
        large_from(&platform, "203.0.113.99").await.is_ok_and(|reply| reply.starts_with("250 "))
    });
    assert!(again.await, "what was held is not given back");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s_28_a_gateway_that_goes_down_tells_those_who_are_in_the_middle_of_a_message() -> anyhow::Result<()>
{
    let mut platform = house(&[("POSTERN_DRAIN_SECONDS", "4")]).await?;
    let mut client = Smtp::through_proxy(platform.smtp(0), PROXY, FLOOD).await?;
    client.expect("MAIL FROM:<a@outside.test>", 250).await?;
    client.expect(&format!("RCPT TO:<{BOX}>"), 250).await?;
    client.expect("DATA", 354).await?;
    client.send(b"Subject: half a message\r\n").await?;
    platform.replica(Service::Smtp, 0).process.signal(Signal::SIGTERM)?;
    let reply = client.reply().await?;
    assert!(reply.starts_with("421 4.3.2 "), "{reply}");
    assert!(client.is_closed_within(Duration::from_secs(5)).await);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_takes_nothing_loses_its_session_and_frees_its_box() -> anyhow::Result<()> {
    let mut platform = house(&[("POSTERN_POP3_WRITE_SECONDS", "1")]).await?;
    // More than all buffers of the system between us.
    let reply = smtp::send(platform.smtp(0), "a@outside.test", &[BOX], &message("large", 24 << 20)).await?;
    assert!(reply.starts_with("250"), "{reply}");
    let mut stuck = Pop3::login(platform.pop3(0), BOX, PASSWORD).await?;
    stuck.send(b"RETR 1\r\n").await?;
    let freed = eventually(Duration::from_secs(30), async || {
        Pop3::login(platform.pop3(0), BOX, PASSWORD).await.is_ok()
    });
    assert!(freed.await, "the box stays locked");
    let health = platform.replica(Service::Pop3, 0).health;
    let cut = metrics::sum(health, "postern_pop3_sessions_cut_total", &["why=\"stalled\""]).await?;
    assert!((cut - 1.0).abs() < f64::EPSILON, "{cut}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_that_wait_or_drip_slow_nobody_and_leave_nothing_behind() -> anyhow::Result<()> {
    let siege = Siege { idle: 400, dripping: 200, logins: 100, ..Siege::default() };
    let findings = siege.lay().await?;
    assert!(findings.login_p99() < Duration::from_secs(1), "{:?}", findings.login_p99());
    let each = findings.kib_each("pop3-gateway", 400);
    assert!(each < 64.0, "{each} KiB a session");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_full_of_messages_that_never_end_has_enough_memory() -> anyhow::Result<()> {
    // Just too little to be sent ahead.
    let siege = Siege {
        dripping: 400,
        logins: 20,
        begun_bytes: 63 * 1024,
        content_memory_bytes: 4 << 20,
        ..Siege::default()
    };
    let findings = siege.lay().await?;
    let most = findings.smtp_mib_at_most(siege);
    assert!(most < SMTP_GATEWAY_LIMIT_MIB, "{most} MiB with all places taken: {:?}", findings.memory);
    Ok(())
}

/// Mail bombs: so many messages of strangers an hour for one box, whichever gateway they come to. Others notice nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_box_gets_so_much_of_strangers_in_an_hour_over_all_gateways() -> anyhow::Result<()> {
    const LIMIT: usize = 5;
    let platform = Blueprint::new()
        .replicas(Service::Smtp, 2)
        .set("POSTERN_PROXY_NETWORKS", PROXY)
        .set("POSTERN_LIMITS_EXEMPT_NETWORKS", "192.0.2.0/24")
        .set("POSTERN_LIMIT_INBOUND_PER_HOUR_MAILBOX", &LIMIT.to_string())
        // Nobody's DNS is of interest here.
        .set("POSTERN_MAIL_CHECK_MILLIS", "0")
        .start()
        .await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    let bombed = admin.mailbox(BOX).await?.mailbox_id;
    admin.mailbox("other@homepage.test").await?;
    let bomb = async |gateway: usize, to: &str| {
        let mut client = Smtp::through_proxy(platform.smtp(gateway), PROXY, FLOOD).await?;
        client.transaction("a@outside.test", &[to], &message("bomb", 300)).await
    };
    let mut heard = Vec::new();
    // An hour may end meanwhile: so many more are taken then.
    for number in 0..=2 * LIMIT {
        heard.push(bomb(number % 2, BOX).await?);
    }
    let taken = heard.iter().filter(|reply| reply.starts_with("250")).count();
    assert!(taken == LIMIT || taken == 2 * LIMIT, "{heard:#?}");
    let refusal = "450 4.2.1 this recipient gets too much mail now, please try again later";
    assert_eq!(heard.last().map(String::as_str), Some(refusal), "{heard:#?}");
    let id = bombed;
    let count = i64::try_from(taken)?;
    assert!(
        eventually(Duration::from_secs(5), async || admin.message_count(id).await.is_ok_and(|c| c == count))
            .await
    );

    // The box of somebody else, a customer who logged in, and an exempt network are not held back.
    assert!(bomb(0, "other@homepage.test").await?.starts_with("250"));
    let mut exempt = Smtp::through_proxy(platform.smtp(0), PROXY, "192.0.2.9").await?;
    assert!(exempt.transaction("a@outside.test", &[BOX], &message("exempt", 300)).await?.starts_with("250"));
    let mut customer = Smtp::through_proxy(platform.submission(1), PROXY, CUSTOMER).await?;
    let response = STANDARD.encode(format!("\0other@homepage.test\0{PASSWORD}"));
    customer.expect(&format!("AUTH PLAIN {response}"), 235).await?;
    let own = customer.transaction("other@homepage.test", &[BOX], &message("own", 300)).await?;
    assert!(own.starts_with("250"), "{own}");

    // The explanation says what RCPT says.
    let (_, out, error) = platform.postern(&["explain", "recipient", BOX], "").await?;
    assert!(out.contains(refusal), "{out}{error}");
    Ok(())
}
