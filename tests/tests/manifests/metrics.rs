//! Dashboards and alerts: every metric that they name is one of the code, used as what it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize as _;
use serde_json::Value;

use crate::settings::project;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "tests") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Name to kind (counter, gauge, histogram) and labels of all metrics that the services record.
fn recorded() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut files = Vec::new();
    sources(&project().join("services"), &mut files);
    let mut metrics: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a source");
        for kind in ["counter", "gauge", "histogram"] {
            for call in text.split(&format!("metrics::{kind}!(")).skip(1) {
                let ends = [".increment(", ".decrement(", ".set(", ".record("];
                let end = ends.iter().filter_map(|end| call.find(end)).min().unwrap_or(call.len());
                let call = &call[..end];
                let mut quoted = call.split('"').skip(1).step_by(2);
                let name =
                    quoted.next().unwrap_or_else(|| panic!("{}: a metric without a name", file.display()));
                let labels = call
                    .match_indices("\" =>")
                    .map(|(at, _)| call[..at].rsplit('"').next().unwrap_or_default().to_owned());
                let (known, all) =
                    metrics.entry(name.to_owned()).or_insert((kind.to_owned(), BTreeSet::new()));
                assert_eq!(known, kind, "{name} is two things");
                all.extend(labels);
            }
        }
    }
    assert!(metrics.len() > 25, "only {} metrics", metrics.len());
    metrics
}

/// Queries of the dashboard and of the alerts, with a name for each.
fn queries() -> Vec<(String, String)> {
    let read = |path: &str| fs::read_to_string(project().join(path)).expect(path);
    let dashboard: Value =
        serde_json::from_str(&read("deploy/grafana/dashboards/postern.json")).expect("JSON");
    let mut queries = Vec::new();
    // A row that is folded up holds its panels.
    let rows = dashboard["panels"].as_array().expect("panels");
    for panel in rows.iter().flat_map(|row| row["panels"].as_array().into_iter().flatten().chain([row])) {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().expect("a query");
            queries.push((format!("panel {}", panel["title"]), expression.to_owned()));
        }
    }
    let rules = read("deploy/prometheus/rules.yaml");
    let rules = Value::deserialize(serde_yaml_ng::Deserializer::from_str(&rules)).expect("YAML");
    let groups = rules["groups"].as_array().expect("groups");
    for rule in groups.iter().flat_map(|group| group["rules"].as_array().expect("rules")) {
        let expression = rule["expr"].as_str().expect("a query");
        queries.push((format!("alert {}", rule["alert"]), expression.to_owned()));
    }
    queries
}

/// Names of metrics in a query, with the labels that it picks by.
fn named(query: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for (at, _) in query.match_indices("postern_") {
        let rest = &query[at..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let labels = after.strip_prefix('{').and_then(|labels| labels.split('}').next()).unwrap_or_default();
        let labels = labels.split(',').filter_map(|pair| pair.split(['=', '!']).next());
        found.push((name.to_owned(), labels.filter(|l| !l.is_empty()).map(str::to_owned).collect()));
    }
    found
}

#[test]
fn every_metric_of_dashboards_and_alerts_is_recorded() {
    let recorded = recorded();
    let mut seen = BTreeSet::new();
    for (of, query) in queries() {
        for (name, labels) in named(&query) {
            // Only times have buckets; other histograms are told as sum and count.
            let parts = [("_bucket", name.contains("_seconds_")), ("_sum", true), ("_count", true)];
            let histogram = parts.iter().find_map(|(end, may)| name.strip_suffix(end).filter(|_| *may));
            let (base, kind) = match histogram {
                Some(base) => (base, "histogram"),
                None if name.ends_with("_total") => (name.as_str(), "counter"),
                None => (name.as_str(), "gauge"),
            };
            let (known, known_labels) =
                recorded.get(base).unwrap_or_else(|| panic!("{of}: nothing records {name}"));
            assert_eq!(known, kind, "{of}: {name}");
            for label in labels {
                assert!(known_labels.contains(&label), "{of}: {name} has no label {label}");
            }
            seen.insert(base.to_owned());
        }
    }
    assert!(seen.len() > 20, "only {} metrics are shown", seen.len());
}

/// A sum over series that nobody has counted yet is nothing, and a comparison with nothing is never true. So a sum that stands beside
/// another one or beside a number has to be 0 then, or else the alert is silent from an empty start: the very time it is for.
#[test]
fn alerts_that_compare_sums_fire_from_an_empty_start() {
    let alone = |expression: &str| expression.matches("sum").count() == 1 && expression.contains(" > ");
    let mut compared = 0;
    for (of, query) in queries() {
        if !of.starts_with("alert ") || alone(&query) {
            continue;
        }
        for (at, _) in query.match_indices("sum(") {
            let mut depth = 0;
            let end = query[at..].find(|c| {
                depth += i32::from(c == '(') - i32::from(c == ')');
                c == ')' && depth == 0
            });
            let after = end.and_then(|end| query.get(at + end + 1..)).unwrap_or_default();
            assert!(after.starts_with(" or vector(0))"), "{of}: `{}` is nothing at first", &query[at..]);
            assert!(query[..at].ends_with('('), "{of}: `or` binds less than all else: {query}");
            compared += 1;
        }
    }
    assert!(compared >= 12, "only {compared} sums are compared");
}

#[test]
fn every_alert_leads_to_a_trouble_of_the_runbook() {
    let runbook = fs::read_to_string(project().join("k8s/README.md")).expect("k8s/README.md");
    let rules = fs::read_to_string(project().join("deploy/prometheus/rules.yaml")).expect("rules");
    let mut alerts = 0;
    for alert in rules.split("- alert: ").skip(1) {
        let name = alert.lines().next().unwrap_or_default();
        let number =
            alert.split("runbook: \"k8s/README.md, trouble ").nth(1).and_then(|rest| rest.split('"').next());
        let number = number.unwrap_or_else(|| panic!("{name} leads to no trouble"));
        let trouble =
            runbook.split(&format!("\n### {number}. ")).nth(1).and_then(|rest| rest.split("\n### ").next());
        assert!(
            trouble.is_some_and(|text| text.contains(&format!("`{name}`"))),
            "trouble {number} of k8s/README.md: no {name}"
        );
        alerts += 1;
    }
    assert!(alerts > 10);
}
