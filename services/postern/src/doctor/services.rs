//! The services: do they answer the operator, are they ready, do their clocks agree, and does what they count make sense.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use postern_mesh::{client::MeshChannel, failure};
use postern_proto::{
    account::v1::{ListCustomersRequest, customer_service_client::CustomerServiceClient},
    auth::v1::{
        ExchangeTokenRequest, ListGrantsRequest, login_service_client::LoginServiceClient,
        relay_service_client::RelayServiceClient,
    },
    delivery::v1::{ListQueueEntriesRequest, queue_service_client::QueueServiceClient},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, lookup_host},
};
use tonic::Status;

use super::{Doctor, Findings};
use crate::{
    cli::{Failure, Reach},
    home::Doors,
};

/// A health door that takes longer is as good as away.
const TIMEOUT: Duration = Duration::from_secs(4);
/// Longest answer of a health door that is read, octets.
const ANSWER_MAX_BYTES: u64 = 4 * 1024 * 1024;
/// Health doors are so far above the gRPC doors (9101 and 7101).
const HEALTH_ABOVE_GRPC: u16 = 2000;
/// Clocks that differ by more are told: assertions end after 60 s, and bear 30 s.
const SKEW_CARE_SECONDS: i64 = 5;
const SKEW_WRONG_SECONDS: i64 = 25;
/// So many boxes with grants from one address are no family any more.
const ONE_ADDRESS_BOXES: usize = 20;
/// What a ready service says of grants is about addresses that it gives none.
const NOTICE_OF_GRANTS: &str = "grants";
const CLIENTS_UNSEEN: &str = "the gateways do not see their clients' own addresses: let the load balancer keep them, or speak \
                              the PROXY protocol and be in POSTERN_PROXY_NETWORKS. Until then only SMTP AUTH lets people send \
                              from there";

/// Looks at all of it.
pub(super) async fn look(doctor: &Doctor, reach: &Reach, findings: &mut Findings) -> Result<(), Failure> {
    let doors = reach.doors()?;
    answer(&doors, reach, findings).await?;
    let health = if doctor.health_doors.is_empty() { health_of(&doors) } else { doctor.health_doors.clone() };
    let mut told = String::new();
    for door in &health {
        told.push_str(&ready(door, findings).await);
    }
    sending(&told, findings);
    Ok(())
}

/// Do they answer to the operator?
async fn answer(doors: &Doors, reach: &Reach, findings: &mut Findings) -> Result<(), Failure> {
    let authority = reach.mesh_tls_ca.as_deref();
    let connect =
        |url: &str| MeshChannel::connect_tool(url, authority).map_err(|e| Failure::Usage(e.to_string()));
    let (account, auth, delivery) =
        (connect(&doors.account)?, connect(&doors.auth)?, connect(&doors.delivery)?);
    let request = ExchangeTokenRequest { token: reach.token()? };
    let assertion = match LoginServiceClient::new(auth.clone()).exchange_token(request).await {
        Ok(answer) => answer.into_inner().assertion,
        Err(status) => {
            told("auth", &doors.auth, Err(status), findings);
            let advice = "they are asked with what auth gives for the operator token: begin there";
            findings.unknown("account, delivery", "not asked", advice);
            return Ok(());
        }
    };
    let signed = |channel: MeshChannel| channel.with_assertion(assertion.clone());
    let request = ListGrantsRequest { page_size: 1000, ..Default::default() };
    let grants = RelayServiceClient::new(signed(auth)).list_grants(request).await;
    if let Ok(answer) = &grants {
        let grants = &answer.get_ref().grants;
        let addresses: BTreeSet<_> = grants.iter().map(|grant| grant.client.as_str()).collect();
        if let (Some(address), true) =
            (addresses.first(), grants.len() >= ONE_ADDRESS_BOXES && addresses.len() == 1)
        {
            findings.wrong(
                "grants",
                format!("all {} are of one address, {address}", grants.len()),
                "the gateways do not see their clients' own addresses: whoever comes from there may send; see \
                 POSTERN_PROXY_NETWORKS, or add the address to POSTERN_GRANT_REFUSED_NETWORKS",
            );
        }
    }
    told("auth", &doors.auth, grants.map(drop), findings);
    let request = ListCustomersRequest { page_size: 1, ..Default::default() };
    let customers = CustomerServiceClient::new(signed(account)).list_customers(request).await;
    told("account", &doors.account, customers.map(drop), findings);
    let request = ListQueueEntriesRequest { page_size: 1, ..Default::default() };
    let queue = QueueServiceClient::new(signed(delivery)).list_queue_entries(request).await;
    told("delivery", &doors.delivery, queue.map(drop), findings);
    Ok(())
}

fn told(service: &str, url: &str, answer: Result<(), Status>, findings: &mut Findings) {
    let Err(status) = answer else { return findings.good(service, format!("answers at {url}")) };
    let seen = format!("{} at {url}: {}", failure::reason_of(&status).text(), status.message());
    let advice = match status.code() {
        tonic::Code::Unauthenticated | tonic::Code::PermissionDenied => {
            "the token is not the operator's: POSTERN_OPERATOR_TOKEN_FILE names the one that auth has"
        }
        _ if status.message().contains("TLS") => {
            "its certificate is not signed by POSTERN_MESH_TLS_CA, does not name it, or its time is over"
        }
        _ => "is it started, and does a firewall or NetworkPolicy let us through? Its log says why it ended",
    };
    findings.wrong(service, seen, advice);
}

