//! `make siege`: 10,000 POP3 sessions that wait and 5,000 SMTP sessions that send an octet a second. Ends with 1 when the logins of others
//! take a second, or when something is left afterwards.

use std::time::Duration;

use clap::Parser;
use postern_tests::{raise_open_files, siege::Siege};

/// What others' logins may take, 99 of 100 of them.
const LOGIN_MAX: Duration = Duration::from_secs(1);

/// Lays siege to a house.
#[derive(Parser)]
struct Settings {
    /// POP3 sessions that say nothing.
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    /// SMTP sessions that send an octet a second.
    #[arg(long, default_value_t = 5000)]
    dripping: usize,
    /// Logins of others meanwhile.
    #[arg(long, default_value_t = 1000)]
    logins: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Settings { idle, dripping, logins } = Settings::parse();
    raise_open_files();
    let findings = Siege { idle, dripping, logins }.lay().await?;
    for (when, memory) in ["before", "meanwhile", "afterwards"].iter().zip(&findings.memory) {
        let shown: Vec<_> = memory.iter().map(|(name, mib)| format!("{name} {mib:.0}")).collect();
        println!("memory {when}, MiB: {}", shown.join(", "));
    }
    println!(
        "each of {idle} idle POP3 sessions: {:.1} KiB; each of {dripping} dripping SMTP sessions: {:.1} KiB, and {:.1} KiB in delivery",
        findings.kib_each("pop3-gateway", idle),
        findings.kib_each("smtp-gateway", dripping),
        findings.kib_each("delivery", dripping),
    );
    let p50 = findings.logins.get(findings.logins.len() / 2).copied().unwrap_or_default();
    println!(
        "{logins} logins of others: p50 {:.1} ms, p99 {:.1} ms",
        millis(p50),
        millis(findings.login_p99())
    );
    println!("open files of the gateways: {} before, {} afterwards", findings.files[0], findings.files[1]);
    anyhow::ensure!(findings.login_p99() < LOGIN_MAX, "logins of others take {:?}", findings.login_p99());
    Ok(())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
