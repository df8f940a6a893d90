//! Lists must not hurt: how others' mail fares while a post to many members is expanded and sent, against how it fares without.
//! Pairs of equal windows, with and without in turns, in one run, so that whatever else the machine does falls on both.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use postern_proto::account::v1::{
    AddListMembersRequest, ListListMembersRequest, ListPosting, ListReplies, MailingList,
};
use postern_tests::{
    admin::PASSWORD,
    platform::{Blueprint, Platform},
    pop3::Pop3,
    smtp::{self, Smtp, message, stuffed},
    web::Web,
};
use serde::Serialize;
use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{
    Settings, box_login,
    statistics::{Interval, mean_with_interval, percentile},
};

const LIST: &str = "all@homepage.test";
/// Boxes of the others.
const BOXES: usize = 200;
/// Octets of the post and of others' mail.
const MESSAGE_BYTES: usize = 4 * 1024;
/// What others do: of each kind one in this time, whatever the answers take.
const PACE: Duration = Duration::from_millis(20);
/// How long auth remembers a password that it checked.
const PASSWORD_REMEMBERED: Duration = Duration::from_secs(60);
/// Nothing waits for longer than this.
const DRAIN_LIMIT: Duration = Duration::from_secs(600);

/// What others wait for.
const KINDS: [&str; 3] = ["POP3 login", "RCPT", "DATA to 250"];

/// Latencies of one window, milliseconds, by kind.
type Window = [Vec<f64>; 3];

/// How one kind fared.
#[derive(Serialize)]
pub(crate) struct Change {
    kind: &'static str,
    /// Means of the pairs, milliseconds.
    p99_without_ms: f64,
    p99_with_ms: f64,
    /// Of p99, percent: the geometric mean of the ratios of the pairs, so that twice as long and half as long are equally far from
    /// no change.
    change_percent: Interval,
}

/// What the run showed.
#[derive(Serialize)]
pub(crate) struct Lists {
    members: usize,
    pairs: usize,
    /// Copies that left in each window with a post.
    copies_per_second: Vec<f64>,
    changes: Vec<Change>,
    /// Seconds: the call, and the panel's form.
    save_seconds: f64,
    show_seconds: f64,
    panel_save_seconds: f64,
    panel_show_seconds: f64,
}

pub(crate) async fn measure(settings: &Settings) -> anyhow::Result<Lists> {
    eprintln!("starting the house: lists");
    let mut blueprint = Blueprint::new().set("POSTERN_LOG", "warn");
    if let Some(rate) = settings.list_copies {
        blueprint = blueprint.set("POSTERN_LIMIT_LIST_COPIES_PER_SECOND", &rate.to_string());
    }
    let platform = blueprint.start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    // The others belong to another customer.
    admin.domain("rival", "rival.test").await?;
    for number in 0..BOXES {
        admin.mailbox(&other(number)).await?;
    }
    admin.mailbox(&box_login(0)).await?;
    let mut lists = members(settings, &platform).await?;

    let pool = PgPool::connect(&platform.stores.database_url()).await?;
    let seconds = Duration::from_secs_f64(settings.list_seconds);
    spread_logins(&platform).await?;
    // What the first post pays for alone (plans, caches, keys) is no part of a comparison.
    post(&platform).await?;
    window(&platform, Duration::from_secs(5)).await;
    take_back(&platform, &pool).await?;
    let (mut without, mut with): (Vec<Window>, Vec<Window>) = (Vec::new(), Vec::new());
    for pair in 0..settings.pairs {
        for posts in if pair % 2 == 0 { [false, true] } else { [true, false] } {
            platform.sink.forget();
            if posts {
                post(&platform).await?;
                with.push(window(&platform, seconds).await);
                lists
                    .copies_per_second
                    .push(take_back(&platform, &pool).await? as f64 / settings.list_seconds);
            } else {
                without.push(window(&platform, seconds).await);
            }
        }
        let p99 = |windows: &[Window]| {
            windows.last().map(|window| [0, 1, 2].map(|kind| percentile(&window[kind], 99.0)))
        };
        eprintln!("pair {} of {}: {:.1?} {:.1?} ms", pair + 1, settings.pairs, p99(&without), p99(&with));
    }
    lists.pairs = settings.pairs;
    lists.changes = (0..KINDS.len()).map(|kind| change(kind, &without, &with)).collect();
    Ok(lists)
}