/// Health doors by the gRPC doors.
fn health_of(doors: &Doors) -> Vec<String> {
    let health = |url: &String| {
        let first = url.split(',').next()?;
        let (host, port) = first.split_once("://")?.1.rsplit_once(':')?;
        let port = port.trim_end_matches('/').parse::<u16>().ok()?.checked_add(HEALTH_ABOVE_GRPC)?;
        Some(format!("http://{host}:{port}"))
    };
    [&doors.account, &doors.auth, &doors.delivery].into_iter().filter_map(health).collect()
}

/// Is the process behind a health door ready? Returns its metrics.
async fn ready(door: &str, findings: &mut Findings) -> String {
    let subject = format!("health at {door}");
    let (ready, metrics) = match (get(door, "/readyz").await, get(door, "/metrics").await) {
        (Ok(ready), Ok(metrics)) => (ready, metrics),
        (Err(why), _) | (_, Err(why)) => {
            findings.unknown(
                subject,
                why,
                "name the health doors that can be reached from here: --health-doors",
            );
            return String::new();
        }
    };
    if ready.status == 200 {
        findings.good(&subject, "ready");
        notices(&subject, &ready.body, findings);
    } else {
        let advice = "what is named there is away, or not as it must be; the service's log says more";
        findings.wrong(&subject, format!("not ready: {}", ready.body.trim()), advice);
    }
    if let Some(theirs) = ready.date {
        let skew = (theirs.as_second() - Timestamp::now().as_second()).abs();
        let advice = "set the clocks by NTP: between clocks that differ by half a minute no call is believed";
        let seen = format!("its clock and ours differ by {skew} s");
        if skew > SKEW_WRONG_SECONDS {
            findings.wrong(subject, seen, advice);
        } else if skew > SKEW_CARE_SECONDS {
            findings.care(subject, seen, advice);
        }
    }
    metrics.body
}

/// What a service that is ready has to say all the same: names and texts, null where all is well.
fn notices(door: &str, body: &str, findings: &mut Findings) {
    let said: BTreeMap<String, Option<String>> = serde_json::from_str(body.trim()).unwrap_or_default();
    for (name, text) in said.into_iter().filter_map(|(name, text)| Some((name, text?))) {
        if name == NOTICE_OF_GRANTS || text.starts_with(NOTICE_OF_GRANTS) {
            findings.wrong(NOTICE_OF_GRANTS, text, CLIENTS_UNSEEN);
        } else {
            findings.care(door, text, "its log says more");
        }
    }
}

/// People log in, and nobody may send?
fn sending(metrics: &str, findings: &mut Findings) {
    let sum = |name: &str, outcome: &str| -> f64 {
        let label = format!("outcome=\"{outcome}\"");
        let lines = metrics.lines().filter(|line| line.starts_with(name) && line.contains(&label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    let (permitted, refused) = (
        sum("postern_auth_relay_checks_total", "permitted"),
        sum("postern_auth_relay_checks_total", "refused"),
    );
    let logins = sum("postern_auth_logins_total", "good");
    if permitted == 0.0 && refused >= 10.0 && logins >= 10.0 {
        findings.wrong(
            "sending",
            format!("{logins} good logins, {refused} attempts to send, none was permitted"),
            "the gateways see an address that cannot be the client's own, such as a load balancer's: let it keep the \
             client's address, or speak the PROXY protocol and be in POSTERN_PROXY_NETWORKS",
        );
    } else if permitted + refused > 0.0 {
        findings
            .good("sending", format!("{permitted} times permitted, {refused} times refused since the start"));
    }
}

/// An answer of a health door.
struct Answer {
    status: u16,
    date: Option<Timestamp>,
    body: String,
}

async fn get(door: &str, path: &str) -> Result<Answer, String> {
    match tokio::time::timeout(TIMEOUT, fetch(door, path)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {TIMEOUT:?}")),
    }
}

async fn fetch(door: &str, path: &str) -> Result<Answer, String> {
    let host = door.trim_start_matches("http://").trim_end_matches('/');
    let addresses: Vec<SocketAddr> = lookup_host(host).await.map_err(|e| e.to_string())?.collect();
    let mut stream = TcpStream::connect(&addresses[..]).await.map_err(|e| e.to_string())?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
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
        let expected = ["http://account:9101", "http://127.0.0.1:10102", "http://[::1]:9103"];
        assert_eq!(health_of(&doors), expected);
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

    #[test]
    fn logins_without_anybody_who_may_send_are_wrong() {
        let metrics = |permitted: u32| {
            format!(
                "postern_auth_relay_checks_total{{outcome=\"permitted\"}} {permitted}\n\
                 postern_auth_relay_checks_total{{outcome=\"refused\"}} 40\n\
                 postern_auth_logins_total{{protocol=\"PROTOCOL_POP3\",outcome=\"good\"}} 30\n"
            )
        };
        for (permitted, state) in [(0, super::super::State::Wrong), (1, super::super::State::Good)] {
            let mut findings = Findings::default();
            sending(&metrics(permitted), &mut findings);
            assert_eq!(findings.count(state), 1, "{findings}");
        }
    }
}
