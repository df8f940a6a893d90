//! What the manifests ask for fits: passwords into memory, replicas into the edge, connections into Postgres; and the arithmetic of
//! k8s/README.md is that of README's figures.

use std::{fs, time::Duration};

use postern_mesh::room;
use postern_tests::{
    admin::PASSWORD,
    platform::{Blueprint, Platform},
    pop3::Pop3,
    smtp::{self, message},
};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use crate::{
    kubernetes::Overlay,
    kustomize::name,
    settings::{self, project},
};

const MIB: u64 = 1024 * 1024;
/// What a service needs besides the passwords that it works on (README, "Figures": auth 53 MiB, account without its passwords 58).
const BESIDES_BYTES: u64 = 64 * MIB;

/// A memory quantity, octets.
fn octets(quantity: &str) -> u64 {
    let units = [("Gi", 1024 * MIB), ("Mi", MIB)];
    let (count, unit) =
        units.iter().find_map(|(end, unit)| Some((quantity.strip_suffix(end)?, unit))).expect("Mi or Gi");
    count.parse::<u64>().expect("a number") * unit
}

/// The value of a setting in a container, where it has one.
fn setting<'a>(container: &'a Value, name: &str) -> Option<&'a str> {
    let mut variables = container["env"].as_array().into_iter().flatten();
    variables.find(|variable| variable["name"] == name)?["value"].as_str()
}

fn container<'a>(overlay: &'a Overlay, of: &str) -> &'a Value {
    let deployment = overlay.of_kind("Deployment").find(|object| object["metadata"]["name"] == of);
    &deployment.expect("a Deployment")["spec"]["template"]["spec"]["containers"][0]
}

/// A container sees all cores of its node.
#[test]
fn passwords_fit_into_memory_on_any_node() {
    for overlay in Overlay::all() {
        for service in ["auth", "account"] {
            let container = container(&overlay, service);
            let limit = octets(container["resources"]["limits"]["memory"].as_str().expect("a limit"));
            let wanted = setting(container, "POSTERN_ARGON2_WORKERS")
                .map_or(0, |count| count.parse().expect("a number"));
            let workers = room::workers(wanted, 1024, Some(limit)) as u64;
            assert!(workers > 4, "{service}: {workers} passwords at once");
            let needed = workers * room::PASSWORD_BYTES + BESIDES_BYTES;
            assert!(
                needed <= limit,
                "{service}: {workers} passwords at once need {needed} of {limit} octets"
            );
        }
    }
}

fn most_replicas(overlay: &Overlay, of: &str) -> u64 {
    let scaler =
        overlay.of_kind("HorizontalPodAutoscaler").find(|object| name(object) == of).expect("an autoscaler");
    scaler["spec"]["maxReplicas"].as_u64().expect("a number")
}

#[test]
fn the_edge_has_a_place_for_each_replica() {
    for overlay in Overlay::all() {
        let config =
            overlay.of_kind("ConfigMap").find(|object| name(object) == "edge").expect("the edge's config");
        let config = config["data"]["haproxy.cfg"].as_str().expect("haproxy.cfg");
        let mut doors = 0;
        for line in config.lines().filter_map(|line| line.trim().strip_prefix("server-template ")) {
            let words: Vec<_> = line.split_whitespace().collect();
            let places: u64 = words[1].parse().expect("a number");
            let of = words[2].trim_start_matches('"').split('.').next().expect("a service");
            let most = most_replicas(&overlay, of);
            assert!(most <= places, "{of} may have {most} replicas, the edge knows {places}: {line}");
            doors += 1;
        }
        assert_eq!(doors, 7);
        // A client whose replica has just gone is led to another one.
        assert!(config.contains("option redispatch"));
    }
}

/// Connections to Postgres that one replica holds: with `each` of them allowed by POSTERN_DATABASE_CONNECTIONS.
fn connections(service: &str, each: u64) -> u64 {
    match service {
        // Calls, and one that listens.
        "account" => each + 1,
        // Calls, mailboxes, the one that accepts, and those that write down what left: mail, and copies of lists.
        "delivery" => 2 * each + 3,
        _ => panic!("{service} has a database: how many connections?"),
    }
}

#[test]
fn the_connections_that_the_runbook_sums_are_those_of_the_autoscalers() {
    const EACH: u64 = 16;
    let overlays = Overlay::all();
    let production = overlays.iter().find(|overlay| overlay.name == "production").expect("production");
    let runbook = fs::read_to_string(project().join("k8s/README.md")).expect("k8s/README.md");
    let mut sum = 0;
    for service in settings::having("POSTERN_DATABASE_URL") {
        let replicas = most_replicas(production, &service);
        let told = format!("{replicas} x {}", connections(&service, EACH));
        assert!(runbook.contains(&told), "k8s/README.md does not say {told} of {service}");
        sum += replicas * connections(&service, EACH);
    }
    assert!(runbook.contains(&format!("= {sum}:")), "k8s/README.md: the sum is {sum}");
    let most = runbook.split("`max_connections = ").nth(1).and_then(|rest| rest.split('`').next());
    let most: u64 = most.and_then(|most| most.parse().ok()).expect("k8s/README.md says max_connections");
    // For the operator, a backup, a standby.
    assert!(sum + 20 <= most, "{sum} of {most}");
}

