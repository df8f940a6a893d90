//! Health doors: is each replica behind them ready, and does its clock agree with ours.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, lookup_host},
};

use super::{Findings, versions::Replica};
use crate::home::Doors;

/// A health door that takes longer is as good as away.
const TIMEOUT: Duration = Duration::from_secs(4);
/// Longest answer of a health door that is read, octets.
const ANSWER_MAX_BYTES: u64 = 4 * 1024 * 1024;
/// Health doors are so far above the gRPC doors (9101 and 7101).
const ABOVE_GRPC: u16 = 2000;
/// Clocks that differ by more are told: assertions end after 60 s, and bear 30 s.
const SKEW_CARE_SECONDS: i64 = 5;
const SKEW_WRONG_SECONDS: i64 = 25;
/// Whoever renews certificates does it long before.
const CERTIFICATE_CARE_DAYS: f64 = 14.0;
/// What a ready service says of grants is about addresses that it gives none.
const NOTICE_OF_GRANTS: &str = "grants";
const CLIENTS_UNSEEN: &str = "the gateways do not see their clients' own addresses: let the load balancer keep them, or speak \
                              the PROXY protocol and be in POSTERN_PROXY_NETWORKS. Until then only SMTP AUTH lets people send \
                              from there";
/// About load balancers that do not agree with POSTERN_PROXY_NETWORKS.
const NOTICE_OF_PROXIES: &str = "proxy";
const PROXIES_DISAGREE: &str = "a load balancer of yours belongs into POSTERN_PROXY_NETWORKS (of the gateways, the panel and auth) and has to send \
                                the header (HAProxy: send-proxy-v2): both, or neither. A stranger's header changes nothing: it is not believed";

/// Asks every replica behind these doors, or behind those that stand above the gRPC doors when none is named. Returns all that answered.
pub(super) async fn look(named: &[String], doors: &Doors, findings: &mut Findings) -> Vec<Replica> {
    let all = if named.is_empty() { beside(doors) } else { named.to_vec() };
    let mut answered = Vec::new();
    for door in all {
        let replicas = match replicas_of(&door).await {
            Ok(replicas) => replicas,
            Err(why) => {
                away(format!("health at {door}"), why, !named.is_empty(), findings);
                continue;
            }
        };
        for replica in &replicas {
            let subject = match replicas.len() {
                1 => format!("health at {door}"),
                _ => format!("health at {door} ({})", replica.ip()),
            };
            match answers(&door, *replica).await {
                Ok((ready, told)) => {
                    certificates(&subject, &told, Timestamp::now(), findings);
                    judge(&subject, &ready, findings);
                    answered.push(Replica { subject, metrics: told });
                }
                Err(why) => away(subject, why, !named.is_empty(), findings),
            }
        }
    }
    answered
}

/// Health doors by the gRPC doors.
fn beside(doors: &Doors) -> Vec<String> {
    let health = |url: &str| {
        let (host, port) = url.split_once("://")?.1.rsplit_once(':')?;
        let port = port.trim_end_matches('/').parse::<u16>().ok()?.checked_add(ABOVE_GRPC)?;
        Some(format!("http://{host}:{port}"))
    };
    let urls = [&doors.account, &doors.auth, &doors.delivery];
    urls.into_iter().flat_map(|urls| urls.split(',')).filter_map(health).collect()
}

/// Nobody answers there. Of a door that somebody named that is wrong; of one that we thought of it may be out of reach.
fn away(subject: String, why: String, is_named: bool, findings: &mut Findings) {
    if is_named {
        let advice =
            "is it started, and does a firewall or NetworkPolicy let us through? Its log says why it ended";
        findings.wrong(subject, why, advice);
    } else {
        findings.unknown(subject, why, "name the health doors that can be reached from here: --health-doors");
    }
}

fn judge(subject: &str, ready: &Answer, findings: &mut Findings) {
    if ready.status == 200 {
        findings.good(subject, "ready");
        notices(subject, &ready.body, findings);
    } else {
        let advice = "what is named there is away, or not as it must be; the service's log says more";
        findings.wrong(subject, format!("not ready: {}", ready.body.trim()), advice);
    }
    let Some(theirs) = ready.date else { return };
    let skew = (theirs.as_second() - Timestamp::now().as_second()).abs();
    let advice = "set the clocks by NTP: between clocks that differ by half a minute no call is believed";
    let seen = format!("its clock and ours differ by {skew} s");
    if skew > SKEW_WRONG_SECONDS {
        findings.wrong(subject, seen, advice);
    } else if skew > SKEW_CARE_SECONDS {
        findings.care(subject, seen, advice);
    }
}

/// What a service that is ready has to say all the same: names and texts, null where all is well.
fn notices(door: &str, body: &str, findings: &mut Findings) {
    let said: BTreeMap<String, Option<String>> = serde_json::from_str(body.trim()).unwrap_or_default();
    for (name, text) in said.into_iter().filter_map(|(name, text)| Some((name, text?))) {
        if name == NOTICE_OF_GRANTS || text.starts_with(NOTICE_OF_GRANTS) {
            findings.wrong(NOTICE_OF_GRANTS, text, CLIENTS_UNSEEN);
        } else if name == NOTICE_OF_PROXIES || text.starts_with(NOTICE_OF_PROXIES) {
            findings.care(door, text, PROXIES_DISAGREE);
        } else {
            findings.care(door, text, "its log says more");
        }
    }
}

