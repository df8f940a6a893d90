//! A house on two machines, two replicas of everything, with its stores on a third one; the network between them is cut. The clients of
//! the machine that is left notice little, and what the other one held becomes free. As root: the machines are network namespaces.

use std::time::{Duration, Instant};

use anyhow::ensure;
use postern_mail::limits::LOCK_TTL_SECONDS;
use postern_tests::{
    admin::PASSWORD,
    eventually,
    halves::{Halves, WITHIN},
    network::{Cut, Machine, Network},
    open_stores::OpenStores,
    platform::Blueprint,
    pop3::Pop3,
    smtp::{self, message},
};
use sqlx::{Connection as _, Executor as _, PgConnection};

const HELD: &str = "held@homepage.test";
const STRANGER: &str = "friend@outside.test";
const LIMIT: Duration = Duration::from_secs(30);
/// From the end of the cut until the half that was cut off serves as before.
const BACK_WITHIN: Duration = Duration::from_secs(15);

/// What a machine has begun in the database and cannot end.
struct Database(PgConnection);

impl Database {
    async fn of(stores: &OpenStores) -> anyhow::Result<Self> {
        Ok(Self(PgConnection::connect(&stores.database_url()).await?))
    }

    /// Sessions of a machine of which this holds (SQL on `pg_stat_activity`).
    async fn sessions(&mut self, machine: &Machine, which: &'static str) -> anyhow::Result<i64> {
        let count = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "SELECT count(*) FROM pg_stat_activity WHERE client_addr = $1::text::inet AND {which}"
        )));
        Ok(count.bind(machine.address.to_string()).fetch_one(&mut self.0).await?)
    }

    /// Mail that was counted as received.
    async fn traffic(&mut self) -> anyhow::Result<i64> {
        let sum = sqlx::query_scalar("SELECT coalesce(sum(received_count), 0)::bigint FROM mail.traffic");
        Ok(sum.fetch_one(&mut self.0).await?)
    }
}

/// Holds up the writers of traffic in the middle of their transactions, until one of this machine waits; the answer is what holds them.
async fn hold_up(halves: &Halves, stores: &OpenStores, machine: &Machine) -> anyhow::Result<PgConnection> {
    let mut holding = PgConnection::connect(&stores.database_url()).await?;
    holding.execute("BEGIN; LOCK TABLE mail.traffic IN SHARE ROW EXCLUSIVE MODE").await?;
    let mut database = Database::of(stores).await?;
    let begin = Instant::now();
    while database.sessions(machine, "wait_event_type = 'Lock'").await? == 0 {
        ensure!(begin.elapsed() < LIMIT, "nobody of {machine:?} writes traffic");
        halves.round(0).await?;
    }
    Ok(holding)
}

/// Cuts a machine off in the middle of a transaction of its own, whose answer goes nowhere. Tells when that was.
async fn cut(
    network: &Network,
    how: Cut,
    halves: &mut Halves,
    stores: &OpenStores,
    machine: &Machine,
) -> anyhow::Result<Instant> {
    let mut holding = hold_up(halves, stores, machine).await?;
    let name = format!("{how:?}");
    let mut begin = Instant::now();
    halves
        .without_the_other_half(&name, |_| {
            network.cut(machine, how)?;
            begin = Instant::now();
            tokio::spawn(async move { holding.execute("ROLLBACK").await });
            Ok(())
        })
        .await?;
    // Longer ago than the time in which new sessions must work: nothing is in their way.
    let mut database = Database::of(stores).await?;
    assert_eq!(
        database.sessions(machine, "xact_start IS NOT NULL").await?,
        0,
        "{name}: transactions are over"
    );
    let before = database.traffic().await?;
    halves.round(0).await?;
    let counted = eventually(LIMIT, async || database.traffic().await.is_ok_and(|sum| sum > before));
    assert!(counted.await, "{name}: traffic is written");
    Ok(begin)
}