/// Looks until a service holds more connections than is said.
async fn watch(url: String, each: u64) -> anyhow::Result<()> {
    let mut watch = PgConnection::connect(&url).await?;
    loop {
        for service in ["account", "delivery"] {
            let question = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
            let held: i64 =
                sqlx::query_scalar(question).bind(format!("postern-{service}")).fetch_one(&mut watch).await?;
            let most = connections(service, each);
            anyhow::ensure!(u64::try_from(held)? <= most, "{service} holds {held} connections, not {most}");
            anyhow::ensure!(held > 0, "{service} is called otherwise");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A few messages to one box, which is read after each.
async fn keep_busy(house: &Platform, user: &str) -> anyhow::Result<()> {
    for number in 0..5 {
        let content = message(&format!("{user}-{number}"), 2_000);
        smtp::send(house.smtp(0), "a@outside.test", &[user], &content).await?;
        Pop3::login(house.pop3(0), user, PASSWORD).await?.quit().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_hold_no_more_connections_than_is_said() -> anyhow::Result<()> {
    const EACH: u64 = 2;
    let house = Blueprint::new().set("POSTERN_DATABASE_CONNECTIONS", &EACH.to_string()).start().await?;
    let admin = house.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    let users: Vec<_> = (0..8).map(|number| format!("user{number}@homepage.test")).collect();
    for user in &users {
        admin.mailbox(user).await?;
    }
    let busy = futures_util::future::try_join_all(users.iter().map(|user| keep_busy(&house, user)));
    tokio::select! {
        done = busy => done.map(drop),
        more = watch(house.stores.database_url(), EACH) => more,
    }
}

/// The cell `column` of a table's row that begins with these cells.
fn cell(page: &str, begins: &[&str], column: usize) -> String {
    let mut rows = page
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .map(|line| line.split(" | ").collect::<Vec<_>>());
    let row = rows
        .find(|row| row.len() > column && row.iter().zip(begins).all(|(cell, begin)| cell.trim() == *begin));
    row.unwrap_or_else(|| panic!("no row {begins:?}"))[column].trim_end_matches('|').trim().to_owned()
}

/// The first number of a text, without what groups its digits.
fn number(text: &str) -> f64 {
    let digits: String = text
        .chars()
        .skip_while(|c| !c.is_ascii_digit())
        .take_while(|c| c.is_ascii_digit() || *c == '.' || *c == ',')
        .collect();
    digits.replace(',', "").parse().unwrap_or_else(|_| panic!("no number in {text:?}"))
}

/// One place says what an operation costs: README, at separate processes with a hundred sessions, or ten where passwords are checked.
#[test]
fn the_sizes_are_computed_from_the_figures() {
    let read = |path: &str| fs::read_to_string(project().join(path)).expect(path);
    let (figures, sizes) = (read("README.md"), read("k8s/README.md"));
    let (mut sum, mut edge) = (0.0, 0.0);
    for (work, operation, sessions) in [
        ("polls", "poll", "100"),
        // More of them at once only wait for each other.
        ("polls, password checked", "poll, password checked", "10"),
        ("deliveries", "deliver 10 KiB", "100"),
        ("relays", "relay 10 KiB", "100"),
        ("reads (20 at once)", "read 20 messages", "100"),
    ] {
        let measured = cell(&figures, &[operation, sessions], 3);
        let cost = measured.split(", ").find(|part| part.ends_with("ms CPU")).expect("ms CPU");
        let told = cell(&sizes, &[work], 2);
        assert_eq!(number(cost), number(&told), "{work}: README says {cost}, k8s/README.md {told}");
        let rate = cell(&sizes, &[work], 1);
        let rate = number(rate.rsplit("= ").next().unwrap_or_default());
        for (cost, column, sum) in
            [(number(cost), 3, &mut sum), (number(&cell(&sizes, &[work], 4)), 5, &mut edge)]
        {
            let cores = rate * cost / 1000.0;
            let told = number(&cell(&sizes, &[work], column));
            assert!((told - cores).abs() < 0.051, "{work}: {cores:.1} cores, not {told}");
            *sum += told;
        }
    }
    for sum in [sum, edge] {
        let at_seventy = sum / 0.7;
        let told = format!("{sum:.1} cores at the peak, {at_seventy:.0} at 70 % load");
        assert!(sizes.contains(&told), "k8s/README.md: {told}");
    }
}
