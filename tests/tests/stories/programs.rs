//! Real mail programs against the house: curl, swaks, msmtp, mpop, fetchmail, Python's poplib and smtplib.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use postern_tests::{
    admin::PASSWORD,
    eventually,
    platform::{Blueprint, Platform, run},
    smtp::{self, message},
};

const BOX: &str = "user@homepage.test";

/// Every program plays the story of the platform from an address of its own.
#[tokio::test(flavor = "multi_thread")]
async fn real_programs_check_and_then_send() -> anyhow::Result<()> {
    let platform = Blueprint::new().start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox(BOX).await?;

    let programs: [(&str, Play); 4] = [
        ("curl", Play { check: curl_check, send: curl_send }),
        ("swaks", Play { check: mpop_check, send: swaks_send }),
        ("msmtp", Play { check: fetchmail_check, send: msmtp_send }),
        ("python", Play { check: python_check, send: python_send }),
    ];
    for (sent, (name, play)) in programs.into_iter().enumerate() {
        revoke_all(&platform).await?;
        let tag = format!("from-outside-{name}");
        let reply = smtp::send(platform.smtp(0), "a@outside.test", &[BOX], &message(&tag, 3000)).await?;
        assert!(reply.starts_with("250"), "{reply}");

        let before = (play.send)(&platform).await?;
        assert_ne!(before.0, 0, "{name}: sending before checking must fail: {before:?}");
        assert!(
            before.1.contains("check your mail at mail.homepage.test first")
                || before.1.contains("relaying prohibited"),
            "{name}: the program shows why: {before:?}"
        );
        let checked = (play.check)(&platform).await?;
        assert_eq!(checked.0, 0, "{name}: {checked:?}");
        assert!(checked.1.contains(&tag), "{name} fetched the message: {checked:?}");
        let after = (play.send)(&platform).await?;
        assert_eq!(after.0, 0, "{name}: {after:?}");
        let arrived =
            eventually(Duration::from_secs(10), async || platform.sink.messages().len() == sent + 1).await;
        assert!(arrived, "{name}: what was sent arrives outside");
    }
    Ok(())
}

type Outcome = std::pin::Pin<Box<dyn Future<Output = anyhow::Result<(i32, String)>> + Send>>;

struct Play {
    check: fn(&Platform) -> Outcome,
    send: fn(&Platform) -> Outcome,
}

/// Ends all grants of the box, so that the next program starts without one.
async fn revoke_all(platform: &Platform) -> anyhow::Result<()> {
    let request = postern_proto::auth::v1::RevokeGrantRequest { login: BOX.to_owned(), ..Default::default() };
    platform.admin()?.relay().revoke_grant(request).await?;
    Ok(())
}

/// Runs a program in a folder of its own as home; returns exit code and everything it said.
fn program(platform: &Platform, name: &'static str, arguments: Vec<String>, stdin: String) -> Outcome {
    let home = platform.folder().join("programs");
    Box::pin(async move {
        fs::create_dir_all(&home)?;
        let environment = BTreeMap::from([
            ("HOME".to_owned(), home.display().to_string()),
            ("LC_ALL".to_owned(), "C.UTF-8".to_owned()),
        ]);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let (code, out, error) = run(Path::new(name), &arguments, &environment, &stdin).await?;
        Ok((code, format!("{out}\n{error}")))
    })
}

