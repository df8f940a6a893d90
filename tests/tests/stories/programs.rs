//! Real mail programs against the house, in clear text, over STARTTLS and over TLS: each checks mail, then sends.

mod fetch;
mod send;
mod thunderbird;

use std::{
    collections::BTreeMap, fs, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::Path, time::Duration,
};

use postern_tests::{
    eventually,
    platform::{Blueprint, Platform, run},
    smtp::{self, message},
};
use thunderbird::Thunderbird;

const BOX: &str = "user@homepage.test";

/// How a program is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tls {
    /// In clear text, as programs were before.
    Off,
    /// STLS and STARTTLS.
    Start,
    /// TLS from the first octet.
    Implicit,
}

impl Tls {
    /// As scripts read it.
    fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Start => "start",
            Self::Implicit => "implicit",
        }
    }
}

/// Exit code, and everything that was said and fetched.
type Outcome = std::pin::Pin<Box<dyn Future<Output = anyhow::Result<(i32, String)>> + Send>>;

/// What a person sets up: one program, or two, for both directions.
struct Play {
    name: &'static str,
    check: fn(&Setup<'_>) -> Outcome,
    send: fn(&Setup<'_>) -> Outcome,
    /// It can begin in clear text; else it knows TLS from the first octet only.
    starttls: bool,
    /// Without a password to give it says HELO where it can.
    helo: bool,
}

const fn play(name: &'static str, check: fn(&Setup<'_>) -> Outcome, send: fn(&Setup<'_>) -> Outcome) -> Play {
    Play { name, check, send, starttls: true, helo: false }
}

const PLAYS: [Play; 9] = [
    play("curl", fetch::curl, send::curl),
    play("mpop and swaks", fetch::mpop, send::swaks),
    play("fetchmail and msmtp", fetch::fetchmail, send::msmtp),
    Play { starttls: false, ..play("getmail and msmtp", fetch::getmail, send::msmtp) },
    Play { helo: true, ..play("mutt", fetch::mutt, send::mutt) },
    Play { helo: true, ..play("s-nail", fetch::s_nail, send::s_nail) },
    play("Python", fetch::python, send::python),
    play("Perl", fetch::perl, send::perl),
    Play { starttls: false, ..play("Ruby", fetch::ruby, send::ruby) },
];

#[tokio::test(flavor = "multi_thread")]
async fn real_programs_check_and_then_send_in_clear_text() -> anyhow::Result<()> {
    story(Tls::Off).await
}

#[tokio::test(flavor = "multi_thread")]
async fn real_programs_check_and_then_send_over_starttls() -> anyhow::Result<()> {
    story(Tls::Start).await
}

#[tokio::test(flavor = "multi_thread")]
async fn real_programs_check_and_then_send_over_tls() -> anyhow::Result<()> {
    story(Tls::Implicit).await
}

/// Every program plays the story of the platform; with TLS a password in clear text would be refused.
async fn story(tls: Tls) -> anyhow::Result<()> {
    let clear_text = if tls == Tls::Off { "true" } else { "false" };
    let platform = Blueprint::new().set("POSTERN_PLAINTEXT_LOGIN", clear_text).start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox(BOX).await?;
    let setup = Setup { platform: &platform, tls };

    for (sent, play) in PLAYS.iter().filter(|play| play.starttls || tls != Tls::Start).enumerate() {
        let name = play.name;
        revoke_all(&platform).await?;
        let tag = format!("from-outside-{sent}");
        let reply = smtp::send(platform.smtp(0), "a@outside.test", &[BOX], &message(&tag, 3000)).await?;
        assert!(reply.starts_with("250"), "{reply}");

        let before = (play.send)(&setup).await?;
        assert_ne!(before.0, 0, "{name}: sending before checking must fail: {before:?}");
        assert!(
            before.1.contains("check your mail at mail.homepage.test first")
                || before.1.contains("relaying prohibited"),
            "{name}: the program shows why: {before:?}"
        );
        let checked = (play.check)(&setup).await?;
        assert_eq!(checked.0, 0, "{name}: {checked:?}");
        assert!(checked.1.contains(&tag), "{name} fetched the message: {checked:?}");
        let after = (play.send)(&setup).await?;
        assert_eq!(after.0, 0, "{name}: {after:?}");
        setup.arrived_outside(name, play.helo, sent + 1).await;
    }
    with_windows(&setup).await
}

/// The same in windows, with buttons: a letter is written, cannot be sent, and can once mail was checked.
async fn with_windows(setup: &Setup<'_>) -> anyhow::Result<()> {
    let sent = setup.platform.sink.messages().len();
    revoke_all(setup.platform).await?;
    let reply =
        smtp::send(setup.platform.smtp(0), "a@outside.test", &[BOX], &message("for-the-bird", 3000)).await?;
    assert!(reply.starts_with("250"), "{reply}");
    let mut thunderbird = Thunderbird::start(setup).await?;
    let refused = thunderbird.send().await?.unwrap_or_default();
    assert!(refused.contains("check your mail at mail.homepage.test first"), "it shows why: {refused}");
    thunderbird.check("for-the-bird").await?;
    let sent_now = thunderbird.send().await?;
    assert_eq!(sent_now, None, "it may send now: {}", thunderbird.said());
    setup.arrived_outside("Thunderbird", false, sent + 1).await;
    Ok(())
}

/// Ends all grants of the box, so that the next program starts without one.
async fn revoke_all(platform: &Platform) -> anyhow::Result<()> {
    let request = postern_proto::auth::v1::RevokeGrantRequest { login: BOX.to_owned(), ..Default::default() };
    platform.admin()?.relay().revoke_grant(request).await?;
    Ok(())
}

/// Where a program finds the house.
struct Setup<'a> {
    platform: &'a Platform,
    tls: Tls,
}

impl Setup<'_> {
    /// What the program sent has arrived, as it was written.
    async fn arrived_outside(&self, name: &str, helo: bool, count: usize) {
        let sink = &self.platform.sink;
        let arrived = eventually(Duration::from_secs(10), async || sink.messages().len() == count).await;
        assert!(arrived, "{name}: what was sent arrives outside");
        let left = sink.messages().pop().expect("it arrived");
        let content = String::from_utf8_lossy(&left.content).into_owned();
        assert!(content.contains("\r\n.dot line\r\nhello\r\n"), "{name}: as it was written: {content}");
        let over = if self.tls == Tls::Off { "with ESMTP id" } else { "with ESMTPS id" };
        let may_be_old = helo && content.contains("with SMTP id");
        assert!(content.contains(over) || may_be_old, "{name}: {over} in {content}");
    }

