//! The sender against scripted hosts and a real DNS server, all on loopback.

pub(crate) mod dns;
pub(crate) mod host;
mod sts;

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};

use self::{
    dns::{Zone, a, mx},
    host::{Host as ScriptedHost, Script},
};
use super::*;

fn settings() -> OutboundSettings {
    let short = Duration::from_millis(700);
    OutboundSettings {
        smarthost: None,
        resolvers: Vec::new(),
        port: 25,
        allowed_networks: vec!["127.0.0.0/8".parse().expect("network")],
        mail_host: "mail.postern.test".to_owned(),
        timeouts: Timeouts {
            banner: short,
            hello: short,
            mail: short,
            recipient: short,
            data: short,
            block: short,
            dot: short,
            farewell: short,
        },
        attempt_time: ATTEMPT_TIME,
        tls_policies: TlsPolicies::default(),
        authorities: None,
        sts_port: None,
    }
}

fn to_smarthost(host: &ScriptedHost) -> Outbound {
    let smarthost = Some(Smarthost { host: host.address.ip().to_string(), port: host.address.port() });
    Outbound::new(OutboundSettings { smarthost, ..settings() }).expect("outbound")
}

async fn send(
    outbound: &Outbound,
    destination: &Destination,
    recipients: &[&str],
    content: &'static [u8],
) -> Vec<Attempt> {
    let sender = "a@sender.test".parse().expect("sender");
    let recipients: Vec<EmailAddress> = recipients.iter().map(|r| r.parse().expect("recipient")).collect();
    let open = move || stream::iter(content.chunks(7000).map(|piece| Ok(Bytes::from_static(piece)))).boxed();
    let mail = Outgoing {
        sender: &sender,
        recipients: &recipients,
        size_bytes: content.len() as u64,
        eight_bit: false,
        smtp_utf8: false,
        dsn: &MessageDsn::default(),
        recipient_dsn: &[],
        content: &open,
    };
    outbound.send(destination, &mail, &Transit::default()).await
}

fn letters(attempts: &[Attempt]) -> String {
    let letter = |attempt: &Attempt| match attempt {
        Attempt::Delivered(_) => 'D',
        Attempt::Deferred(_) => 'T',
        Attempt::Refused(_) => 'R',
    };
    attempts.iter().map(letter).collect()
}

const CONTENT: &[u8] = b"Subject: x\r\n\r\n.dot\r\n..two\r\nlast\r\n";

#[tokio::test]
async fn mails_go_over_one_connection_and_arrive_as_they_are() {
    for pipelining in [false, true] {
        let host = ScriptedHost::start(Script { pipelining, ..Script::default() }).await;
        let outbound = to_smarthost(&host);
        for recipients in [&["b@x.test", "c@y.test"][..], &["d@x.test"]] {
            let attempts = send(&outbound, &Destination::Smarthost, recipients, CONTENT).await;
            assert!(attempts.iter().all(|a| matches!(a, Attempt::Delivered(_))), "{attempts:?}");
        }
        let seen = host.seen();
        assert_eq!(seen.connections, 1);
        assert_eq!(seen.mails.len(), 2);
        assert_eq!(seen.mails[0].recipients, ["b@x.test", "c@y.test"]);
        assert_eq!(seen.mails[0].content, CONTENT);
        assert_eq!(seen.mails[1].recipients, ["d@x.test"]);
    }
}

