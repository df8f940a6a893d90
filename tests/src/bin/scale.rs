//! `make scale`: the questions of the mail path with 1,000 mailboxes and with 1,000,000 of them, in one run. Ends with 1 when
//! 99 of 100 questions take more than 1.5 times as long.

use clap::Parser;
use postern_tests::{
    platform::Blueprint,
    scale::{Crowd, Figures, PER_DOMAIN},
};

/// How much longer the large house may take.
const RATIO_MAX: f64 = 1.5;
const SMALL: i64 = 1000;

/// Measures the mail path's questions over many mailboxes.
#[derive(Parser)]
struct Settings {
    /// Mailboxes of the large house.
    #[arg(long, default_value_t = 1_000_000)]
    mailboxes: i64,
    /// Questions of a round.
    #[arg(long, default_value_t = 3000)]
    questions: usize,
    /// Rounds; the middle one counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    let platform = Blueprint::new()
        .set("POSTERN_LOG", "warn")
        // Nobody looks at the DNS of all these domains meanwhile.
        .set("POSTERN_DOMAIN_CHECK_SECONDS", "0")
        .start()
        .await?;
    let mut crowd = Crowd::new(&platform).await?;
    crowd.grow_to(SMALL).await?;
    let small = crowd.measure(settings.rounds, settings.questions).await?;
    let took = crowd.grow_to(settings.mailboxes).await?;
    let (mailboxes, domains) = (settings.mailboxes, settings.mailboxes / PER_DOMAIN);
    println!(
        "{mailboxes} mailboxes in {domains} domains, put into the tables in {:.1} s",
        took.as_secs_f64()
    );
    let large = crowd.measure(settings.rounds, settings.questions).await?;
    let worst = shown("ResolveRecipient", small.0, large.0).max(shown("LookupLogin", small.1, large.1));
    println!("slowest page of a list: {:.1} ms", crowd.list().await?.as_secs_f64() * 1000.0);
    anyhow::ensure!(worst <= RATIO_MAX, "{worst:.2} times as long, more than {RATIO_MAX}");
    Ok(())
}

fn shown(name: &str, small: Figures, large: Figures) -> f64 {
    let ratio = large.p99 / small.p99;
    println!(
        "{name}: with {SMALL} mailboxes p50 {:.2} ms, p99 {:.2} ms; with all p50 {:.2} ms, p99 {:.2} ms; p99 x {ratio:.2}",
        small.p50, small.p99, large.p50, large.p99
    );
    ratio
}
