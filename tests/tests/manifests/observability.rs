//! The profile `observability` of docker-compose.yml: traces find their way from the services to Jaeger, Prometheus reads every
//! health door, and Grafana has both as sources of its dashboard.

use std::{collections::BTreeSet, fs, path::Path};

use postern_mesh::house;
use serde::Deserialize as _;
use serde_json::Value;

use crate::{
    compose::{compose, strings},
    kubernetes::Overlay,
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
        assert!(
            house::SERVICES.iter().any(|(name, usual)| *name == part && usual.to_string() == port),
            "{part}: {port}"
        );
        let published = format!("127.0.0.1:{port}:{port}");
        assert!(about["network_mode"] == "host" || strings(&about["ports"]).contains(&published.as_str()));
        read.insert(part);
    }
    assert_eq!(read, SERVICES.map(str::to_owned).into());
}

/// In Kubernetes: alerts and dashboard ask for the job `postern` and the label `part`, whoever makes them.
#[test]
fn pods_are_read_as_the_alerts_name_them() {
    let scrape = yaml("deploy/prometheus/kubernetes.yaml");
    let job = &scrape[0];
    assert_eq!(job["job_name"], "postern");
    let monitor = yaml("deploy/prometheus/pod-monitor.yaml");
    let part_of = "app.kubernetes.io/part-of";
    assert_eq!(monitor["spec"]["jobLabel"], part_of);
    let selector = monitor["spec"]["selector"]["matchLabels"].as_object().expect("labels");
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    // How Prometheus calls a label of a pod.
    let meta = |label: &str| format!("__meta_kubernetes_pod_label_{}", label.replace(['.', '/', '-'], "_"));
    let rules = job["relabel_configs"].as_array().expect("rules");
    let rule = |source: &str| {
        let found = rules.iter().find(|rule| strings(&rule["source_labels"]) == [source]);
        found.unwrap_or_else(|| panic!("no rule for {source}"))
    };
    assert_eq!(rule(&meta("app.kubernetes.io/name"))["target_label"], "part");
    assert_eq!(strings(&endpoint["relabelings"][0]["sourceLabels"]), [meta("app.kubernetes.io/name")]);
    assert_eq!(endpoint["relabelings"][0]["targetLabel"], "part");
    let port = &rule("__meta_kubernetes_pod_container_port_name")["regex"];
    assert_eq!(port, &endpoint["port"]);
    let alerts = fs::read_to_string(project().join("deploy/prometheus/rules.yaml")).expect("rules");
    for overlay in Overlay::all() {
        let namespace = strings(&job["kubernetes_sd_configs"][0]["namespaces"]["names"]);
        let mut read = BTreeSet::new();
        for object in overlay.of_kind("Deployment") {
            assert_eq!(namespace, [object["metadata"]["namespace"].as_str().expect("a namespace")]);
            assert_eq!(monitor["metadata"]["namespace"], object["metadata"]["namespace"]);
            let pod = &object["spec"]["template"];
            let labels = &pod["metadata"]["labels"];
            assert!(selector.iter().all(|(label, value)| labels[label] == *value), "{object}");
            assert_eq!(labels[part_of], rule(&meta(part_of))["regex"]);
            assert_eq!(labels[part_of], "postern", "the job");
            let annotations = pod["metadata"]["annotations"].to_string();
            assert!(!annotations.contains("prometheus.io"), "read twice, it counts double");
            let ports = pod["spec"]["containers"][0]["ports"].as_array().expect("ports");
            if ports.iter().any(|has| has["name"] == *port) {
                read.insert(labels["app.kubernetes.io/name"].as_str().expect("a name").to_owned());
            }
        }
        assert_eq!(read, SERVICES.map(str::to_owned).into());
    }
    for part in SERVICES {
        let absent = format!("absent(up{{job=\"postern\", part=\"{part}\"}})");
        assert!(alerts.contains(&absent), "nobody notices that no {part} is there");
    }
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
