//! How the services are: asked now, by the gRPC health protocol, and how long each took to answer.

use std::time::{Duration, Instant};

use axum::response::Response;
use maud::{Markup, html};
use postern_mesh::client::MeshChannel;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{Desk, Staff, head};
use crate::{call::Failure, visit::Visit};

pub(super) static DESK: Desk = Desk { name: "health", title: "operator-health", icon: "operator", guide };

/// A service that takes longer is not well.
const PATIENCE: Duration = Duration::from_secs(2);
const COLUMNS: [&str; 3] = ["operator-health-service", "pop-column-state", "operator-health-time"];

/// What one service said.
struct Found {
    name: &'static str,
    /// `Err`: why it is not well.
    state: Result<(), String>,
    took: Duration,
}

pub(super) async fn page(staff: Staff) -> Result<Response, Failure> {
    let ways = &staff.visit.panel.upstreams;
    let (account, auth, delivery) = tokio::join!(
        ask("account", &ways.account),
        ask("auth", &ways.auth),
        ask("delivery", &ways.delivery),
    );
    let all = [account, auth, delivery];
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
    Found { name, state, took: begin.elapsed() }
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