#[tokio::test]
async fn each_verb_can_refuse_defer_or_cut() {
    for verb in ["EHLO", "MAIL", "RCPT", "DATA", "."] {
        for pipelining in [false, true] {
            for (reply, expected) in
                [("550 5.7.1 no", 'R'), ("451 4.3.0 later", 'T'), ("421 4.3.2 bye", 'T'), ("", 'T')]
            {
                let host =
                    ScriptedHost::start(Script { pipelining, ..Script::default() }.answering(verb, reply))
                        .await;
                let attempts =
                    send(&to_smarthost(&host), &Destination::Smarthost, &["b@x.test"], CONTENT).await;
                // A host that refuses EHLO is asked with HELO, which it takes.
                let expected = if verb == "EHLO" && reply.starts_with('5') { 'D' } else { expected };
                assert_eq!(
                    letters(&attempts),
                    expected.to_string(),
                    "{verb} {reply} {pipelining} {attempts:?}"
                );
                assert_eq!(host.seen().mails.len(), usize::from(expected == 'D'), "{verb} {reply}");
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_tells_host_code_and_words() {
    let host =
        ScriptedHost::start(Script::default().answering("RCPT", "550-5.1.1 no\r\n550 5.1.1 such user")).await;
    let attempts = send(&to_smarthost(&host), &Destination::Smarthost, &["b@x.test"], CONTENT).await;
    let [Attempt::Refused(refused)] = &attempts[..] else { panic!("{attempts:?}") };
    assert_eq!(refused.code, (5, 1, 1));
    assert_eq!(refused.host.as_deref(), Some("127.0.0.1"));
    assert_eq!(refused.reply.as_deref(), Some("550 5.1.1 no 5.1.1 such user"));
}

#[tokio::test]
async fn some_recipients_may_be_taken_and_others_not() {
    let script =
        Script { pipelining: true, ..Script::default() }.refusing("no@x.test", "550 5.1.1 no such user");
    let host = ScriptedHost::start(script.refusing("later@x.test", "450 4.2.1 greylisted")).await;
    let to = ["b@x.test", "no@x.test", "later@x.test", "c@x.test"];
    let attempts = send(&to_smarthost(&host), &Destination::Smarthost, &to, CONTENT).await;
    assert_eq!(letters(&attempts), "DRTD");
    assert_eq!(host.seen().mails[0].recipients, ["b@x.test", "c@x.test"]);
}

#[tokio::test]
async fn hostile_hosts_cost_neither_time_nor_memory() {
    let endless = "220-more\r\n".repeat(1_000_000);
    for script in [
        Script { banner: endless, ..Script::default() },
        Script { banner: "x".repeat(10_000_000), ..Script::default() },
        Script { drip: true, ..Script::default() },
        Script { banner: String::new(), ..Script::default() },
        Script { pipelining: true, ..Script::default() }
            .answering("MAIL", "250 a\r\n250 b\r\n354 c\r\n250 d"),
    ] {
        let host = ScriptedHost::start(script).await;
        let began = tokio::time::Instant::now();
        let attempts = send(&to_smarthost(&host), &Destination::Smarthost, &["b@x.test"], CONTENT).await;
        assert_eq!(letters(&attempts), "T", "{attempts:?}");
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
        assert!(host.seen().mails.is_empty());
    }
}

#[tokio::test]
async fn content_that_breaks_never_ends() {
    let host = ScriptedHost::start(Script::default()).await;
    let outbound = to_smarthost(&host);
    let sender = ReversePath::Null;
    let recipients = ["b@x.test".parse().expect("recipient")];
    let open = || {
        let pieces: Vec<Result<Bytes, ContentError>> =
            vec![Ok(Bytes::from_static(CONTENT)), Err("damaged".into())];
        stream::iter(pieces).boxed()
    };
    let mail = Outgoing {
        sender: &sender,
        recipients: &recipients,
        size_bytes: 1,
        eight_bit: false,
        smtp_utf8: false,
        dsn: &MessageDsn::default(),
        recipient_dsn: &[],
        content: &open,
    };
    let transit = Transit::default();
    let attempts = outbound.send(&Destination::Smarthost, &mail, &transit).await;
    assert_eq!(letters(&attempts), "T");
    assert!(!transit.is_dot_sent());
    assert!(host.seen().mails.is_empty());
}

#[tokio::test]
async fn a_closed_idle_connection_costs_nothing() {
    let host = ScriptedHost::start(Script { mails_per_connection: 1, ..Script::default() }).await;
    let outbound = to_smarthost(&host);
    for _ in 0..3 {
        let attempts = send(&outbound, &Destination::Smarthost, &["b@x.test"], CONTENT).await;
        assert_eq!(letters(&attempts), "D", "{attempts:?}");
    }
    assert_eq!(host.seen().connections, 3);
}

#[tokio::test]
async fn tls_is_used_when_it_works_and_left_when_it_is_broken() {
    for broken in [false, true] {
        let host =
            ScriptedHost::start(Script { start_tls: true, tls_is_broken: broken, ..Script::default() }).await;
        let attempts = send(&to_smarthost(&host), &Destination::Smarthost, &["b@x.test"], CONTENT).await;
        assert_eq!(letters(&attempts), "D", "{attempts:?}");
        let seen = host.seen();
        assert_eq!(seen.mails[0].over_tls, !broken);
        assert_eq!(seen.connections, if broken { 2 } else { 1 });
    }
}

/// Sends one mail to `b@<domain>` by MX, with hosts at 127.0.0.<n>.
async fn by_mx(zone: Zone, domain: &str, port: u16, allowed: bool) -> Vec<Attempt> {
    let mut settings = OutboundSettings { resolvers: vec![zone.start().await], port, ..settings() };
    if !allowed {
        settings.allowed_networks.clear();
    }
    let outbound = Outbound::new(settings).expect("outbound");
    let destination = outbound.destination(&domain.parse().expect("domain"));
    send(&outbound, &destination, &[&format!("b@{domain}")], CONTENT).await
}

fn loopback(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

#[tokio::test]
async fn s_96_hosts_are_tried_in_their_order() {
    // 127.0.0.2 takes no connection, 127.0.0.3 says 421, 127.0.0.4 takes the mail, 127.0.0.5 is not asked.
    let good = ScriptedHost::start_at(loopback(4), 0, Script::default()).await;
    let port = good.address.port();
    let busy = Script { banner: "421 4.3.2 busy\r\n".to_owned(), ..Script::default() };
    let busy = ScriptedHost::start_at(loopback(3), port, busy).await;
    let last = ScriptedHost::start_at(loopback(5), port, Script::default()).await;
    let zone = Zone::default()
        .with("far.test", mx(40, "d.far.test"))
        .with("far.test", mx(30, "c.far.test"))
        .with("far.test", mx(20, "b.far.test"))
        .with("far.test", mx(10, "a.far.test"))
        .with("far.test", mx(5, "missing.far.test"))
        .with("a.far.test", a([127, 0, 0, 2]))
        .with("b.far.test", a([127, 0, 0, 3]))
        .with("c.far.test", a([127, 0, 0, 4]))
        .with("d.far.test", a([127, 0, 0, 5]));
    let attempts = by_mx(zone, "far.test", port, true).await;
    assert_eq!(letters(&attempts), "D", "{attempts:?}");
    assert_eq!((busy.seen().connections, good.seen().mails.len(), last.seen().connections), (1, 1, 0));
}

#[tokio::test]
async fn s_96_a_name_that_dns_does_not_answer_keeps_no_mail_from_the_hosts_before_it() {
    let host = ScriptedHost::start_at(loopback(15), 0, Script::default()).await;
    let zone = || {
        Zone::default()
            .with("far.test", mx(10, "a.far.test"))
            .with("far.test", mx(20, "slow.far.test"))
            .with("a.far.test", a([127, 0, 0, 15]))
            .with("late.test", mx(10, "slow.far.test"))
            .silent("slow.far.test")
    };
    for (domain, expected) in [("far.test", "D"), ("late.test", "T")] {
        let resolvers = vec![zone().start().await];
        let settings = OutboundSettings { resolvers, port: host.address.port(), ..settings() };
        let mut outbound = Outbound::new(settings).expect("outbound");
        outbound.finder.patience = Duration::from_secs(1);
        let destination = outbound.destination(&domain.parse().expect("domain"));
        let attempts = send(&outbound, &destination, &[&format!("b@{domain}")], CONTENT).await;
        assert_eq!(letters(&attempts), expected, "{domain} {attempts:?}");
    }
}

#[tokio::test]
async fn hosts_that_say_nothing_leave_time_for_the_last_one() {
    let good = ScriptedHost::start_at(loopback(9), 0, Script::default()).await;
    let port = good.address.port();
    let silent = || Script { banner: String::new(), ..Script::default() };
    let (_one, _two) = (
        ScriptedHost::start_at(loopback(7), port, silent()).await,
        ScriptedHost::start_at(loopback(8), port, silent()).await,
    );
    let zone = Zone::default()
        .with("far.test", mx(10, "a.far.test"))
        .with("far.test", mx(20, "b.far.test"))
        .with("far.test", mx(30, "c.far.test"))
        .with("a.far.test", a([127, 0, 0, 7]))
        .with("b.far.test", a([127, 0, 0, 8]))
        .with("c.far.test", a([127, 0, 0, 9]));
    let patient = OutboundSettings {
        resolvers: vec![zone.start().await],
        port,
        timeouts: Timeouts { banner: Duration::from_secs(300), ..settings().timeouts },
        attempt_time: Duration::from_secs(6),
        ..settings()
    };
    let outbound = Outbound::new(patient).expect("outbound");
    let destination = outbound.destination(&"far.test".parse().expect("domain"));
    let began = Instant::now();
    let attempts = send(&outbound, &destination, &["b@far.test"], CONTENT).await;
    assert_eq!(letters(&attempts), "D", "{attempts:?}");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_attempt_ends_however_slowly_a_host_talks() {
    let host = ScriptedHost::start(Script { drip: true, ..Script::default() }).await;
    let smarthost = Some(Smarthost { host: host.address.ip().to_string(), port: host.address.port() });
    let patient = Timeouts { banner: Duration::from_secs(300), ..settings().timeouts };
    let attempt_time = Duration::from_secs(1);
    let outbound =
        Outbound::new(OutboundSettings { smarthost, timeouts: patient, attempt_time, ..settings() });
    let began = Instant::now();
    let attempts = send(&outbound.expect("outbound"), &Destination::Smarthost, &["b@x.test"], CONTENT).await;
    assert_eq!(letters(&attempts), "T", "{attempts:?}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

/// RFC 5321 section 5.1: a connection that waits to the second host is no reason to pass the first one over.
#[tokio::test]
async fn s_96_the_first_host_is_asked_again_once_it_is_back() {
    let backup = ScriptedHost::start_at(loopback(12), 0, Script::default()).await;
    let port = backup.address.port();
    let zone = Zone::default()
        .with("far.test", mx(10, "a.far.test"))
        .with("far.test", mx(20, "b.far.test"))
        .with("a.far.test", a([127, 0, 0, 11]))
        .with("b.far.test", a([127, 0, 0, 12]));
    let settings = OutboundSettings { resolvers: vec![zone.start().await], port, ..settings() };
    let outbound = Outbound::new(settings).expect("outbound");
    let destination = outbound.destination(&"far.test".parse().expect("domain"));
    let mail = async || letters(&send(&outbound, &destination, &["b@far.test"], CONTENT).await);
    for _ in 0..2 {
        assert_eq!(mail().await, "D");
    }
    assert_eq!((backup.seen().connections, backup.seen().mails.len()), (1, 2), "one connection waits");
    let first = ScriptedHost::start_at(loopback(11), port, Script::default()).await;
    for _ in 0..2 {
        assert_eq!(mail().await, "D");
    }
    assert_eq!((first.seen().connections, first.seen().mails.len()), (1, 2));
    assert_eq!((backup.seen().connections, backup.seen().mails.len()), (1, 2), "and nobody used it");
}

#[tokio::test]
async fn of_equally_good_hosts_the_one_that_a_connection_waits_to_comes_first() {
    let one = ScriptedHost::start_at(loopback(13), 0, Script::default()).await;
    let port = one.address.port();
    let other = ScriptedHost::start_at(loopback(14), port, Script::default()).await;
    let zone = Zone::default()
        .with("far.test", mx(10, "a.far.test"))
        .with("far.test", mx(10, "b.far.test"))
        .with("a.far.test", a([127, 0, 0, 13]))
        .with("b.far.test", a([127, 0, 0, 14]));
    let settings = OutboundSettings { resolvers: vec![zone.start().await], port, ..settings() };
    let outbound = Outbound::new(settings).expect("outbound");
    let destination = outbound.destination(&"far.test".parse().expect("domain"));
    for _ in 0..8 {
        assert_eq!(letters(&send(&outbound, &destination, &["b@far.test"], CONTENT).await), "D");
    }
    assert_eq!(one.seen().connections + other.seen().connections, 1);
}

#[tokio::test]
async fn a_waiting_connection_that_breaks_is_no_word_of_its_host() {
    let cutting = Script { mails_per_connection: 1, closes_when_asked: true, ..Script::default() };
    let host = ScriptedHost::start(cutting).await;
    let outbound = to_smarthost(&host);
    // The second one is asked anew; what the host cannot take is refused over the connection that waits, and not twice.
    for (to, expected) in [("b@x.test", "D"), ("c@x.test", "D"), ("j\u{f6}rg@x.test", "R")] {
        let attempts = send(&outbound, &Destination::Smarthost, &[to], CONTENT).await;
        assert_eq!(letters(&attempts), expected, "{to} {attempts:?}");
    }
    assert_eq!(host.seen().connections, 2);
}

#[tokio::test]
async fn s_93_what_dns_says_decides() {
    let host = ScriptedHost::start_at(loopback(6), 0, Script::default()).await;
    let port = host.address.port();
    let zone = || {
        Zone::default()
            .with("null.test", mx(0, "."))
            .with("null.test", a([127, 0, 0, 6]))
            .with("plain.test", a([127, 0, 0, 6]))
            .with("empty.test", mx(10, "mx.empty.test"))
            .with("mx.empty.test", mx(10, "elsewhere.test"))
            .with("ours.test", mx(10, "mail.postern.test"))
            .with("ours.test", mx(20, "b.plain.test"))
            .with("half.test", mx(10, "broken.test"))
            .failing("broken.test")
    };
    for (domain, allowed, expected, code) in [
        ("null.test", true, "R", Some((5, 1, 10))),
        ("plain.test", true, "D", None),
        ("plain.test", false, "R", Some((5, 4, 4))),
        ("nowhere.test", true, "R", Some((5, 1, 2))),
        ("broken.test", true, "T", None),
        ("half.test", true, "T", None),
        ("empty.test", true, "R", Some((5, 4, 4))),
        ("ours.test", true, "T", None),
    ] {
        let attempts = by_mx(zone(), domain, port, allowed).await;
        assert_eq!(letters(&attempts), expected, "{domain} {attempts:?}");
        if let [Attempt::Refused(refused)] = &attempts[..] {
            assert_eq!(Some(refused.code), code, "{domain}");
        }
    }
    assert_eq!(host.seen().mails.len(), 1);
}

#[tokio::test]
async fn s_94_a_host_that_takes_no_mail_is_final_only_if_all_say_so() {
    for (second, expected) in [("521 no mail here\r\n", "R"), ("421 busy\r\n", "T"), ("220 hello\r\n", "D")] {
        let none = Script { banner: "521 5.3.2 no mail here\r\n".to_owned(), ..Script::default() };
        let none = ScriptedHost::start_at(loopback(7), 0, none).await;
        let port = none.address.port();
        let other = Script { banner: second.to_owned(), ..Script::default() };
        let _other = ScriptedHost::start_at(loopback(8), port, other).await;
        let zone = Zone::default()
            .with("far.test", mx(10, "a.far.test"))
            .with("far.test", mx(20, "b.far.test"))
            .with("a.far.test", a([127, 0, 0, 7]))
            .with("b.far.test", a([127, 0, 0, 8]));
        let attempts = by_mx(zone, "far.test", port, true).await;
        assert_eq!(letters(&attempts), expected, "{second} {attempts:?}");
    }
}

/// RFC 6531 section 3.2: another host of the domain may know SMTPUTF8. What does not need it goes to the first one.
#[tokio::test]
async fn s_91_what_one_host_cannot_take_the_next_one_may() {
    let knows = Script { smtp_utf8: true, ..Script::default() };
    let busy = Script { banner: "421 4.3.2 busy\r\n".to_owned(), ..Script::default() };
    let none = Script { banner: "521 5.3.2 no mail here\r\n".to_owned(), ..Script::default() };
    for (second, expected) in [
        (Some(knows.clone()), "DD"),
        (Some(knows.answering("RCPT", "450 4.2.1 later")), "DT"),
        (Some(Script::default()), "DR"),
        (Some(none), "DR"),
        // Whoever may know it is asked again later.
        (Some(busy), "DT"),
        (None, "DT"),
    ] {
        let first = ScriptedHost::start_at(loopback(9), 0, Script::default()).await;
        let port = first.address.port();
        let second = match second {
            Some(script) => Some(ScriptedHost::start_at(loopback(10), port, script).await),
            None => None,
        };
        let zone = Zone::default()
            .with("far.test", mx(10, "a.far.test"))
            .with("far.test", mx(20, "b.far.test"))
            .with("a.far.test", a([127, 0, 0, 9]))
            .with("b.far.test", a([127, 0, 0, 10]));
        let settings = OutboundSettings { resolvers: vec![zone.start().await], port, ..settings() };
        let outbound = Outbound::new(settings).expect("outbound");
        let destination = outbound.destination(&"far.test".parse().expect("domain"));
        // The second time over a connection that waits for more.
        for count in 1..=2 {
            let to = ["b@far.test", "j\u{f6}rg@far.test"];
            let attempts = send(&outbound, &destination, &to, CONTENT).await;
            assert_eq!(letters(&attempts), expected, "{attempts:?}");
            assert_eq!(first.seen().mails.len(), count);
            assert!(first.seen().mails.iter().all(|mail| mail.recipients == ["b@far.test"]));
            if let Attempt::Refused(refused) = &attempts[1] {
                assert_eq!((refused.code, refused.host.as_deref()), (NEEDS_UTF8, Some("a.far.test")));
            }
            if expected == "DD" {
                let taken = second.as_ref().expect("a second host").seen().mails;
                assert_eq!(taken.len(), count);
                assert!(taken.iter().all(|mail| mail.recipients == ["j\u{f6}rg@far.test"]));
            }
        }
    }
}

#[test]
fn smarthosts_are_host_and_port() {
    let good: Smarthost = "[::1]:25".parse().expect("good");
    assert_eq!((good.host.as_str(), good.port), ("::1", 25));
    for bad in ["", "host", "host:", ":25", "host:0", "host:70000", "a b:25"] {
        assert!(bad.parse::<Smarthost>().is_err(), "{bad}");
    }
}
