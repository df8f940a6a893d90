//! What those see who look at the doors from outside with the usual tools: nmap's SMTP scripts (is it an open relay, does it tell who
//! exists?), and testssl.sh (which TLS is there?), which takes minutes: `make probes`.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use anyhow::Context as _;
use postern_tests::platform::{Blueprint, Platform};
use serde_json::Value;
use tokio::process::Command;

const WHY: &str = "make probes installs what is needed";
/// One probe of one door takes no longer on a slow machine.
const PROBE_TIMEOUT: Duration = Duration::from_secs(600);

async fn house() -> anyhow::Result<Platform> {
    let platform = Blueprint::new().start().await.context(WHY)?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    // A name that each list of names begins with.
    admin.mailbox("admin@homepage.test").await?;
    Ok(platform)
}

/// What a program says.
async fn said(program: &str, words: &[&str]) -> anyhow::Result<String> {
    let running = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{program}: {WHY}"))?;
    let output = tokio::time::timeout(PROBE_TIMEOUT, running.wait_with_output()).await.context(WHY)??;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(format!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// nmap finds services by their ports; the `+` has its scripts look at ours, too. `smtp-strangeport` is left out: all it could tell is
/// that the doors of a test have numbers of their own.
async fn nmap(door: SocketAddr, script: &str, arguments: &str) -> anyhow::Result<String> {
    let (port, script) = (door.port().to_string(), format!("+{script}"));
    let host = door.ip().to_string();
    let words =
        ["-Pn", "-n", "-sT", "-p", &port, "--script", &script, "--script-args", arguments, "-d", &host];
    let text = said("nmap", &words).await?;
    let name = script.trim_start_matches('+');
    anyhow::ensure!(text.contains(&format!("| {name}: ")) || text.contains(&format!("|_{name}: ")), "{text}");
    Ok(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn nmap_finds_no_open_relay_and_learns_of_nobody() -> anyhow::Result<()> {
    let platform = house().await?;
    for door in [platform.smtp(0), platform.submission(0)] {
        let domains = "smtp-open-relay.domain=far.test,smtp-open-relay.ip=203.0.113.9";
        let text = nmap(door, "smtp-open-relay", domains).await?;
        let closed = ["Server doesn't seem to be an open relay", "Server isn't an open relay"];
        assert!(closed.iter().any(|said| text.contains(said)), "{text}");
        let text = nmap(door, "smtp-commands", "smtp.domain=homepage.test").await?;
        assert!(text.contains("PIPELINING") && !text.contains("VRFY") && !text.contains("EXPN"), "{text}");
        // RCPT tells, as it must to the world's mail servers; VRFY and EXPN tell nothing.
        let names = "smtp-enum-users.methods={VRFY,EXPN},smtp.domain=homepage.test";
        let text = nmap(door, "smtp-enum-users", names).await?;
        assert!(
            !text.lines().any(|line| line.starts_with('|') && line.trim_end().ends_with(" admin")),
            "{text}"
        );
    }
    Ok(())
}

/// What testssl.sh thinks of a door: each finding that is worse than "could be better".
async fn testssl(
    platform: &Platform,
    door: SocketAddr,
    starttls: Option<&str>,
) -> anyhow::Result<(Value, Vec<String>)> {
    let report = platform.folder().join(format!("testssl-{}.json", door.port()));
    let (report_text, door_text) = (report.display().to_string(), door.to_string());
    let mut words = vec!["--quiet", "--color", "0", "--warnings", "off", "--jsonfile", &report_text];
    // Protocols, kinds of ciphers, forward secrecy, renegotiation, compression.
    words.extend(["-p", "-s", "-f", "-R", "-C"]);
    if let Some(protocol) = starttls {
        words.extend(["--starttls", protocol]);
    }
    words.push(&door_text);
    let text = said("testssl", &words).await?;
    let json = std::fs::read_to_string(&report).with_context(|| text.clone())?;
    let found: Value = serde_json::from_str(&json).with_context(|| json.clone())?;
    let worse = |finding: &Value| {
        let severity = finding["severity"].as_str().unwrap_or_default();
        ["MEDIUM", "HIGH", "CRITICAL", "FATAL"].contains(&severity).then(|| finding.to_string())
    };
    let bad = found.as_array().context("a list")?.iter().filter_map(worse).collect();
    Ok((found, bad))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes, and needs testssl.sh: make probes"]
async fn testssl_finds_nothing_wrong_at_any_door() -> anyhow::Result<()> {
    let platform = house().await?;
    for (door, starttls) in [
        (platform.smtp(0), Some("smtp")),
        (platform.submission(0), Some("smtp")),
        (platform.smtps(0), None),
        (platform.pop3(0), Some("pop3")),
        (platform.pop3s(0), None),
    ] {
        let (found, bad) = testssl(&platform, door, starttls).await?;
        assert!(bad.is_empty(), "{door} {starttls:?}: {bad:#?}");
        let told = |id: &str| {
            let finding = found.as_array().into_iter().flatten().find(|finding| finding["id"] == id);
            finding.and_then(|finding| finding["finding"].as_str()).unwrap_or_default().to_owned()
        };
        for old in ["SSLv2", "SSLv3", "TLS1", "TLS1_1"] {
            assert!(told(old).starts_with("not offered"), "{door}: {old} {}", told(old));
        }
        for new in ["TLS1_2", "TLS1_3"] {
            assert!(told(new).starts_with("offered"), "{door}: {new} {}", told(new));
        }
        // Its name since version 3.2, and before.
        let secrecy = [told("FS"), told("PFS")];
        assert!(secrecy.iter().any(|said| said.starts_with("offered")), "{door}: {secrecy:?}");
    }
    Ok(())
}