/// Logs in to each box once, over the time that auth remembers a checked password: from then on some box's password is checked anew
/// at each moment, as it is where people begin when they like, and not those of all boxes within the same seconds.
async fn spread_logins(platform: &Platform) -> anyhow::Result<()> {
    let mut ticks = interval(PASSWORD_REMEMBERED.div_f64(BOXES as f64));
    for number in 0..BOXES {
        ticks.tick().await;
        let (_, client) = login(platform.pop3(0), &other(number)).await?;
        client.quit().await?;
    }
    Ok(())
}

fn other(number: usize) -> String {
    format!("other{number}@rival.test")
}

/// Makes the list twice: its members by a call, and by the panel's form.
async fn members(settings: &Settings, platform: &Platform) -> anyhow::Result<Lists> {
    let admin = platform.admin()?;
    let addresses: Vec<String> =
        (0..settings.list_members).map(|n| format!("member{n}@outside.test")).collect();
    let by_form = "form@homepage.test";
    for address in [LIST, by_form] {
        let list = MailingList {
            address: address.to_owned(),
            posting: ListPosting::Anyone.into(),
            replies: ListReplies::Author.into(),
            owner: box_login(0),
            ..MailingList::default()
        };
        admin.mailing_list(list, &[]).await?;
    }
    let mut client = admin.mailing_lists();
    let begin = Instant::now();
    for some in addresses.chunks(10_000) {
        let request = AddListMembersRequest {
            list: LIST.to_owned(),
            addresses: some.to_vec(),
            ..AddListMembersRequest::default()
        };
        client.add_list_members(request).await?;
    }
    let save_seconds = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    let request = ListListMembersRequest {
        list: LIST.to_owned(),
        page_size: 10_000,
        page_token: String::new(),
        ..Default::default()
    };
    let shown = client.list_list_members(request).await?.into_inner().members.len();
    let show_seconds = begin.elapsed().as_secs_f64();
    anyhow::ensure!(shown == settings.list_members.min(10_000), "{shown} members are there");

    let mut web = Web::new(platform.panel()).with_header("Sec-Fetch-Site", "same-origin");
    web.sign_in("homepage", PASSWORD).await?;
    let page = format!("/controlpanel/homepage.test/mailing-lists/of/{by_form}");
    let text = addresses.iter().take(10_000).cloned().collect::<Vec<_>>().join("\n");
    let begin = Instant::now();
    let answer = web.submit(&format!("{page}/members"), &[("addresses", &text)]).await?;
    anyhow::ensure!(answer.status == 303, "the form is answered {}", answer.status);
    // It goes on by itself, and its page says how far it is.
    while web.get(&answer.location).await?.body.contains("<progress") {
        anyhow::ensure!(begin.elapsed() < DRAIN_LIMIT, "members are not saved");
        sleep(Duration::from_millis(20)).await;
    }
    let panel_save_seconds = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    let answer = web.get(&page).await?;
    let panel_show_seconds = begin.elapsed().as_secs_f64();
    anyhow::ensure!(answer.body.contains("member0@outside.test"), "members are not shown");
    Ok(Lists {
        members: settings.list_members,
        pairs: 0,
        copies_per_second: Vec::new(),
        changes: Vec::new(),
        save_seconds,
        show_seconds,
        panel_save_seconds,
        panel_show_seconds,
    })
}

async fn post(platform: &Platform) -> anyhow::Result<()> {
    let reply =
        smtp::send(platform.smtp(0), "author@outside.test", &[LIST], &message("post", MESSAGE_BYTES)).await?;
    anyhow::ensure!(reply.starts_with("250"), "{reply}");
    Ok(())
}

/// The window is over: copies that still wait are thrown away, so that the next window begins without any. Gives how many had left.
async fn take_back(platform: &Platform, pool: &PgPool) -> anyhow::Result<usize> {
    let left = platform.sink.messages().len();
    let begin = Instant::now();
    while sqlx::query("DELETE FROM mail.queue").execute(pool).await?.rows_affected() > 0 {
        anyhow::ensure!(begin.elapsed() < DRAIN_LIMIT, "a post does not end");
        sleep(Duration::from_millis(500)).await;
    }
    Ok(left)
}

