//! Mail servers of others as next hop and as senders: Postfix and Exim of the distribution, found by MX. What is sent arrives
//! octet for octet and over TLS, wishes for reports travel with it, and a refusal becomes one bounce.

use std::{net::SocketAddr, time::Duration};

use postern_proto::account::v1::DefaultAction;
use postern_tests::{
    admin::PASSWORD,
    dns::{World, address, mx},
    eventually,
    neighbours::Neighbour,
    platform::{Blueprint, Platform, free_ports},
    pop3::read_all,
    smtp::{Smtp, stuffed},
};

const LIMIT: Duration = Duration::from_secs(40);
const USER: &str = "user@homepage.test";
const MATE: &str = "mate@homepage.test";

/// Of all that could be changed on the way: dots, octets above 127, spaces at ends, a long line, empty lines at the end.
fn letter(from: &str, to: &str, subject: &str) -> Vec<u8> {
    let mut letter = format!(
        "From: {from}\r\nTo: {to}\r\nSubject: {subject}\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n\
         Message-ID: <{subject}@letters.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\nGr\u{fc}\u{df}e\r\n.\r\n..\r\n.dot\r\nFrom here\r\n  spaces \t \r\n\t\r\n{}\r\n",
        "x".repeat(990)
    )
    .into_bytes();
    letter.extend(b"\xff\xfe latin and worse\r\n\r\n\r\n");
    letter
}

/// One message with wishes for reports (RFC 3461), by a door that offers them.
async fn send(
    door: SocketAddr,
    from: &str,
    to: &str,
    wishes: Option<&str>,
    letter: &[u8],
) -> anyhow::Result<()> {
    let mut client = Smtp::hello(door).await?;
    let (mail, rcpt) = match wishes {
        Some(id) => {
            (format!(" RET=HDRS ENVID={id}"), format!(" NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first+2B{to}"))
        }
        None => (String::new(), String::new()),
    };
    client.expect(&format!("MAIL FROM:<{from}> BODY=8BITMIME{mail}"), 250).await?;
    client.expect(&format!("RCPT TO:<{to}>{rcpt}"), 250).await?;
    client.expect("DATA", 354).await?;
    client.send(&stuffed(letter)).await?;
    let reply = client.reply().await?;
    anyhow::ensure!(reply.starts_with("250"), "{reply}");
    client.command("QUIT").await?;
    Ok(())
}

/// True for the report of an arrival that repeats these wishes; some show the ORCPT decoded.
fn told(report: &[u8], id: &str, to: &str) -> bool {
    let text = String::from_utf8_lossy(report)
        .to_lowercase()
        .replace("+2b", "+")
        .replace(": ", ":")
        .replace("; ", ";");
    let lines = [
        "action:delivered".to_owned(),
        format!("original-envelope-id:{id}"),
        format!("original-recipient:rfc822;first+{to}"),
    ];
    lines.iter().all(|line| text.contains(&format!("\n{line}\r\n")))
}

fn newest(mails: &[Vec<u8>]) -> String {
    mails.last().map(|mail| String::from_utf8_lossy(mail).into_owned()).unwrap_or_default()
}

async fn inbox(platform: &Platform, login: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    read_all(platform.pop3(0), login, PASSWORD).await
}

