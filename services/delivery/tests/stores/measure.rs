//! Rates and CPU of the accept and poll paths, to be looked at: `cargo test -p postern-delivery --test stores measure --
//! --ignored --nocapture`.

use std::time::Instant;

use futures_util::future::join_all;
use postern_delivery::{lock::Asked, maildrop::Form};

use crate::house::{House, holder, new_box, postgres_folder, report, unit};

/// CPU seconds of this process, and of the living processes of our own Postgres (they stand in its data folder; others
/// may run on the same machine).
fn cpu_seconds() -> (f64, f64) {
    let ticks = |pid: &str| -> Option<(String, f64)> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let name = stat.split(['(', ')']).nth(1)?.to_owned();
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        let used: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
        Some((name, used / 100.0))
    };
    let own = ticks("self").map_or(0.0, |(_, used)| used);
    let data_folder = postgres_folder();
    let mut postgres = 0.0;
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Some((name, used)) = entry.file_name().to_str().and_then(ticks)
            && name == "postgres"
            && std::fs::read_link(entry.path().join("cwd")).is_ok_and(|folder| folder == data_folder)
        {
            postgres += used;
        }
    }
    (own, postgres)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn accept_rate_and_cpu() {
    let house = House::new().await;
    let boxes: Vec<i64> = (0..1000).map(|_| new_box()).collect();
    let mut stored = 0;
    // With and without the lines of their stories, in turns.
    for (told, (size, senders, count)) in
        [(1000, 1, 1000), (1000, 10, 10_000), (1000, 100, 20_000), (50_000, 100, 5_000)]
            .into_iter()
            .flat_map(|shape| [false, true, false, true].map(|told| (told, shape)))
    {
        let content = vec![b'x'; size];
        let (begin, before) = (Instant::now(), cpu_seconds());
        join_all((0..senders).map(|sender| {
            let (house, boxes, content) = (&house, &boxes, &content);
            async move {
                for n in 0..count / senders {
                    let mut unit = unit(content, &[boxes[(sender * 7919 + n) % boxes.len()]]);
                    if !told {
                        unit.story = Default::default();
                    }
                    house.commit(unit).await;
                }
            }
        }))
        .await;
        let (spent, after) = (begin.elapsed().as_secs_f64(), cpu_seconds());
        stored += count as i64;
        assert_eq!(
            house.number("SELECT count(*) FROM entries").await,
            stored,
            "a rate of what is really stored"
        );
        report(&format!(
            "accept {size} octets, {senders} senders, story {told}: {:.0}/s, CPU per 1000: ours {:.3} s, Postgres {:.3} s",
            count as f64 / spent,
            (after.0 - before.0) * 1000.0 / count as f64,
            (after.1 - before.1) * 1000.0 / count as f64,
        ));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn poll_rate_and_cpu() {
    let house = House::new().await;
    let boxes: Vec<i64> = (0..100).map(|_| new_box()).collect();
    for mailbox in &boxes {
        for _ in 0..10 {
            house.commit(unit(b"A: b\r\n", &[*mailbox])).await;
        }
    }
    let (begin, before, rounds) = (Instant::now(), cpu_seconds(), 100);
    join_all(boxes.iter().map(async |mailbox| {
        for _ in 0..rounds {
            let open =
                house.maildrops.open(*mailbox, &holder("a"), Asked::First, Form::Stored).await.expect("open");
            house.maildrops.close(*mailbox, open.token, &[]).await.expect("closed");
        }
    }))
    .await;
    let (spent, after, count) = (begin.elapsed().as_secs_f64(), cpu_seconds(), (boxes.len() * rounds) as f64);
    report(&format!(
        "poll: {:.0}/s, CPU per 1000: ours {:.2} s, Postgres {:.2} s",
        count / spent,
        (after.0 - before.0) * 1000.0 / count,
        (after.1 - before.1) * 1000.0 / count,
    ));
}
