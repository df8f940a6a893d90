//! `make siege`: 10,000 POP3 sessions that wait and 5,000 SMTP sessions that send an octet a second. Ends with 1 when the logins of others
//! take a second, when the smtp-gateway could need more than it gets, or when something is left afterwards.

use std::time::Duration;

use clap::Parser;
use postern_tests::{
    raise_open_files,
    siege::{SMTP_GATEWAY_LIMIT_MIB, Siege},
};

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
    /// Content that SMTP sessions within DATA have sent before, octets; what is less than 64 KiB waits in the gateway.
    #[arg(long, default_value_t = 63 * 1024)]
    begun_bytes: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Settings { idle, dripping, logins, begun_bytes } = Settings::parse();
    raise_open_files();
    let siege = Siege { idle, dripping, logins, begun_bytes, ..Siege::default() };
    let findings = siege.lay().await?;
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
    let most = findings.smtp_mib_at_most(siege);
    println!("smtp-gateway with 10,000 sessions like this: {most:.0} MiB of {SMTP_GATEWAY_LIMIT_MIB:.0}");
    println!("open files of the gateways: {} before, {} afterwards", findings.files[0], findings.files[1]);
    anyhow::ensure!(findings.login_p99() < LOGIN_MAX, "logins of others take {:?}", findings.login_p99());
    anyhow::ensure!(most < SMTP_GATEWAY_LIMIT_MIB, "smtp-gateway could need {most:.0} MiB");
    Ok(())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