    /// POP3 door.
    fn pop3(&self) -> SocketAddr {
        match self.tls {
            Tls::Implicit => self.platform.pop3s(0),
            _ => self.platform.pop3(0),
        }
    }

    /// Door for sending: that of mail programs with TLS, the old one without.
    fn smtp(&self) -> SocketAddr {
        match self.tls {
            Tls::Off => self.platform.smtp(0),
            Tls::Start => self.platform.submission(0),
            Tls::Implicit => self.platform.smtps(0),
        }
    }

    /// The authority that programs are told to trust.
    fn authority(&self) -> String {
        self.platform.authority().display().to_string()
    }

    /// A path in the folder of the test.
    fn path(&self, name: &str) -> String {
        self.platform.folder().join(name).display().to_string()
    }

    /// A configuration file that only its owner may read, as these programs ask for.
    fn private_file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).expect("write a configuration file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("make it private");
        path
    }

    /// Runs a program in a folder of its own as home; what it wrote to `spool` belongs to what it said, once.
    fn program(
        &self,
        name: &'static str,
        arguments: Vec<String>,
        stdin: String,
        spool: Option<String>,
    ) -> Outcome {
        let home = self.path("programs");
        Box::pin(async move {
            fs::create_dir_all(&home)?;
            let environment = BTreeMap::from([
                ("HOME".to_owned(), home),
                ("LC_ALL".to_owned(), "C.UTF-8".to_owned()),
                ("TERM".to_owned(), "xterm".to_owned()),
            ]);
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            let (code, out, error) = run(Path::new(name), &arguments, &environment, &stdin).await?;
            let fetched = spool.map(|spool| fs::read_to_string(spool).unwrap_or_default());
            Ok((code, format!("{out}\n{error}\n{}", fetched.unwrap_or_default())))
        })
    }

    /// Runs a script with what it must know as arguments: host, port, TLS, authority, and more.
    fn script(&self, program: &'static str, text: &str, door: SocketAddr, more: &[&str]) -> Outcome {
        let flag = if program == "python3" { "-c" } else { "-e" };
        let mut arguments = vec![flag.to_owned(), text.to_owned()];
        if program == "perl" || program == "ruby" {
            arguments.push("--".to_owned());
        }
        arguments.extend(["localhost".to_owned(), door.port().to_string(), self.tls.word().to_owned()]);
        arguments.push(self.authority());
        arguments.extend(more.iter().map(|word| (*word).to_owned()));
        self.program(program, arguments, String::new(), None)
    }
}

fn letter() -> String {
    format!("From: {BOX}\r\nTo: you@outside.test\r\nSubject: hello\r\n\r\n{TEXT}")
}

/// What the letter says; programs that make the header themselves get this.
const TEXT: &str = "first\r\n.dot line\r\nhello\r\n";

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
