//! The profile `observability` of docker-compose.yml: traces find their way from the services to Jaeger, Prometheus reads every
//! health door, and Grafana has both as sources of its dashboard.

use std::{collections::BTreeSet, fs, path::Path};

use serde::Deserialize as _;
use serde_json::Value;

use crate::{
    compose::{compose, strings},
    settings::{SERVICES, project},
};

fn yaml(path: &str) -> Value {
    let text = fs::read_to_string(project().join(path)).expect(path);
    Value::deserialize(serde_yaml_ng::Deserializer::from_str(&text)).expect(path)
}

/// Where a file of the project is in a container, by the volumes of its service.
fn mounted(service: &Value, file: &str) -> Option<String> {
    strings(&service["volumes"]).into_iter().find_map(|volume| {
        let mut parts = volume.split(':');
        let (from, to) = (parts.next()?.strip_prefix("./")?, parts.next()?);
        let below = Path::new(file).strip_prefix(from).ok()?;
        Some(Path::new(to).join(below).display().to_string().trim_end_matches('/').to_owned())
    })
}

fn shares_a_network(one: &Value, other: &Value) -> bool {
    strings(&one["networks"]).iter().any(|network| strings(&other["networks"]).contains(network))
}

/// `host:port` of an address, with or without a scheme.
fn place(address: &str) -> (&str, &str) {
    address.trim_start_matches("http://").split_once(':').expect("host:port")
}

#[test]
fn traces_find_their_way_to_jaeger() {
    let compose = compose();
    let services = &compose["services"];
    let (collector, jaeger) = (&services["otel-collector"], &services["jaeger"]);
    for part in [collector, jaeger, &services["prometheus"], &services["grafana"]] {
        assert_eq!(strings(&part["profiles"]), ["observability"]);
    }
    let config = yaml("deploy/otel-collector.yaml");
    let at = mounted(collector, "deploy/otel-collector.yaml").expect("its config is mounted");
    assert_eq!(strings(&collector["command"]), [format!("--config={at}")]);
    let (_, port) =
        place(config["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"].as_str().expect("an address"));

    // What docs/DEPLOY.md says to set leads there, from both networks.
    let page = fs::read_to_string(project().join("docs/DEPLOY.md")).expect("docs/DEPLOY.md");
    let set = |name: &str| {
        let line =
            page.lines().find_map(|line| line.trim().strip_prefix(&format!("{name}=")).map(str::to_owned));
        line.unwrap_or_else(|| panic!("docs/DEPLOY.md does not set {name}"))
    };
    assert_eq!(place(&set("POSTERN_OTLP_ENDPOINT")), ("otel-collector", port));
    assert_eq!(place(&set("POSTERN_OTLP_ENDPOINT_FROM_HOST")), ("127.0.0.1", port));
    assert!(strings(&collector["ports"]).contains(&format!("127.0.0.1:{port}:{port}").as_str()));
    for service in SERVICES {
        let about = &services[service];
        let from_host = about["network_mode"] == "host";
        let wanted =
            if from_host { "${POSTERN_OTLP_ENDPOINT_FROM_HOST:-}" } else { "${POSTERN_OTLP_ENDPOINT:-}" };
        assert_eq!(about["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"], wanted, "{service}");
        assert!(from_host || shares_a_network(about, collector), "{service} does not reach the collector");
        for setting in ["OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"] {
            assert!(about["environment"][setting].is_string(), "{service}: {setting}");
        }
    }

    // And on: each part of the pipeline is there, and its end is Jaeger.
    let pipeline = &config["service"]["pipelines"]["traces"];
    for kind in ["receivers", "processors", "exporters"] {
        for name in strings(&pipeline[kind]) {
            assert!(config[kind].get(name).is_some(), "the collector has no {name} among its {kind}");
        }
    }
    let exporter = strings(&pipeline["exporters"])[0];
    let end = config["exporters"][exporter]["endpoint"].as_str().expect("an address");
    assert_eq!(place(end), ("jaeger", "4317"));
    assert!(shares_a_network(collector, jaeger));
}

