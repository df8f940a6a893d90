//! `make bench`: what one operation costs, in both shapes of the house, and beside Postfix and Dovecot in the same run
//! when they are installed; what a post to a large list does to others; and how long pages of the control panel take. The measure is CPU seconds of all servers for 1000 operations; rates follow from it.

mod lists;
mod load;
mod pages;
mod report;
mod rivals;
mod statistics;

use std::time::Duration;

use clap::Parser;
use postern_tests::{
    admin::PASSWORD,
    platform::{Blueprint, Platform},
    pop3::Pop3,
    raise_open_files,
    usage::{CpuSeconds, memory_mib},
};

use crate::{
    load::{Operation, Target},
    report::{Report, Row},
};

/// Measures the house.
#[derive(Parser)]
struct Settings {
    /// Seconds for each figure.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Sessions at once, one figure each.
    #[arg(long, value_delimiter = ',', default_value = "1,10,100")]
    sessions: Vec<usize>,
    /// Only these parts: the shapes one and separate, rivals, lists, panel.
    #[arg(long, value_delimiter = ',', default_value = "one,separate,rivals,lists,panel")]
    shapes: Vec<String>,
    /// Messages in the large box.
    #[arg(long, default_value_t = 100_000)]
    large_box: usize,
    /// Idle POP3 sessions for the memory figure.
    #[arg(long, default_value_t = 1000)]
    idle_sessions: usize,
    /// Members of the large list.
    #[arg(long, default_value_t = 10_000)]
    list_members: usize,
    /// Copies of a list that begin in a second; the setting's default without it.
    #[arg(long)]
    list_copies: Option<u32>,
    /// Pairs of windows with and without a post to it.
    #[arg(long, default_value_t = 10)]
    pairs: usize,
    /// Seconds of each of these windows.
    #[arg(long, default_value_t = 30.0)]
    list_seconds: f64,
    /// Looks of each person at each page of the panel.
    #[arg(long, default_value_t = 40)]
    looks: usize,
}

/// Boxes that the loads use; session n uses box n.
const BOXES: usize = 110;
/// Passwords that are checked at once at most: more of them only wait for each other, and in the end are refused.
const CHECKED_AT_ONCE: usize = 10;

fn box_login(number: usize) -> String {
    format!("user{number}@homepage.test")
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    raise_open_files();
    let mut report = Report::default();
    for shape in &settings.shapes {
        match shape.as_str() {
            "one" => measure_house(&settings, true, &mut report).await?,
            "separate" => measure_house(&settings, false, &mut report).await?,
            "rivals" => rivals::measure(&settings, &mut report).await?,
            "lists" => report.lists(lists::measure(&settings).await?),
            "panel" => report.pages(pages::measure(&settings).await?),
            other => anyhow::bail!("no such shape: {other}"),
        }
    }
    report.print();
    report.save()
}

fn operations() -> Vec<(&'static str, Operation)> {
    vec![
        ("deliver 1 KiB", Operation::Deliver { bytes: 1024 }),
        ("deliver 10 KiB", Operation::Deliver { bytes: 10 * 1024 }),
        ("deliver 100 KiB", Operation::Deliver { bytes: 100 * 1024 }),
        ("relay 10 KiB", Operation::Relay { bytes: 10 * 1024 }),
        ("poll", Operation::Poll),
        ("read 20 messages", Operation::Read),
    ]
}

/// A house with the boxes of the loads.
async fn started(blueprint: Blueprint, one_process: bool) -> anyhow::Result<Platform> {
    let platform = if one_process { blueprint.one_process() } else { blueprint }.start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    for number in 0..BOXES {
        admin.mailbox(&box_login(number)).await?;
    }
    Ok(platform)
}

fn target(platform: &Platform) -> Target {
    Target {
        smtp: platform.smtp(0),
        pop3: platform.pop3(0),
        login: box_login,
        sender: "user0@homepage.test",
        outside: "outside.test",
    }
}

async fn measure_house(settings: &Settings, one_process: bool, report: &mut Report) -> anyhow::Result<()> {
    let shape = if one_process { "one process" } else { "separate" };
    eprintln!("starting the house: {shape}");
    let platform = started(Blueprint::new().set("POSTERN_LOG", "warn"), one_process).await?;
    let target = target(&platform);
    report.memory(shape, "idle", memory_mib(&platform.processes()));
    for (name, operation) in operations() {
        for sessions in &settings.sessions {
            prepare(&platform, &operation).await?;
            let row =
                figure(settings, shape, name, &operation, *sessions, &target, &platform.processes()).await;
            report.row(row);
        }
    }
    let many = Operation::DeliverMany { bytes: 10 * 1024, recipients: 50 };
    report.row(
        figure(settings, shape, "deliver 10 KiB to 50 boxes", &many, 10, &target, &platform.processes())
            .await,
    );
    large_box(settings, shape, &platform, &target, report).await?;
    idle_sessions(settings, shape, &platform, report).await?;
    drop(platform);
    checked_polls(settings, shape, one_process, report).await
}