/// What others wait for in this time. They come at their pace, whether the ones before are answered or not.
async fn window(platform: &Platform, time: Duration) -> Window {
    let over = Arc::new(AtomicBool::new(false));
    let logins = paced(Arc::clone(&over), platform.pop3(0), |door, number| async move {
        let (took, client) = login(door, &other(number % BOXES)).await?;
        client.quit().await?;
        anyhow::Ok(vec![took])
    });
    let mails =
        paced(Arc::clone(&over), platform.smtp(0), |door, number| deliver(door, other(number % BOXES)));
    let ending = async {
        sleep(time).await;
        over.store(true, Ordering::Relaxed);
    };
    let (logins, mails, ()) = tokio::join!(logins, mails, ending);
    let of = |part: usize| mails.iter().filter_map(|both| both.get(part)).copied().collect();
    [logins.into_iter().flatten().collect(), of(0), of(1)]
}

async fn paced<F>(
    over: Arc<AtomicBool>,
    door: SocketAddr,
    once: impl Fn(SocketAddr, usize) -> F,
) -> Vec<Vec<f64>>
where
    F: Future<Output = anyhow::Result<Vec<f64>>> + Send + 'static,
{
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut running = Vec::new();
    while !over.load(Ordering::Relaxed) {
        ticks.tick().await;
        running.push(tokio::spawn(once(door, running.len())));
    }
    let mut all = Vec::with_capacity(running.len());
    for one in running {
        match one.await {
            Ok(Ok(latencies)) => all.push(latencies),
            Ok(Err(error)) => eprintln!("{error:#}"),
            Err(error) => eprintln!("{error}"),
        }
    }
    all
}

async fn login(door: SocketAddr, login: &str) -> anyhow::Result<(f64, Pop3)> {
    let begin = Instant::now();
    let client = Pop3::login(door, login, PASSWORD).await?;
    Ok((millis(begin), client))
}

async fn deliver(door: SocketAddr, to: String) -> anyhow::Result<Vec<f64>> {
    let mut client = Smtp::hello(door).await?;
    client.expect("MAIL FROM:<friend@outside.test>", 250).await?;
    let begin = Instant::now();
    client.expect(&format!("RCPT TO:<{to}>"), 250).await?;
    let rcpt = millis(begin);
    let begin = Instant::now();
    client.expect("DATA", 354).await?;
    client.send(&stuffed(&message("other", MESSAGE_BYTES))).await?;
    let reply = client.reply().await?;
    anyhow::ensure!(reply.starts_with("250"), "{reply}");
    let data = millis(begin);
    client.command("QUIT").await?;
    Ok(vec![rcpt, data])
}

fn millis(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1000.0
}

fn change(kind: usize, without: &[Window], with: &[Window]) -> Change {
    let p99 = |windows: &[Window]| -> Vec<f64> {
        windows.iter().map(|window| percentile(&window[kind], 99.0)).collect()
    };
    let (before, after) = (p99(without), p99(with));
    let changes: Vec<f64> = before.iter().zip(&after).map(|(before, after)| (after / before).ln()).collect();
    let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len().max(1) as f64;
    Change {
        kind: KINDS[kind],
        p99_without_ms: mean(&before),
        p99_with_ms: mean(&after),
        change_percent: mean_with_interval(&changes).map(|change| 100.0 * change.exp_m1()),
    }
}

impl Lists {
    pub(crate) fn print(&self) {
        let rate = self.copies_per_second.iter().sum::<f64>() / self.copies_per_second.len().max(1) as f64;
        println!(
            "\nA post to {} members: {} pairs of windows, {rate:.0} copies/s in those with a post",
            self.members, self.pairs
        );
        println!("\n| others' p99 | without, ms | with, ms | change | 95 % interval of the change |");
        println!("|---|---:|---:|---:|---|");
        for Change { kind, p99_without_ms, p99_with_ms, change_percent } in &self.changes {
            let Interval { mean, low, high } = change_percent;
            println!(
                "| {kind} | {p99_without_ms:.2} | {p99_with_ms:.2} | {mean:+.1} % | {low:+.1} to {high:+.1} % |"
            );
        }
        println!(
            "\n{} members: saved in {:.2} s and read in {:.2} s by the call, saved in {:.2} s and the list's page shown in {:.2} s by the panel",
            self.members,
            self.save_seconds,
            self.show_seconds,
            self.panel_save_seconds,
            self.panel_show_seconds
        );
    }
}
