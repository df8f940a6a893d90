//! Traces as a collector gets them from the processes of a house: one message is one trace from its socket to the outside host,
//! under the id that its sender was told; so is a login. What is left out by the sampler is left out everywhere.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use postern::sink::{Answer, Moment, Sink, SinkSettings};
use postern_tests::{
    admin::{Admin, PASSWORD},
    eventually,
    otlp::{Exported, Receiver, services},
    platform::{Blueprint, Platform, Service},
    pop3::Pop3,
    smtp::{self, Smtp},
};

const LIMIT: Duration = Duration::from_secs(30);
const USER: &str = "user@homepage.test";

async fn house(receiver: &Receiver, sampler: (&str, &str), sink: &Sink) -> anyhow::Result<(Platform, Admin)> {
    let platform = Blueprint::new()
        .set("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint())
        .set("OTEL_BSP_SCHEDULE_DELAY", "100")
        .set("OTEL_TRACES_SAMPLER", sampler.0)
        .set("OTEL_TRACES_SAMPLER_ARG", sampler.1)
        .set("POSTERN_SMARTHOST", &sink.address().to_string())
        .set("POSTERN_QUEUE_RETRY_SECONDS", "1")
        .start()
        .await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox(USER).await?;
    admin.mailbox("mate@homepage.test").await?;
    Ok((platform, admin))
}

/// Takes mail at the second try of each recipient's.
async fn outside() -> anyhow::Result<Sink> {
    let tries = Arc::new(AtomicUsize::new(0));
    let script = move |moment: &Moment<'_>| match moment {
        Moment::Recipient { .. } if tries.fetch_add(1, Ordering::Relaxed) == 0 => {
            Answer::Reply("450 4.2.1 come back later".to_owned())
        }
        _ => Answer::Accept,
    };
    Ok(Sink::start(SinkSettings { script: Some(Arc::new(script)), ..SinkSettings::default() }).await?)
}

/// One root, and everything else hangs on a span that was exported, too.
fn is_whole(trace: &[Exported], root: (&str, &str)) -> bool {
    let ids: BTreeSet<&[u8]> = trace.iter().map(|exported| &exported.span.span_id[..]).collect();
    let hangs = |exported: &&Exported| ids.contains(&exported.span.parent_span_id[..]);
    let loose: Vec<_> = trace.iter().filter(|exported| !hangs(exported)).collect();
    matches!(loose[..], [only] if only.span.parent_span_id.is_empty()
        && (only.service.as_str(), only.span.name.as_str()) == root)
}