#[test]
fn every_health_door_is_read_and_every_rule_is_loaded() {
    let compose = compose();
    let prometheus = &compose["services"]["prometheus"];
    assert_eq!(prometheus["network_mode"], "host");
    let config = yaml("deploy/prometheus/prometheus.yaml");
    let at = mounted(prometheus, "deploy/prometheus/prometheus.yaml").expect("its config is mounted");
    assert!(strings(&prometheus["command"]).contains(&format!("--config.file={at}").as_str()));
    for file in strings(&config["rule_files"]) {
        assert!(project().join("deploy/prometheus").join(file).exists(), "{file}");
    }
    let mut read = BTreeSet::new();
    for group in config["scrape_configs"][0]["static_configs"].as_array().expect("targets") {
        let part = group["labels"]["part"].as_str().expect("a part").to_owned();
        let about = &compose["services"][&part];
        let (_, port) = place(about["environment"]["POSTERN_HEALTH_LISTEN"].as_str().expect("a health door"));
        assert_eq!(strings(&group["targets"]), [format!("127.0.0.1:{port}")], "{part}");
        let published = format!("127.0.0.1:{port}:{port}");
        assert!(about["network_mode"] == "host" || strings(&about["ports"]).contains(&published.as_str()));
        read.insert(part);
    }
    assert_eq!(read, SERVICES.map(str::to_owned).into());
}

#[test]
fn grafana_has_the_sources_of_its_dashboard() {
    let compose = compose();
    let grafana = &compose["services"]["grafana"];
    // Both are on loopback, so it is in the network of the host, and listens nowhere else.
    assert_eq!(grafana["network_mode"], "host");
    assert_eq!(grafana["environment"]["GF_SERVER_HTTP_ADDR"], "127.0.0.1");
    assert_eq!(
        mounted(grafana, "deploy/grafana/provisioning").expect("mounted"),
        "/etc/grafana/provisioning"
    );
    let sources = yaml("deploy/grafana/provisioning/datasources/prometheus.yaml");
    let sources = sources["datasources"].as_array().expect("sources");
    let url = |kind: &str| {
        let source = sources.iter().find(|source| source["type"] == kind).expect("a source");
        place(source["url"].as_str().expect("a URL"))
    };
    let listens = strings(&compose["services"]["prometheus"]["command"])
        .into_iter()
        .find_map(|word| word.strip_prefix("--web.listen-address="));
    assert_eq!(url("prometheus"), place(listens.expect("where Prometheus listens")));
    let (host, port) = url("jaeger");
    let published = format!("127.0.0.1:{port}:{port}");
    assert!(host == "127.0.0.1" && strings(&compose["services"]["jaeger"]["ports"]) == [published.as_str()]);

    let provider = yaml("deploy/grafana/provisioning/dashboards/postern.yaml");
    let folder = provider["providers"][0]["options"]["path"].as_str().expect("a folder");
    assert_eq!(mounted(grafana, "deploy/grafana/dashboards").expect("mounted"), folder);
    let uids: BTreeSet<_> = sources.iter().map(|source| source["uid"].as_str().expect("a uid")).collect();
    let mut charts = 0;
    for entry in fs::read_dir(project().join("deploy/grafana/dashboards")).expect("dashboards").flatten() {
        let text = fs::read_to_string(entry.path()).expect("a dashboard");
        let dashboard: Value = serde_json::from_str(&text).expect("JSON");
        for panel in dashboard["panels"].as_array().expect("panels").iter().filter(|p| p["type"] != "row") {
            let uid = panel["datasource"]["uid"].as_str().expect("a source");
            assert!(uids.contains(uid), "{}: no source {uid}", panel["title"]);
            charts += 1;
        }
    }
    assert!(charts > 10, "{charts}");
}
