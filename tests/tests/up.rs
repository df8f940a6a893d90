//! The newcomer's first command: `postern up --demo` stands, says how to try it, and comes back with its data.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    path::Path,
    time::{Duration, Instant},
};

use postern_tests::{
    eventually,
    platform::run,
    pop3::{Pop3, read_all},
    process::{Process, binary_folder, http_get},
    smtp::{self, message},
};

const DEMO_PASSWORD: &str = "postern-demo";
const PORTS: [u16; 13] = [1110, 1995, 2525, 2587, 2465, 8080, 8443, 7101, 7102, 7103, 9101, 9104, 9106];

/// An offset at which all doors of a house are free.
fn free_offset() -> u16 {
    (0..500)
        .map(|_| 10_000 + rand::random::<u16>() % 40_000)
        .find(|offset| PORTS.iter().all(|port| TcpListener::bind(("127.0.0.1", port + offset)).is_ok()))
        .expect("a free range of ports")
}

fn door(port: u16, offset: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port + offset))
}

async fn start(home: &Path, offset: u16) -> anyhow::Result<Process> {
    let environment = BTreeMap::from([
        ("POSTERN_HOME".to_owned(), home.join("house").display().to_string()),
        ("POSTERN_PORT_OFFSET".to_owned(), offset.to_string()),
    ]);
    let log = home.join("up.log");
    std::fs::write(&log, "")?;
    let mut house = Process::new("postern", &["up", "--demo"], environment, &log, None)?;
    house.spawn()?;
    let ready = eventually(Duration::from_secs(60), async || {
        std::fs::read_to_string(&log).unwrap_or_default().lines().any(|l| l == "postern is ready")
    })
    .await;
    anyhow::ensure!(ready, "not ready: {}", house.log_tail());
    Ok(house)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_stands_works_and_comes_back_with_its_data() -> anyhow::Result<()> {
    let home = tempfile::Builder::new().prefix("postern-up-").tempdir()?;
    let offset = free_offset();
    let begin = Instant::now();
    let mut house = start(home.path(), offset).await?;
    println!("first start: ready after {:.1} s", begin.elapsed().as_secs_f64());

    // Mail from outside, into the demo's box and its catch-all.
    for to in ["user@homepage.test", "whoever@homepage.test", "sales@homepage.test"] {
        let reply = smtp::send(door(2525, offset), "a@outside.test", &[to], &message("demo", 900)).await?;
        assert!(reply.starts_with("250 "), "{to}: {reply}");
    }
    // Refused, check, sent; what leaves is kept.
    let outside = ["you@outside.test"];
    let letter = message("demo-out", 900);
    let reply = smtp::send(door(2525, offset), "user@homepage.test", &outside, &letter).await?;
    assert!(
        reply.starts_with("550 5.7.1 relaying prohibited: check your mail at mail.homepage.test first"),
        "{reply}"
    );
    assert_eq!(read_all(door(1110, offset), "user@homepage.test", DEMO_PASSWORD).await?.len(), 2);
    assert_eq!(read_all(door(1110, offset), "homepage", DEMO_PASSWORD).await?.len(), 1);
    let reply = smtp::send(door(2525, offset), "user@homepage.test", &outside, &letter).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    let folder = home.path().join("house/outside");
    let kept = eventually(Duration::from_secs(10), async || {
        let files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        files.filter(|f| f.path().extension().is_some_and(|e| e == "eml")).any(|f| {
            let text = std::fs::read(f.path()).unwrap_or_default();
            text.starts_with(b"Return-Path: <user@homepage.test>") && text.ends_with(&letter)
        })
    })
    .await;
    assert!(kept, "outside/*.eml holds what left");

    let (status, page) = http_get(door(8080, offset), "/controlpanel").await?;
    assert_eq!(status, 200);
    assert!(
        page.contains("1110") || page.contains(&(1110 + offset).to_string()),
        "the page shows the POP3 port"
    );
    operator_commands(home.path(), offset).await?;

    let begin = Instant::now();
    assert!(house.stop(Duration::from_secs(20)).await?, "stops by itself in under 20 s");
    println!("stopped after {:.1} s", begin.elapsed().as_secs_f64());
    let begin = Instant::now();
    let mut house = start(home.path(), offset).await?;
    println!("second start: ready after {:.1} s", begin.elapsed().as_secs_f64());
    assert_eq!(
        read_all(door(1110, offset), "user@homepage.test", DEMO_PASSWORD).await?.len(),
        2,
        "it keeps its data"
    );

    // kill -9 of the whole house, and up again over what it left behind.
    house.kill()?;
    let mut house = start(home.path(), offset).await?;
    let free = eventually(Duration::from_secs(70), async || {
        Pop3::login(door(1110, offset), "user@homepage.test", DEMO_PASSWORD).await.is_ok()
    })
    .await;
    assert!(free);
    assert!(house.stop(Duration::from_secs(20)).await?);
    Ok(())
}

/// The operator's commands find doors and token in the data folder by themselves.
async fn operator_commands(home: &Path, offset: u16) -> anyhow::Result<()> {
    let own_password = home.join("own-password");
    std::fs::write(&own_password, format!("{DEMO_PASSWORD}\n"))?;
    let environment = BTreeMap::from([
        ("POSTERN_PASSWORD_FILE".to_owned(), own_password.display().to_string()),
        ("POSTERN_HOME".to_owned(), home.join("house").display().to_string()),
        ("POSTERN_PORT_OFFSET".to_owned(), offset.to_string()),
    ]);
    let postern = binary_folder()?.join("postern");
    let table: &[(&[&str], &str, i32, &str)] = &[
        (&["customer", "list"], "", 0, "homepage"),
        (&["customer", "show", "homepage"], "", 0, "homepage.test"),
        (&["domain", "list"], "", 0, "homepage.test"),
        (&["account", "add", "new@homepage.test", "--password-stdin"], "long enough", 0, "new@homepage.test"),
        (&["account", "add", "new@homepage.test", "--password-stdin"], "long enough", 1, "already"),
        (&["account", "add", "short@homepage.test", "--password-stdin"], "short", 1, "password"),
        (&["account", "add", "no address", "--password-stdin"], "long enough", 1, "address"),
        (&["account", "list", "homepage.test"], "", 0, "new@homepage.test"),
        (&["account", "suspend", "new@homepage.test"], "", 0, ""),
        (&["account", "remove", "new@homepage.test"], "", 0, ""),
        (&["account", "remove", "new@homepage.test"], "", 1, "not found"),
        (&["forward", "add", "a@homepage.test", "b@homepage.test", "c@outside.test"], "", 0, ""),
        (&["forward", "add", "b@homepage.test", "a@homepage.test"], "", 1, "a@homepage.test"),
        (&["forward", "list", "homepage.test"], "", 0, "c@outside.test"),
        (&["forward", "remove", "a@homepage.test"], "", 0, ""),
        (&["default-address", "set", "homepage.test", "reject"], "", 0, ""),
        (&["default-address", "set", "homepage.test", "box"], "", 0, ""),
        (&["mailbox", "show", "user@homepage.test"], "", 0, "2"),
        (&["grant", "list"], "", 0, "user@homepage.test"),
        (&["grant", "revoke", "--login", "user@homepage.test"], "", 0, "1"),
        (&["lock", "list"], "", 0, ""),
        (&["queue", "list"], "", 0, ""),
        (&["customer", "list", "--json"], "", 0, "\"customers\""),
        (&["customer", "add", "other", "--password-stdin"], "long enough", 0, "other"),
        (&["token", "add", "--role", "support", "--name", "t", "--scope", "*:read"], "", 0, "pst_"),
        (
            &["token", "add", "--role", "customer", "--name", "t", "--scope", "*:read"],
            "",
            1,
            "token.customer",
        ),
        (
            &["--as", "homepage", "token", "add", "--role", "customer", "--name", "o", "--scope", "*:read"],
            "",
            0,
            "pst_",
        ),
        (&["token", "list"], "", 0, "support"),
        (&["token", "revoke", "999999"], "", 1, "no API token"),
        (&["app-password", "add", "user@homepage.test", "--protocol", "pop3", "--name", "n"], "", 0, "pop3"),
        (&["app-password", "list", "user@homepage.test"], "", 0, "pop3"),
        (&["app-password", "remove", "user@homepage.test", "999999"], "", 1, ""),
        (&["limits", "set", "homepage", "--mailboxes", "50", "--storage", "20G"], "", 0, "21474836480"),
        (&["limits", "set", "homepage", "--storage", "none"], "", 0, "50"),
        (&["limits", "set", "homepage", "--storage", "much"], "", 2, "none"),
        (&["limits", "show", "homepage"], "", 0, "50"),
        (
            &["audit", "list", "--kind", "forward", "--action", "delete", "--since", "1d"],
            "",
            0,
            "a@homepage.test",
        ),
        (&["audit", "restore", "999999"], "", 1, ""),
        (&["--as", "homepage", "limits", "show", "homepage"], "", 0, "50"),
        (&["--as", "homepage", "limits", "show", "other"], "", 1, "not found"),
        (&["--as", "homepage", "limits", "set", "homepage", "--mailboxes", "60"], "", 1, ""),
        (&["--as", "homepage", "--password-stdin", "limits", "show", "homepage"], "wrong\n", 1, ""),
        // The own password is the first line, what the command reads follows.
        (
            &[
                "--as",
                "homepage",
                "--password-stdin",
                "account",
                "add",
                "own@homepage.test",
                "--password-stdin",
            ],
            "postern-demo\nlong enough",
            0,
            "own@homepage.test",
        ),
        (&["account", "remove", "own@homepage.test"], "", 0, ""),
        (&["--password-stdin", "customer", "list"], "x", 2, "--as"),
        (&["frobnicate"], "", 2, ""),
    ];
    for (arguments, stdin, code, said) in table {
        let (got, out, error) = run(&postern, arguments, &environment, stdin).await?;
        assert_eq!(got, *code, "{arguments:?}: {out}{error}");
        assert!(format!("{out}{error}").contains(said), "{arguments:?} says {said:?}: {out}{error}");
    }
    let json = run(&postern, &["domain", "show", "homepage.test", "--json"], &environment, "").await?.1;
    let value: serde_json::Value = serde_json::from_str(&json)?;
    assert_eq!(value["domain"]["name"], "homepage.test");
    assert_eq!(value["domain"]["state"], "DOMAIN_STATE_LIVE");
    Ok(())
}