async fn exchange(platform: &Platform, neighbour: &Neighbour) -> anyhow::Result<()> {
    let (domain, alice) = (neighbour.domain, format!("alice@{}", neighbour.domain));
    let (users, mates) = (inbox(platform, USER).await?.len(), inbox(platform, MATE).await?.len());

    // To them, and what they report of it.
    let sent = letter(USER, &alice, "over");
    send(platform.smtp(0), USER, &alice, Some("trip-out"), &sent).await?;
    let arrived = eventually(LIMIT, async || neighbour.mail().len() == 1).await;
    assert!(arrived, "{domain}: {}", neighbour.log());
    let got = neighbour.mail().remove(0);
    let text = String::from_utf8_lossy(&got).into_owned();
    assert!(got.ends_with(&sent), "{domain}: {text}");
    assert!(
        text.split("Received:").nth(1).is_some_and(|hop| hop.contains("TLS1.3") || hop.contains("TLSv1.3")),
        "{text}"
    );
    let reported = eventually(LIMIT, async || {
        inbox(platform, USER)
            .await
            .is_ok_and(|all| all.len() > users && told(&all[users], "trip-out", &alice))
    });
    assert!(reported.await, "{domain}: {}", newest(&inbox(platform, USER).await?));

    // What they refuse becomes one bounce.
    let nobody = format!("nobody@{domain}");
    send(platform.smtp(0), USER, &nobody, None, &letter(USER, &nobody, "refused")).await?;
    let bounced =
        eventually(LIMIT, async || inbox(platform, USER).await.is_ok_and(|all| all.len() > users + 1));
    assert!(bounced.await, "{domain}: {}", neighbour.log());
    let bounce = String::from_utf8_lossy(&inbox(platform, USER).await?[users + 1]).into_owned();
    for line in [
        format!("Final-Recipient: rfc822; {nobody}"),
        "Action: failed".to_owned(),
        "Diagnostic-Code: smtp; 550".to_owned(),
    ] {
        assert!(bounce.contains(&line), "{line}: {bounce}");
    }

    // From them, and what we report of it.
    let sent = letter(&alice, MATE, "back");
    send(neighbour.door, &alice, MATE, Some("trip-back"), &sent).await?;
    let arrived = eventually(LIMIT, async || inbox(platform, MATE).await.is_ok_and(|all| all.len() > mates));
    assert!(arrived.await, "{domain}: {}", neighbour.log());
    let got = inbox(platform, MATE).await?.remove(mates);
    let text = String::from_utf8_lossy(&got).into_owned();
    assert!(got.ends_with(&sent), "{domain}: {text}");
    assert!(text.contains("with ESMTPS"), "{text}");
    let reported =
        eventually(LIMIT, async || neighbour.mail().iter().any(|report| told(report, "trip-back", MATE)));
    assert!(reported.await, "{domain}: {}", newest(&neighbour.mail()));

    // What we refuse is theirs to report.
    send(neighbour.door, &alice, "gone@homepage.test", None, &letter(&alice, "gone@homepage.test", "gone"))
        .await?;
    let theirs = eventually(LIMIT, async || {
        neighbour.mail().iter().any(|mail| String::from_utf8_lossy(mail).contains("550 5.1.1"))
    });
    assert!(theirs.await, "{domain}: {}", neighbour.log());

    // Nothing else came of all that.
    let (_, queue, _) = platform.postern(&["queue", "list", "--json"], "").await?;
    assert!(!queue.contains("@"), "{queue}");
    assert_eq!(inbox(platform, USER).await?.len(), users + 2);
    assert_eq!(inbox(platform, MATE).await?.len(), mates + 1);
    assert_eq!(neighbour.mail().len(), 3, "{}", neighbour.log());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn postfix_and_exim_are_good_neighbours() -> anyhow::Result<()> {
    if !Neighbour::can_start() {
        println!("Postfix and Exim can only be started by root: not run");
        return Ok(());
    }
    let world = World::start().await;
    let port = free_ports(1)?[0].port();
    for (domain, ip) in [("postfix.test", "127.0.0.2"), ("exim.test", "127.0.0.3")] {
        world.add(domain, mx(&format!("mx.{domain}")));
        world.add(&format!("mx.{domain}"), address(ip));
    }
    let platform = Blueprint::new()
        .set("POSTERN_SMARTHOST", "")
        .set("POSTERN_RESOLVER", &world.address.to_string())
        .set("POSTERN_OUTBOUND_PORT", &port.to_string())
        .set("POSTERN_OUTBOUND_ALLOWED_NETWORKS", "127.0.0.0/8")
        .set("POSTERN_DOMAIN_CHECK_SECONDS", "0")
        .start()
        .await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    for address in [USER, MATE] {
        admin.mailbox(address).await?;
    }
    admin.default_address("homepage.test", DefaultAction::Reject, "").await?;
    let house = platform.smtp(0);
    let postfix = Neighbour::postfix(SocketAddr::from(([127, 0, 0, 2], port)), house).await?;
    let exim = Neighbour::exim(SocketAddr::from(([127, 0, 0, 3], port)), house).await?;
    exchange(&platform, &postfix).await?;
    exchange(&platform, &exim).await
}
