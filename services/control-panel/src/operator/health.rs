//! How the services are, and how long each took to answer: asked now, by the gRPC health protocol, where any replica answers; and
//! each replica of each service at its health door, where the settings name these.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use axum::response::Response;
use futures_util::future::join_all;
use maud::{Markup, html};
use postern_mesh::{client::MeshChannel, probe};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{Desk, Staff, head};
use crate::{HealthDoor, call::Failure, visit::Visit};

pub(super) static DESK: Desk = Desk { name: "health", title: "operator-health", icon: "operator", guide };

/// A service that takes longer is not well.
const PATIENCE: Duration = Duration::from_secs(2);
/// Replicas of one service that are asked.
const REPLICAS_MAX: usize = 50;
const COLUMNS: [&str; 3] = ["operator-health-service", "pop-column-state", "operator-health-time"];

/// What one service, or one replica of it, said.
struct Found {
    name: String,
    /// `Err`: why it is not well.
    state: Result<(), String>,
    took: Duration,
}

pub(super) async fn page(staff: Staff) -> Result<Response, Failure> {
    let ways = &staff.visit.panel.upstreams;
    let (account, auth, delivery, replicas) = tokio::join!(
        ask("account", &ways.account),
        ask("auth", &ways.auth),
        ask("delivery", &ways.delivery),
        join_all(staff.visit.panel.settings.health_doors.iter().map(replicas)),
    );
    let all: Vec<_> = [account, auth, delivery].into_iter().chain(replicas.into_iter().flatten()).collect();
    let well = all.iter().all(|found| found.state.is_ok());
    let body = html! {
        p.lead { (staff.say("operator-health-lead")) }
        @if well { div.notice.good { p { (staff.say("operator-health-well")) } } }
        @else { div.notice.bad { p { (staff.say("operator-health-ill")) } } }
        table.list {
            (head(&staff, &COLUMNS))
            tbody { @for found in &all { (row(&staff, found)) } }
        }
    };
    Ok(staff.page(&DESK, staff.say(DESK.title), body))
}

async fn ask(name: &'static str, way: &MeshChannel) -> Found {
    let begin = Instant::now();
    let mut health = HealthClient::new(way.clone());
    let asked = health.check(HealthCheckRequest { service: String::new() });
    let state = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => match answer.into_inner().status() {
            ServingStatus::Serving => Ok(()),
            other => Err(other.as_str_name().to_owned()),
        },
        Ok(Err(status)) => Err(status.message().to_owned()),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    };
    Found { name: name.to_owned(), state, took: begin.elapsed() }
}

/// All that a door leads to.
async fn replicas(door: &HealthDoor) -> Vec<Found> {
    let begin = Instant::now();
    let HealthDoor { service, host, port } = door;
    let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host.as_str(), *port))).await;
    let addresses: BTreeSet<_> = found.into_iter().flatten().flatten().take(REPLICAS_MAX).collect();
    if addresses.is_empty() {
        let state = Err(format!("{host} has no address"));
        return vec![Found { name: service.clone(), state, took: begin.elapsed() }];
    }
    join_all(addresses.into_iter().map(|address| replica(service, address))).await
}

async fn replica(service: &str, address: SocketAddr) -> Found {
    let begin = Instant::now();
    let asked = tokio::task::spawn_blocking(move || probe::ready(address));
    let state = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(Ok((true, _)))) => Ok(()),
        Ok(Ok(Ok((false, said)))) => Err(said),
        Ok(Ok(Err(error))) => Err(error.to_string()),
        Ok(Err(_)) => Err("it was not asked".to_owned()),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    };
    Found { name: format!("{service} {address}"), state, took: begin.elapsed() }
}

fn row(staff: &Staff, found: &Found) -> Markup {
    html! {
        tr {
            th scope="row" data-label=(staff.say(COLUMNS[0])) { (found.name) }
            td data-label=(staff.say(COLUMNS[1])) {
                @match &found.state {
                    Ok(()) => span.badge.good { (staff.say("operator-health-good")) },
                    Err(why) => { span.badge.bad { (staff.say("operator-health-bad")) } " " small { (why) } },
                }
            }
            td data-label=(staff.say(COLUMNS[2])) { (format!("{} ms", found.took.as_millis())) }
        }
    }
}

fn guide(visit: &Visit) -> Markup {
    html! {
        p { (visit.say("operator-health-guide")) }
        dl {
            dt { "account" } dd { (visit.say("operator-health-account")) }
            dt { "auth" } dd { (visit.say("operator-health-auth")) }
            dt { "delivery" } dd { (visit.say("operator-health-delivery")) }
            dt { "pop3-gateway, smtp-gateway" } dd { (visit.say("operator-health-gateways")) }
        }
    }
}
