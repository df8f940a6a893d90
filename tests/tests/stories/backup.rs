//! A backup of a running house, taken and put back by the commands of docs/DEPLOY.md as they stand there, and another house in
//! which people find their mail as if nothing had been.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use postern::stores::Stores;
use postern_tests::{
    admin::PASSWORD,
    eventually,
    platform::{Blueprint, Platform},
    pop3::Pop3,
    smtp::{self, message},
};

const LIMIT: Duration = Duration::from_secs(30);
const USER: &str = "user@homepage.test";
const STRANGER: &str = "friend@outside.test";
/// What docs/DEPLOY.md says to put into `.env`.
const SETTINGS: &str = "POSTERN_MAIL_HOST=mail.example.net\nPOSTERN_SMARTHOST=relay.example.net:25\n";
/// Above 64 KiB, so a file of its own.
const LARGE: usize = 200_000;

/// The commands below a heading of docs/DEPLOY.md, one script.
fn commands(heading: &str) -> anyhow::Result<String> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/DEPLOY.md"))?;
    let (_, below) = page.split_once(&format!("\n**{heading}.**")).context("a heading")?;
    let lines = below.lines().skip_while(|line| !line.starts_with("    "));
    let block: Vec<_> = lines.map_while(|line| line.strip_prefix("    ")).collect();
    ensure!(block.len() > 3, "no commands below {heading}");
    Ok(block.join("\n"))
}

/// Runs commands where the stores and the volume of a house stand for the containers of compose.
fn run(script: &str, folder: &Path, stores: &Stores, volume: &Path) -> anyhow::Result<()> {
    const DOCKER: &str = r#"#!/bin/bash
set -euo pipefail
case "$1 $2" in
"compose exec") [ "$3 $4" = "-T postgres" ] && shift 4
    # In its container it listens at 127.0.0.1, too.
    arguments=()
    for argument; do [ "$argument" = 127.0.0.1 ] && argument=$PGHOST; arguments+=("$argument"); done
    exec "${arguments[@]}" ;;
"compose ps") echo container ;;
"compose up") ;;
"cp -a") exec cp -a "${3/#container:\/var\/lib\/postern/$VOLUME}" "${4/#container:\/var\/lib\/postern/$VOLUME}" ;;
*) echo "docker $*: not known here" >&2; exit 64 ;;
esac
"#;
    let tools = folder.join("tools");
    fs::create_dir_all(&tools)?;
    let docker = tools.join("docker");
    fs::write(&docker, DOCKER)?;
    fs::set_permissions(&docker, fs::Permissions::from_mode(0o755))?;
    let url = stores.database_url();
    let host = url.split("host=").nth(1).and_then(|rest| rest.split('&').next()).context("a socket")?;
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap_or_default());
    let done = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(folder)
        .env("PATH", path)
        .env("PGHOST", host)
        .env("VOLUME", volume)
        .output()?;
    let told = [&done.stdout[..], &done.stderr[..]].map(String::from_utf8_lossy).concat();
    ensure!(done.status.success(), "{script}\n{told}");
    Ok(())
}

/// Unique ids and contents of the user's box.
async fn read(platform: &Platform) -> anyhow::Result<(Vec<String>, Vec<Vec<u8>>)> {
    let mut session = Pop3::login(platform.pop3(0), USER, PASSWORD).await?;
    let uids = session.uidl().await?;
    let mut contents = Vec::new();
    for number in 1..=uids.len() {
        contents.push(session.retr(number).await?);
    }
    session.quit().await?;
    Ok((uids, contents))
}

fn blueprint(volume: &Path) -> Blueprint {
    Blueprint::new().set("POSTERN_BLOB_URL", &format!("file://{}", volume.join("blobs").display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn another_house_goes_on_from_a_backup() -> anyhow::Result<()> {
    let kept = tempfile::tempdir()?;
    let volume = |name: &str| -> anyhow::Result<PathBuf> {
        let folder = kept.path().join(name);
        fs::create_dir_all(folder.join("blobs"))?;
        Ok(folder)
    };
    let (first_volume, second_volume) = (volume("first")?, volume("second")?);
    let house = blueprint(&first_volume).secrets_in_files().start().await?;
    let admin = house.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox(USER).await?;
    admin.forward("info@homepage.test", &[USER], false).await?;
    for (number, (to, size)) in [(USER, 400), (USER, LARGE), ("info@homepage.test", 900)].iter().enumerate() {
        let content = message(&format!("before-{number}"), *size);
        let reply = smtp::send(house.smtp(0), STRANGER, &[to], &content).await?;
        ensure!(reply.starts_with("250 "), "{reply}");
    }
    let before = read(&house).await?;
    assert_eq!(before.0.len(), 3);
    assert!(before.1.iter().any(|content| content.len() > LARGE));
    assert_eq!(fs::read_dir(first_volume.join("blobs"))?.count(), 1, "the large one is a file");

    // The backup, while somebody has the box open; then more mail, which is lost with the house.
    fs::write(house.folder().join(".env"), SETTINGS)?;
    let open = Pop3::login(house.pop3(0), USER, PASSWORD).await?;
    run(&commands("Backup")?, house.folder(), &house.stores, &first_volume)?;
    drop(open);
    smtp::send(house.smtp(0), STRANGER, &[USER], &message("after", 500)).await?;
    let mut lost = Vec::new();
    let freed = eventually(LIMIT, async || {
        lost = read(&house).await.map(|(uids, _)| uids).unwrap_or_default();
        lost.len() == 4
    });
    assert!(freed.await, "{lost:?}");
    let backup = kept.path().join("elsewhere");
    fs::create_dir(&backup)?;
    fs::rename(house.folder().join("backup"), backup.join("backup"))?;
    drop(house);
    fs::remove_dir_all(&first_volume)?;

    // Another house: new Postgres, new Redis, new ports.
    let stores = Stores::start(&kept.path().join("stores")).await?;
    run(&commands("Restore")?, &backup, &stores, &second_volume)?;
    assert_eq!(fs::read_to_string(backup.join(".env"))?, SETTINGS, "what the operator set");
    let house =
        blueprint(&second_volume).secrets_from(&backup.join("secrets")).on_stores(stores).start().await?;
    let content = message("relay", 300);
    let mut early = String::new();
    // Its parts have yet to find each other.
    eventually(LIMIT, async || {
        early = smtp::send(house.smtp(0), USER, &[STRANGER], &content).await.unwrap_or_default();
        early.starts_with('5')
    })
    .await;
    assert!(early.starts_with("550 5.7.1 relaying prohibited: check your mail"), "no grant: {early}");
    assert_eq!(read(&house).await?, before, "the same mail under the same ids, and the lock is free");
    let reply = smtp::send(house.smtp(0), USER, &[STRANGER], &content).await?;
    assert!(reply.starts_with("250 "), "having checked mail one sends: {reply}");
    assert!(eventually(LIMIT, async || house.sink.message_count() == 1).await, "it left");

    // New mail has an id that no program saw, also none of those that were lost; forwards and operators are there.
    let reply = smtp::send(house.smtp(0), STRANGER, &["info@homepage.test"], &message("new", 500)).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    let (after, _) = read(&house).await?;
    assert_eq!(after[..3], before.0[..]);
    assert!(after.len() == 4 && !lost.contains(&after[3]), "{after:?} {lost:?}");
    let (code, shown, error) = house.postern(&["mailbox", "show", USER], "").await?;
    assert!(code == 0 && shown.contains(USER), "{shown} {error}");
    Ok(())
}