/// Until the second half takes mail and opens boxes again, and writes down what it did.
async fn is_back(
    how: &str,
    halves: &mut Halves,
    stores: &OpenStores,
    network: &Network,
) -> anyhow::Result<()> {
    network.mend()?;
    let begin = Instant::now();
    let works = eventually(LIMIT, async || halves.round(1).await.is_ok());
    assert!(works.await, "{how}: the half that was cut off works again");
    let worked = begin.elapsed();
    share_again(halves).await?;
    let used = begin.elapsed();
    // By itself, without the first one's help.
    network.cut(&network.around[0], Cut::Dropped)?;
    let begin = Instant::now();
    let works = eventually(WITHIN, async || halves.round(1).await.is_ok());
    assert!(works.await, "{how}: it works by itself");
    let alone = begin.elapsed();
    let mut database = Database::of(stores).await?;
    let before = database.traffic().await?;
    let counted = eventually(LIMIT, async || {
        halves.round(1).await.is_ok() && database.traffic().await.is_ok_and(|sum| sum > before)
    });
    assert!(counted.await, "{how}: what it takes is written down");
    println!(
        "{how}: mended, works after {worked:.1?}, has its share after {used:.1?}, works by itself after {alone:.1?}"
    );
    assert!(worked < BACK_WITHIN, "{how}: {worked:?}");
    network.mend()?;
    share_again(halves).await
}

/// Until the second half has its share. What it had asked of Redis when it was cut off may come there now: a box may be in use by
/// nobody until its lock has ended.
async fn share_again(halves: &mut Halves) -> anyhow::Result<()> {
    let shared =
        eventually(Duration::from_secs(LOCK_TTL_SECONDS) + LIMIT, async || halves.shared().await.is_ok());
    ensure!(shared.await, "the second half has no share");
    Ok(())
}

async fn story(network: &Network) -> anyhow::Result<()> {
    let stores = OpenStores::start(network.middle.address).await?;
    let blueprint = Blueprint::new().across(network).on_open_stores(&stores);
    let mut halves = Halves::start(blueprint).await?;
    halves.shared().await?;
    let second = &network.around[1];

    // A session at the second half holds a box, and has marked what is in it.
    halves.platform.admin()?.mailbox(HELD).await?;
    let reply = smtp::send(halves.platform.smtp(0), STRANGER, &[HELD], &message("held", 500)).await?;
    ensure!(reply.starts_with("250 "), "{reply}");
    let mut holder = Pop3::login(halves.platform.pop3(1), HELD, PASSWORD).await?;
    holder.ok("DELE 1").await?;

    let begin = cut(network, Cut::Dropped, &mut halves, &stores, second).await?;
    let mut count = 0;
    let limit = Duration::from_secs(LOCK_TTL_SECONDS + 2).saturating_sub(begin.elapsed());
    let free = eventually(limit, async || {
        let Ok(mut session) = Pop3::login(halves.platform.pop3(0), HELD, PASSWORD).await else {
            return false;
        };
        count = session.stat().await.map_or(0, |(count, _)| count);
        session.quit().await.is_ok()
    });
    assert!(free.await, "the box of a session that is cut off is free");
    println!("the box of a session that was cut off is free after {:.1?}", begin.elapsed());
    assert_eq!(count, 1, "the mark was no deletion");
    is_back("Dropped", &mut halves, &stores, network).await?;
    // Nobody has it any more, and what it says now deletes nothing.
    if let Ok(reply) = holder.command("QUIT").await {
        assert!(reply.starts_with("-ERR [SYS/TEMP]"), "{reply}");
    }
    let mut session = Pop3::login(halves.platform.pop3(1), HELD, PASSWORD).await?;
    assert_eq!(session.stat().await?.0, 1);
    session.quit().await?;

    // So long that the stores have given its connections up, which it does not hear of.
    network.give_up_soon()?;
    cut(network, Cut::Pulled, &mut halves, &stores, second).await?;
    let mut database = Database::of(&stores).await?;
    let mut left = 0;
    let given_up = eventually(2 * LIMIT + LIMIT, async || {
        left = database.sessions(second, "true").await.unwrap_or(i64::MAX);
        left == 0
    });
    assert!(given_up.await, "{left} sessions of a machine that is gone are kept");
    is_back("Pulled", &mut halves, &stores, network).await?;
    halves.all_is_there().await
}

#[test]
#[ignore = "three minutes, and as root: make partition"]
fn a_machine_that_is_cut_off_leaves_the_other_working() -> anyhow::Result<()> {
    let network = Network::build(2)?;
    network.run(|| story(&network))
}
