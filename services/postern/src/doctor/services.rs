//! The services: do they answer the operator, are they ready, and does what they count make sense.

use std::collections::BTreeSet;

use postern_mesh::{client::MeshChannel, failure, version::VERSION};
use postern_proto::{
    account::v1::{ListCustomersRequest, customer_service_client::CustomerServiceClient},
    auth::v1::{
        ExchangeTokenRequest, ListGrantsRequest, login_service_client::LoginServiceClient,
        relay_service_client::RelayServiceClient,
    },
    delivery::v1::{ListQueueEntriesRequest, queue_service_client::QueueServiceClient},
};
use tonic::Status;

use super::{Doctor, Findings, health, versions};
use crate::{
    cli::{Failure, Reach},
    home::Doors,
};

/// So many boxes with grants from one address are no family any more.
const ONE_ADDRESS_BOXES: usize = 20;
/// Mail that waits for longer is told (as the alert PosternQueueOld).
const QUEUE_CARE_SECONDS: f64 = 6.0 * 3600.0;

/// Looks at all of it.
pub(super) async fn look(doctor: &Doctor, reach: &Reach, findings: &mut Findings) -> Result<(), Failure> {
    let doors = reach.doors()?;
    answer(&doors, reach, findings).await?;
    let replicas = health::look(&doctor.health_doors, &doors, findings).await;
    versions::compare(&replicas, VERSION, findings);
    let told: String = replicas.into_iter().map(|replica| replica.metrics).collect();
    sending(&told, findings);
    waiting(&told, findings);
    large_content(&told, findings);
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

/// Mail that waits to leave: the oldest of it, by the gauges of delivery.
fn waiting(metrics: &str, findings: &mut Findings) {
    let ages = metrics.lines().filter(|line| line.starts_with("postern_queue_oldest_seconds{"));
    let oldest = ages
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .fold(None, |most: Option<f64>, age| Some(most.map_or(age, |most| most.max(age))));
    let Some(oldest) = oldest else { return };
    let hours = oldest / 3600.0;
    if oldest > QUEUE_CARE_SECONDS {
        let advice = "`postern queue list` says why: one domain is that domain's trouble, all are ours (k8s/README.md, trouble 5)";
        findings.care(
            "queue",
            format!("the oldest mail that waits to leave is {hours:.1} hours old"),
            advice,
        );
    } else {
        findings.good("queue", format!("the oldest mail that waits to leave is {hours:.1} hours old"));
    }
}

/// The blob store, by what delivery sees of it.
fn large_content(metrics: &str, findings: &mut Findings) {
    let mut seen =
        metrics.lines().filter_map(|line| line.strip_prefix("postern_delivery_blobs_up ")).peekable();
    if seen.peek().is_none() {
        let advice = "delivery tells it at its health door: --health-doors";
        findings.unknown("blob store", "not looked at", advice);
    } else if seen.all(|up| up == "1") {
        findings.good("blob store", "answers delivery");
    } else {
        let advice = "messages above 64 KiB are neither taken nor read: is the store of POSTERN_BLOB_URL up, are its credentials good, and \
                      does a NetworkPolicy let delivery through?";
        findings.wrong("blob store", "does not answer delivery", advice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn one_replica_without_its_blob_store_is_enough() {
        use super::super::State;
        for (metrics, state) in [
            ("postern_delivery_blobs_up 1\npostern_delivery_blobs_up 1\n", State::Good),
            ("postern_delivery_blobs_up 1\npostern_delivery_blobs_up 0\n", State::Wrong),
            ("postern_delivery_redis_up 1\n", State::Unknown),
        ] {
            let mut findings = Findings::default();
            large_content(metrics, &mut findings);
            assert_eq!(findings.count(state), 1, "{findings}");
        }
    }

    #[test]
    fn mail_that_waits_for_long_is_told() {
        for (seconds, state) in [("21601", super::super::State::Care), ("60.5", super::super::State::Good)] {
            let metrics = format!(
                "postern_queue_oldest_seconds{{class=\"mail\"}} {seconds}\npostern_queue_oldest_seconds{{class=\"errand\"}} 0\n"
            );
            let mut findings = Findings::default();
            waiting(&metrics, &mut findings);
            assert_eq!(findings.count(state), 1, "{findings}");
        }
        let mut findings = Findings::default();
        waiting("", &mut findings);
        assert!(findings.0.is_empty(), "nothing is known");
    }
}