/// The certificates that a replica was told by file, by what it says in its metrics.
fn certificates(door: &str, metrics: &str, now: Timestamp, findings: &mut Findings) {
    let told = metrics.lines().filter_map(|line| line.strip_prefix("postern_certificate_end_seconds{of=\""));
    for (of, end) in told.filter_map(|told| told.split_once("\"} ")) {
        let Ok(end) = end.trim().parse::<f64>() else { continue };
        let days = (end - now.as_second() as f64) / 86_400.0;
        if days < CERTIFICATE_CARE_DAYS {
            let seen = format!("its certificate ({of}) ends in {days:.0} days");
            let advice =
                "renew it: scripts/make-secrets in containers (from cron), cert-manager in Kubernetes";
            if days < 0.0 { findings.wrong(door, seen, advice) } else { findings.care(door, seen, advice) }
        }
    }
}

fn host_of(door: &str) -> &str {
    door.trim_start_matches("http://").trim_end_matches('/')
}

/// All addresses of a name: a service has one for each replica. A name of this machine alone may have one of each family, of which the
/// second leads nowhere.
async fn replicas_of(door: &str) -> Result<Vec<SocketAddr>, String> {
    let found = tokio::time::timeout(TIMEOUT, lookup_host(host_of(door))).await;
    let found = found.map_err(|_| format!("its name has no answer within {TIMEOUT:?}"))?;
    let mut all: Vec<SocketAddr> = found.map_err(|e| e.to_string())?.collect();
    if all.iter().any(SocketAddr::is_ipv4) && all.iter().all(|address| address.ip().is_loopback()) {
        all.retain(SocketAddr::is_ipv4);
    }
    all.sort_unstable();
    all.dedup();
    if all.is_empty() { Err("its name has no address".to_owned()) } else { Ok(all) }
}

/// Readiness and metrics of one replica.
async fn answers(door: &str, replica: SocketAddr) -> Result<(Answer, String), String> {
    let ready = get(door, replica, "/readyz").await?;
    let metrics = get(door, replica, "/metrics").await?;
    Ok((ready, metrics.body))
}

/// An answer of a health door.
struct Answer {
    status: u16,
    date: Option<Timestamp>,
    body: String,
}

async fn get(door: &str, replica: SocketAddr, path: &str) -> Result<Answer, String> {
    match tokio::time::timeout(TIMEOUT, fetch(door, replica, path)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {TIMEOUT:?}")),
    }
}

async fn fetch(door: &str, replica: SocketAddr, path: &str) -> Result<Answer, String> {
    let mut stream = TcpStream::connect(replica).await.map_err(|e| e.to_string())?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", host_of(door));
    stream.write_all(request.as_bytes()).await.map_err(|e| e.to_string())?;
    let mut octets = Vec::new();
    stream.take(ANSWER_MAX_BYTES).read_to_end(&mut octets).await.map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&octets);
    let (head, body) = text.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or("no HTTP answer")?;
    let date = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("date")
            .then(|| DateTimeParser::new().parse_timestamp(value.trim()).ok())
            .flatten()
    });
    // A small answer comes with its length, a large one in chunks; for lines of metrics the chunks' heads do no harm.
    Ok(Answer { status, date, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_doors_stand_above_grpc_doors() {
        let doors = Doors {
            account: "https://account:7101".into(),
            auth: "http://127.0.0.1:8102,http://127.0.0.1:9".into(),
            delivery: "http://[::1]:7103/".into(),
        };
        let expected =
            ["http://account:9101", "http://127.0.0.1:10102", "http://127.0.0.1:2009", "http://[::1]:9103"];
        assert_eq!(beside(&doors), expected);
    }

    #[test]
    fn a_certificate_that_ends_soon_is_told() {
        let told = |of: &str, days: i64| {
            let end = days * 86_400;
            let mut findings = Findings::default();
            let metrics = format!("postern_certificate_end_seconds{{of=\"{of}\"}} {end}\n");
            certificates("health", &metrics, Timestamp::UNIX_EPOCH, &mut findings);
            (findings.count(super::super::State::Care), findings.count(super::super::State::Wrong))
        };
        assert_eq!(told("mesh", 13), (1, 0));
        assert_eq!(told("doors", -1), (0, 1));
        assert_eq!(told("authority", 15), (0, 0));
    }

    #[test]
    fn what_a_ready_service_says_of_grants_is_wrong() {
        let mut findings = Findings::default();
        notices("health", r#"{"redis":null,"grants":"nearly all come from 203.0.113.9"}"#, &mut findings);
        assert_eq!(findings.count(super::super::State::Wrong), 1, "{findings}");
        assert!(findings.to_string().contains("POSTERN_PROXY_NETWORKS"), "{findings}");
        let mut quiet = Findings::default();
        notices("health", r#"{"redis":null,"grants":null}"#, &mut quiet);
        notices("health", "no JSON", &mut quiet);
        assert_eq!(quiet.to_string(), Findings::default().to_string());
    }
}