/// A configuration file that only its owner may read, as these programs ask for.
fn private_file(platform: &Platform, name: &str, text: &str) -> String {
    let path = platform.folder().join(name);
    fs::write(&path, text).expect("write a configuration file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("make it private");
    path.display().to_string()
}

fn letter() -> String {
    format!("From: {BOX}\r\nTo: you@outside.test\r\nSubject: hello\r\n\r\n.dot line\r\nhello\r\n")
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn curl_check(platform: &Platform) -> Outcome {
    let mut arguments = words(&format!("-sS --max-time 20 pop3://{}/1 --user", platform.pop3(0)));
    arguments.push(format!("{BOX}:{PASSWORD}"));
    program(platform, "curl", arguments, String::new())
}

fn curl_send(platform: &Platform) -> Outcome {
    let file = private_file(platform, "letter.eml", &letter());
    let arguments = words(&format!(
        "-sSv --max-time 20 smtp://{}/client.homepage.test --mail-from {BOX} --mail-rcpt you@outside.test -T {file}",
        platform.smtp(0)
    ));
    program(platform, "curl", arguments, String::new())
}

fn swaks_send(platform: &Platform) -> Outcome {
    let door = platform.submission(0);
    let arguments =
        words(&format!("--server {} --port {} --from {BOX} --to you@outside.test", door.ip(), door.port()));
    program(platform, "swaks", arguments, String::new())
}

fn msmtp_send(platform: &Platform) -> Outcome {
    let door = platform.smtp(0);
    let arguments = words(&format!(
        "--host={} --port={} --from={BOX} --auth=off --tls=off you@outside.test",
        door.ip(),
        door.port()
    ));
    program(platform, "msmtp", arguments, letter())
}

fn mpop_check(platform: &Platform) -> Outcome {
    let door = platform.pop3(0);
    let spool = platform.folder().join("mpop.mbox");
    let configuration = format!(
        "account default\nhost {}\nport {}\nuser {BOX}\npassword {PASSWORD:?}\ntls off\nauth user\nkeep off\n\
         delivery mbox {}\nuidls_file {}\n",
        door.ip(),
        door.port(),
        spool.display(),
        platform.folder().join("mpop.uidls").display()
    );
    let file = private_file(platform, "mpoprc", &configuration);
    let fetch = program(platform, "mpop", words(&format!("--file={file}")), String::new());
    with_spool(fetch, spool)
}

fn fetchmail_check(platform: &Platform) -> Outcome {
    let door = platform.pop3(0);
    let spool = platform.folder().join("fetchmail.mbox");
    let configuration = format!(
        "poll {} service {} protocol pop3 username {BOX:?} password {PASSWORD:?} sslproto '' mda \"cat >> {}\"\n",
        door.ip(),
        door.port(),
        spool.display()
    );
    let file = private_file(platform, "fetchmailrc", &configuration);
    let pids = platform.folder().join("fetchmail.pid");
    let arguments = words(&format!("--fetchmailrc {file} --pidfile {} --nosyslog -a -v", pids.display()));
    with_spool(program(platform, "fetchmail", arguments, String::new()), spool)
}

/// What a fetching program wrote to its spool file belongs to what it said.
fn with_spool(fetch: Outcome, spool: std::path::PathBuf) -> Outcome {
    Box::pin(async move {
        let (code, said) = fetch.await?;
        Ok((code, said + &fs::read_to_string(spool).unwrap_or_default()))
    })
}

fn python_check(platform: &Platform) -> Outcome {
    let door = platform.pop3(0);
    let script = format!(
        "import poplib\np = poplib.POP3({:?}, {})\np.user({BOX:?})\np.pass_({PASSWORD:?})\n\
         count, size = p.stat()\nlines = p.retr(count)[1]\nassert p.capa()['UIDL'] == []\n\
         p.dele(count)\np.quit()\nprint(b'\\n'.join(lines).decode())\n",
        door.ip().to_string(),
        door.port()
    );
    program(platform, "python3", vec!["-c".to_owned(), script], String::new())
}

fn python_send(platform: &Platform) -> Outcome {
    let door = platform.smtp(0);
    let script = format!(
        "import smtplib\ns = smtplib.SMTP({:?}, {})\ns.sendmail({BOX:?}, ['you@outside.test'], {:?})\ns.quit()\n",
        door.ip().to_string(),
        door.port(),
        letter()
    );
    program(platform, "python3", vec!["-c".to_owned(), script], String::new())
}