/// A poll whose password nobody remembers, as the first one of a day: in a house that remembers none, since session n polls box n
/// over and over.
async fn checked_polls(
    settings: &Settings,
    shape: &str,
    one_process: bool,
    report: &mut Report,
) -> anyhow::Result<()> {
    let blueprint = Blueprint::new().set("POSTERN_LOG", "warn").set("POSTERN_PASSWORD_MEMORY_SECONDS", "0");
    let platform = started(blueprint, one_process).await?;
    let target = target(&platform);
    for sessions in settings.sessions.iter().filter(|sessions| **sessions <= CHECKED_AT_ONCE) {
        let processes = platform.processes();
        let name = "poll, password checked";
        report.row(figure(settings, shape, name, &Operation::Poll, *sessions, &target, &processes).await);
    }
    Ok(())
}

/// A grant for the loads that need one; full boxes for the readers, small ones for the others.
async fn prepare(platform: &Platform, operation: &Operation) -> anyhow::Result<()> {
    match operation {
        Operation::Relay { .. } => {
            platform.sink.forget();
            Pop3::login(platform.pop3(0), &box_login(0), PASSWORD).await?.quit().await?;
        }
        Operation::Read | Operation::Poll => {
            let pool = sqlx::PgPool::connect(&platform.stores.database_url()).await?;
            sqlx::query(
                "DELETE FROM mail.entries e USING (SELECT mailbox_id, uid, row_number() OVER \
                 (PARTITION BY mailbox_id ORDER BY uid) AS number FROM mail.entries) n \
                 WHERE n.mailbox_id = e.mailbox_id AND n.uid = e.uid AND n.number > 20",
            )
            .execute(&pool)
            .await?;
            sqlx::query("VACUUM ANALYZE mail.entries").execute(&pool).await?;
        }
        Operation::Deliver { .. } | Operation::DeliverMany { .. } => {}
    }
    Ok(())
}

/// One figure: warmed up, then measured.
async fn figure(
    settings: &Settings,
    shape: &str,
    name: &str,
    operation: &Operation,
    sessions: usize,
    target: &Target,
    processes: &[(String, u32)],
) -> Row {
    load::run(target, operation.clone(), sessions, Duration::from_secs_f64(settings.seconds / 4.0)).await;
    let before = CpuSeconds::read(processes);
    let outcome =
        load::run(target, operation.clone(), sessions, Duration::from_secs_f64(settings.seconds)).await;
    let used = CpuSeconds::read(processes).since(&before);
    let row = Row::new(shape, name, sessions, &outcome, &used);
    eprintln!("{row}");
    row
}

/// How large a box is must not matter to a delivery or a poll.
async fn large_box(
    settings: &Settings,
    shape: &str,
    platform: &Platform,
    target: &Target,
    report: &mut Report,
) -> anyhow::Result<()> {
    let large = platform.admin()?.get_mailbox(&box_login(100)).await?.mailbox_id;
    let pool = sqlx::PgPool::connect(&platform.stores.database_url()).await?;
    let count = i64::try_from(settings.large_box)?;
    // One stored message, as many entries as asked for: what a box of small equal newsletters looks like.
    sqlx::query(
        "INSERT INTO mail.entries (mailbox_id, message_id, prefix, size_bytes) \
         SELECT $1, e.message_id, e.prefix, e.size_bytes FROM \
         (SELECT message_id, prefix, size_bytes FROM mail.entries LIMIT 1) e, generate_series(1, $2)",
    )
    .bind(large)
    .bind(count)
    .execute(&pool)
    .await?;
    sqlx::query("VACUUM ANALYZE mail.entries").execute(&pool).await?;
    let target = Target { login: |_| box_login(100), ..target.clone() };
    for (name, operation) in [
        ("deliver 10 KiB, large box", Operation::Deliver { bytes: 10 * 1024 }),
        ("poll, large box", Operation::Poll),
    ] {
        let row = figure(settings, shape, name, &operation, 1, &target, &platform.processes()).await;
        report.row(row);
    }
    Ok(())
}

/// Memory with many sessions that only wait.
async fn idle_sessions(
    settings: &Settings,
    shape: &str,
    platform: &Platform,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut held = Vec::new();
    for _ in 0..settings.idle_sessions {
        held.push(Pop3::connect(platform.pop3(0)).await?);
    }
    // As many of them logged in as there are boxes; the others wait before login.
    for (number, client) in held.iter_mut().take(BOXES).enumerate() {
        client.command(&format!("USER {}", box_login(number))).await?;
        client.command(&format!("PASS {PASSWORD}")).await?;
    }
    let state = format!("{} idle POP3 sessions", settings.idle_sessions);
    report.memory(shape, &state, memory_mib(&platform.processes()));
    Ok(())
}