fn attempts(trace: &[Exported]) -> Vec<String> {
    let of = trace.iter().filter(|exported| exported.span.name == "outside attempt");
    let mut of: Vec<_> = of.map(|e| (e.span.start_time_unix_nano, e.attribute("outcome"))).collect();
    of.sort();
    of.into_iter().map(|(_, outcome)| outcome).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_is_one_trace_from_the_socket_to_the_outside_host() -> anyhow::Result<()> {
    const SUBJECT: &str = "unmistakable-subject-7261";
    const TEXT: &str = "unmistakable-content-5923";
    let (receiver, sink) = (Receiver::start().await?, outside().await?);
    let (mut platform, _admin) = house(&receiver, ("", ""), &sink).await?;

    let plain = STANDARD.encode(format!("\0{USER}\0{PASSWORD}"));
    let mut client = Smtp::hello(platform.submission(0)).await?;
    client.expect(&format!("AUTH PLAIN {plain}"), 235).await?;
    let content = format!("From: <{USER}>\r\nSubject: {SUBJECT}\r\n\r\n{TEXT}\r\n");
    let to = ["mate@homepage.test", "friend@outside.test"];
    let reply = client.transaction(USER, &to, content.as_bytes()).await?;
    let id = reply.rsplit(' ').next().unwrap_or_default().to_owned();
    anyhow::ensure!(reply.starts_with("250 ") && id.len() == 32, "{reply}");

    // The id of the reply is that of the trace, of `Received:` in the box and outside, and of the operator's command.
    let root = ("smtp-gateway", "SMTP message");
    let complete = eventually(LIMIT, async || {
        let trace = receiver.trace(&id);
        attempts(&trace) == ["deferred", "delivered"] && is_whole(&trace, root)
    });
    assert!(complete.await, "{:#?}", receiver.trace(&id));
    let trace = receiver.trace(&id);
    for service in ["smtp-gateway", "auth", "account", "delivery"] {
        assert!(services(&trace).contains(service), "{service}: {:?}", services(&trace));
    }
    let first = trace.iter().find(|exported| exported.span.name == root.1).expect("the root");
    assert_eq!((first.attribute("reply").as_str(), first.attribute("door").as_str()), ("250", "submission"));
    let mut reader = Pop3::login(platform.pop3(0), "mate@homepage.test", PASSWORD).await?;
    let inside = String::from_utf8(reader.retr(1).await?)?;
    reader.quit().await?;
    let left = sink.messages();
    let left = String::from_utf8_lossy(&left.first().expect("it left").content).into_owned();
    for message in [&inside, &left] {
        let received = message.split("Received: ").nth(1).unwrap_or_default();
        assert!(received.split(';').next().unwrap_or_default().contains(&format!("id {id}")), "{message}");
    }
    let (code, shown, error) = platform.postern(&["trace", &id], "").await?;
    assert!(code == 0 && shown.contains("friend@outside.test") && shown.contains("sent"), "{shown} {error}");

    // So do the lines of the log that tell of it.
    for (service, told) in [(Service::Delivery, "message taken in"), (Service::Delivery, "left")] {
        let log = std::fs::read_to_string(platform.replica(service, 0).process.log_path())?;
        let names = |line: &&str| line.contains(&format!("\"trace_id\":\"{id}\"")) && line.contains(told);
        let line = log.lines().find(names).unwrap_or_else(|| panic!("{told}: {log}"));
        serde_json::from_str::<serde_json::Value>(line)?;
    }

    // Nothing of what people keep to themselves went to the collector.
    let all = format!("{:?}", receiver.requests());
    for secret in [PASSWORD, &plain, SUBJECT, TEXT, platform.operator_token()] {
        assert!(!all.contains(secret), "{secret} was exported");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_one_trace_over_the_services_that_it_asks() -> anyhow::Result<()> {
    let receiver = Receiver::start().await?;
    let sink = outside().await?;
    let (platform, _admin) = house(&receiver, ("", ""), &sink).await?;
    Pop3::login(platform.pop3(0), USER, PASSWORD).await?.quit().await?;
    assert!(Pop3::login(platform.pop3(0), USER, "wrong").await.is_err());
    let root = ("pop3-gateway", "POP3 login");
    let logins = |outcome: &str| -> Vec<Vec<Exported>> {
        let spans = receiver.spans();
        let of = spans.iter().filter(|e| e.span.name == root.1 && e.attribute("outcome") == outcome);
        of.map(|first| receiver.trace(&first.trace_id())).collect()
    };
    let told = eventually(LIMIT, async || {
        let good = logins("OK");
        good.len() == 1
            && is_whole(&good[0], root)
            && ["pop3-gateway", "auth", "account", "delivery"].iter().all(|s| services(&good[0]).contains(s))
    });
    assert!(told.await, "{:#?}", logins("OK"));
    let told = eventually(LIMIT, async || {
        let bad = logins("BAD_CREDENTIALS");
        bad.len() == 1 && is_whole(&bad[0], root) && services(&bad[0]).contains("auth")
    });
    assert!(told.await, "{:#?}", receiver.spans());
    assert!(!services(&logins("BAD_CREDENTIALS")[0]).contains("delivery"));
    assert!(!format!("{:?}", receiver.requests()).contains(PASSWORD));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn half_of_the_messages_are_traced_and_each_of_them_wholly() -> anyhow::Result<()> {
    const MESSAGES: usize = 24;
    let receiver = Receiver::start().await?;
    let sink = Sink::start(SinkSettings::default()).await?;
    let (platform, _admin) = house(&receiver, ("parentbased_traceidratio", "0.5"), &sink).await?;
    Pop3::login(platform.pop3(0), USER, PASSWORD).await?.quit().await?;
    let mut ids = Vec::new();
    for number in 0..MESSAGES {
        let content = smtp::message(&format!("sampled-{number}"), 300);
        let reply = smtp::send(platform.smtp(0), USER, &["friend@outside.test"], &content).await?;
        anyhow::ensure!(reply.starts_with("250 "), "{reply}");
        ids.push(reply.rsplit(' ').next().unwrap_or_default().to_owned());
    }
    assert!(eventually(LIMIT, async || sink.message_count() == MESSAGES).await, "all left");
    let root = ("smtp-gateway", "SMTP message");
    let traced = || ids.iter().map(|id| receiver.trace(id)).filter(|trace| !trace.is_empty());
    let settled = eventually(LIMIT, async || {
        traced().count() > 0
            && traced().all(|trace| is_whole(&trace, root) && attempts(&trace) == ["delivered"])
    });
    assert!(settled.await, "{:#?}", traced().collect::<Vec<_>>());
    let count = traced().count();
    assert!((1..MESSAGES).contains(&count), "{count} of {MESSAGES}");

    // What is no sampler is told when a service starts.
    let mut environment = platform.environment().clone();
    environment.insert("OTEL_TRACES_SAMPLER_ARG".to_owned(), "half".to_owned());
    let program = postern_tests::process::binary_folder()?.join("postern-account");
    let (code, _, error) = postern_tests::platform::run(&program, &[], &environment, "").await?;
    assert!(code != 0 && error.contains("OTEL_TRACES_SAMPLER_ARG") && error.contains("half"), "{error}");
    Ok(())
}
