//! The arrows of the network: what NetworkPolicies let through is what the services' settings say, from both ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use serde::Deserialize as _;
use serde_json::Value;

use crate::{
    kubernetes::{Overlay, typed},
    kustomize::name,
    settings::{self, SERVICES, project},
};

const NAME: &str = "app.kubernetes.io/name";

/// Pods of the operator's command.
const OPERATOR: &str = "operator";

/// Who has a setting, and the operator's command, which can be told it.
fn having_or_asking(setting: &str) -> BTreeSet<String> {
    settings::having(setting).into_iter().chain([OPERATOR.to_owned()]).collect()
}

/// From, to, and port.
type Arrows = BTreeSet<(String, String, i64)>;

fn names(labels: &Option<BTreeMap<String, String>>, expressions: &[Value]) -> Vec<String> {
    let one = labels.iter().filter_map(|labels| labels.get(NAME).cloned());
    let many = expressions
        .iter()
        .filter(|e| e["key"] == NAME && e["operator"] == "In")
        .flat_map(|e| e["values"].as_array().into_iter().flatten())
        .filter_map(|value| value.as_str().map(str::to_owned));
    one.chain(many).collect()
}

fn selected(selector: &k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector) -> Vec<String> {
    let expressions = serde_json::to_value(&selector.match_expressions).expect("JSON");
    names(&selector.match_labels, expressions.as_array().map(Vec::as_slice).unwrap_or_default())
}

fn pods(peers: &Option<Vec<NetworkPolicyPeer>>) -> Vec<String> {
    peers.iter().flatten().filter_map(|peer| peer.pod_selector.as_ref()).flat_map(selected).collect()
}

fn ports(ports: &Option<Vec<NetworkPolicyPort>>) -> Vec<i64> {
    let number = |port: &NetworkPolicyPort| serde_json::to_value(&port.port).ok()?.as_i64();
    ports.iter().flatten().filter_map(number).collect()
}

/// Services that the panel asks how they are, with their ports.
fn health_doors(overlay: &Overlay) -> Vec<(String, i64)> {
    let told = told(overlay, "POSTERN_HEALTH_DOORS");
    let doors: Vec<_> = told
        .iter()
        .map(|(service, door)| {
            let (host, port) = door.split_once(':').expect("host:port");
            assert_eq!(service, host, "the Service of that name");
            (service.clone(), port.parse().expect("a port"))
        })
        .collect();
    assert_eq!(doors.len(), SERVICES.len() - 1, "all but the panel itself");
    doors
}

/// Pairs in a setting of the panel.
fn told(overlay: &Overlay, setting: &str) -> BTreeMap<String, String> {
    let pods = overlay.pods();
    let settings = pods["control-panel"].spec.iter().flat_map(|pod| &pod.containers);
    let mut settings = settings.flat_map(|container| container.env.iter().flatten());
    let value = settings.find(|known| known.name == setting).and_then(|known| known.value.clone());
    let value = value.unwrap_or_else(|| panic!("{setting} is not set"));
    value
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .collect()
}

/// Arrows between pods, as ingress of the callees and as egress of the callers.
fn let_through(overlay: &Overlay) -> (Arrows, Arrows) {
    let (mut in_arrows, mut out_arrows) = (Arrows::new(), Arrows::new());
    for object in overlay.of_kind("NetworkPolicy") {
        let spec = typed::<NetworkPolicy>(object).spec.expect("a spec");
        let of = spec.pod_selector.as_ref().map(selected).unwrap_or_default();
        for rule in spec.ingress.iter().flatten() {
            for (from, to, port) in product(&pods(&rule.from), &of, &ports(&rule.ports)) {
                in_arrows.insert((from, to, port));
            }
        }
        for rule in spec.egress.iter().flatten() {
            for (from, to, port) in product(&of, &pods(&rule.to), &ports(&rule.ports)) {
                out_arrows.insert((from, to, port));
            }
        }
    }
    (in_arrows, out_arrows)
}

fn product(from: &[String], to: &[String], ports: &[i64]) -> Vec<(String, String, i64)> {
    let mut all = Vec::new();
    for from in from {
        for to in to {
            all.extend(ports.iter().map(|port| (from.clone(), to.clone(), *port)));
        }
    }
    all
}

/// The port of a container by its name.
fn port(overlay: &Overlay, of: &str, called: &str) -> i64 {
    let pods = overlay.pods();
    let containers = pods[of].spec.iter().flat_map(|spec| &spec.containers);
    let found = containers.flat_map(|c| c.ports.iter().flatten()).find(|p| p.name.as_deref() == Some(called));
    i64::from(found.unwrap_or_else(|| panic!("{of} has no port {called}")).container_port)
}

#[test]
fn arrows_are_those_of_the_settings() {
    for overlay in Overlay::all() {
        let mut wanted = Arrows::new();
        let operator = ["account", "auth", "delivery"].map(|to| (OPERATOR.to_owned(), to.to_owned()));
        for (from, to) in settings::arrows().into_iter().chain(operator) {
            let grpc = port(&overlay, &to, "grpc");
            wanted.insert((from, to, grpc));
        }
        // `postern doctor`.
        for to in SERVICES {
            wanted.insert((OPERATOR.to_owned(), to.to_owned(), port(&overlay, to, "health")));
        }
        // The operator view: each replica at the health door that it is told.
        for (to, health) in health_doors(&overlay) {
            assert_eq!(health, port(&overlay, &to, "health"), "{to}");
            wanted.insert(("control-panel".to_owned(), to, health));
        }
        let mut knocks = Arrows::new();
        for (gateway, doors) in [
            ("pop3-gateway", vec!["pop3", "pop3s"]),
            ("smtp-gateway", vec!["smtp", "submission", "smtps"]),
            ("control-panel", vec!["http", "https"]),
        ] {
            for door in doors {
                wanted.insert(("edge".to_owned(), gateway.to_owned(), port(&overlay, gateway, door)));
                knocks.insert((OPERATOR.to_owned(), "edge".to_owned(), port(&overlay, "edge", door)));
            }
        }
        if overlay.pods().contains_key("postgres") {
            for (setting, store, called) in
                [("POSTERN_DATABASE_URL", "postgres", "postgres"), ("POSTERN_REDIS_URL", "redis", "redis")]
            {
                for service in having_or_asking(setting) {
                    wanted.insert((service, store.to_owned(), port(&overlay, store, called)));
                }
            }
        }
        let (in_arrows, out_arrows) = let_through(&overlay);
        assert_eq!(in_arrows, wanted, "what the callees let in");
        // The edge lets everybody in; `postern doctor` knocks there.
        wanted.extend(knocks);
        assert_eq!(out_arrows, wanted, "what the callers are let out to");
    }
}

#[test]
fn stores_of_the_site_are_reached_by_those_who_have_them() {
    for overlay in Overlay::all() {
        for (policy, setting) in [("to-postgres", "POSTERN_DATABASE_URL"), ("to-redis", "POSTERN_REDIS_URL")]
        {
            let object =
                overlay.of_kind("NetworkPolicy").find(|object| name(object) == policy).expect(policy);
            let spec = typed::<NetworkPolicy>(object).spec.expect("a spec");
            let of: BTreeSet<_> = spec.pod_selector.iter().flat_map(selected).collect();
            assert_eq!(of, having_or_asking(setting), "{policy}");
        }
    }
}

/// The scanner is the site's, in a namespace of its own.
#[test]
fn the_spam_scanner_is_reached_by_those_who_can_be_told_of_it() {
    let scanner = serde_json::json!([{"namespaceSelector":
        {"matchLabels": {"kubernetes.io/metadata.name": "rspamd"}}}]);
    for overlay in Overlay::all() {
        let mut reach = BTreeSet::new();
        for policy in overlay.of_kind("NetworkPolicy") {
            for rule in policy["spec"]["egress"].as_array().into_iter().flatten() {
                if rule["to"] == scanner {
                    assert_eq!(rule["ports"], serde_json::json!([{"protocol": "TCP", "port": 11333}]));
                    reach.insert(name(policy).to_owned());
                }
            }
        }
        assert_eq!(reach, settings::having("POSTERN_SPAM_SCANNER_URL"));
    }
}

/// Objects that a file of manifests holds behind a `#`, for whoever needs them.
fn examples(path: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(settings::project().join(path)).expect(path);
    let lines = text.lines().filter_map(|line| {
        line.strip_prefix('#').filter(|rest| !rest.starts_with(' ') || rest.starts_with("  "))
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    serde_yaml_ng::Deserializer::from_str(&text)
        .filter_map(|document| Option::<Value>::deserialize(document).expect("YAML"))
        .collect()
}

/// What a setting may name outside, its service is let out to: by a rule, or by an example that waits for its address.
#[test]
fn hosts_that_a_setting_can_name_have_a_way_out() {
    let ways = [
        ("POSTERN_DATABASE_URL", "to-postgres"),
        ("POSTERN_REDIS_URL", "to-redis"),
        ("POSTERN_BLOB_URL", "to-blobs"),
        ("POSTERN_SPAM_SCANNER_URL", "delivery"),
        ("POSTERN_SMARTHOST", "to-smarthost"),
        ("POSTERN_RESOLVER", "to-resolver"),
    ];
    let all: BTreeSet<String> = SERVICES.into_iter().flat_map(settings::of).collect();
    // Services of ours are arrows (above); an address in a link is nobody whom we ask.
    let inside =
        ["POSTERN_ACCOUNT_URL", "POSTERN_AUTH_URL", "POSTERN_DELIVERY_URL", "POSTERN_UNSUBSCRIBE_URL"];
    let hosts = all
        .iter()
        .filter(|name| name.ends_with("_URL") || name.ends_with("HOST") || name.ends_with("RESOLVER"));
    for host in hosts.filter(|name| !inside.contains(&name.as_str()) && *name != "POSTERN_MAIL_HOST") {
        assert!(ways.iter().any(|(setting, _)| setting == host), "{host}: by which rule is it reached?");
    }
    let overlays = Overlay::all();
    let production = overlays.iter().find(|overlay| overlay.name == "production").expect("production");
    let examples = examples("k8s/overlays/production/stores.yaml");
    for (setting, policy) in ways {
        let object =
            production.of_kind("NetworkPolicy").chain(&examples).find(|object| name(object) == policy);
        let spec =
            typed::<NetworkPolicy>(object.unwrap_or_else(|| panic!("no {policy}"))).spec.expect("a spec");
        let of: BTreeSet<_> = spec.pod_selector.iter().flat_map(selected).collect();
        let wanted = settings::having(setting);
        assert!(of.is_superset(&wanted), "{policy} is of {of:?}, {setting} of {wanted:?}");
        let outwards =
            spec.egress.iter().flatten().filter(|rule| rule.to.as_ref().is_some_and(|to| !to.is_empty()));
        assert!(outwards.into_iter().any(|rule| !ports(&rule.ports).is_empty()), "{policy} leads nowhere");
    }
    assert!(crate::kubernetes::runbook().contains("`to-smarthost` and `to-resolver`"));
}

#[test]
fn nothing_else_is_let_through() {
    for overlay in Overlay::all() {
        let policies: Vec<_> = overlay.of_kind("NetworkPolicy").collect();
        let default = policies.iter().find(|object| name(object) == "nothing-by-default").expect("a default");
        assert_eq!(default["spec"]["podSelector"], serde_json::json!({}));
        assert_eq!(default["spec"]["policyTypes"], serde_json::json!(["Ingress", "Egress"]));
        assert!(default["spec"].get("ingress").is_none() && default["spec"].get("egress").is_none());
        for service in SERVICES {
            assert!(policies.iter().any(|object| name(object) == service), "no policy of {service}");
        }
        // The world is reached by delivery alone, and its side of our doors by the operator's command; the edge alone is reached by the
        // world.
        for policy in &policies {
            let text = policy["spec"]["egress"].to_string();
            let world = text.contains("0.0.0.0/0") || text.contains("::/0");
            assert!(!world || ["delivery", "to-blobs", OPERATOR].contains(&name(policy)), "{}", name(policy));
            let rules = policy["spec"]["ingress"].as_array().into_iter().flatten();
            let open = rules.into_iter().any(|rule| rule.get("from").is_none());
            assert_eq!(open, name(policy) == "edge", "{}", name(policy));
        }
    }
}

/// A grant is tied to the client's address: the load balancer keeps it, the edge names it, and the gateways, auth and the
/// panel know the edge.
#[test]
fn gateways_learn_the_clients_own_addresses() {
    for overlay in Overlay::all() {
        let edge = overlay.of_kind("Service").find(|object| name(object) == "edge").expect("the edge");
        assert_eq!(edge["spec"]["type"], "LoadBalancer");
        assert_eq!(edge["spec"]["externalTrafficPolicy"], "Local");
        let others: Vec<_> = overlay.of_kind("Service").filter(|object| name(object) != "edge").collect();
        assert!(
            others.iter().all(|object| object["spec"]["clusterIP"] == "None"),
            "only the edge is outside"
        );
        let config = overlay.of_kind("ConfigMap").find(|object| name(object) == "edge").expect("its config");
        let config = config["data"]["haproxy.cfg"].as_str().expect("haproxy.cfg");
        for (gateway, door) in [
            ("pop3-gateway", "pop3"),
            ("pop3-gateway", "pop3s"),
            ("smtp-gateway", "smtp"),
            ("smtp-gateway", "submission"),
            ("smtp-gateway", "smtps"),
            ("control-panel", "http"),
            ("control-panel", "https"),
        ] {
            let number = port(&overlay, gateway, door);
            let target = format!("{door} 30 \"{gateway}.${{NAMESPACE}}.svc.${{CLUSTER_DOMAIN}}:{number}\"");
            assert!(
                config.lines().any(|line| line.trim() == format!("server-template {target}")),
                "{target}"
            );
        }
        let all =
            config.lines().find(|line| line.trim().starts_with("default-server ")).expect("what all have");
        assert!(all.contains(" send-proxy-v2 check-send-proxy") && all.contains(" resolvers "), "{all}");
        let site = overlay.of_kind("ConfigMap").find(|object| name(object) == "postern-site").expect("site");
        let networks = site["data"]["POSTERN_PROXY_NETWORKS"].as_str().expect("networks");
        assert!(!networks.is_empty());
        for service in ["pop3-gateway", "smtp-gateway", "auth", "control-panel"] {
            assert!(settings::of(service).contains("POSTERN_PROXY_NETWORKS"), "{service}");
        }
    }
}

/// An overlay may choose its namespace: the edge, which cannot ask for a name without it, is told by Kubernetes.
#[test]
fn a_house_may_stand_in_any_namespace() {
    for overlay in Overlay::all() {
        let edge = overlay.pods().remove("edge").and_then(|pod| pod.spec).expect("the edge");
        let told = edge.containers.iter().flat_map(|container| container.env.iter().flatten());
        let namespace = told.into_iter().find(|variable| variable.name == "NAMESPACE").expect("NAMESPACE");
        let source = serde_json::to_value(&namespace.value_from).expect("JSON");
        assert_eq!(source["fieldRef"]["fieldPath"], "metadata.namespace");
        for object in &overlay.objects {
            let mut object = object.clone();
            let is_the_namespace = object["kind"] == "Namespace";
            let place = if is_the_namespace { "name" } else { "namespace" };
            assert_eq!(object["metadata"][place].take(), "postern", "{object}");
            let text = object.to_string();
            let named = text.contains("postern.svc") || text.contains("\"namespace\":\"postern\"");
            assert!(!named && !text.contains("metadata.name\":\"postern\""), "{text}");
        }
    }
}

/// Behind the edge a gateway's keep-alive sees the edge alone, which lives: the edge finds dead clients, in the times of our own doors.
#[test]
fn the_edge_finds_dead_clients_as_our_doors_do() {
    let doors = fs::read_to_string(project().join("services/lib/mesh/src/doors.rs")).expect("doors.rs");
    let number = |constant: &str| {
        let value =
            doors.split(&format!("const {constant}: ")).nth(1).and_then(|rest| rest.split(';').next());
        let digits: String = value
            .expect(constant)
            .split('=')
            .nth(1)
            .expect("a value")
            .chars()
            .filter(char::is_ascii_digit)
            .collect();
        digits.parse::<u32>().expect("a number")
    };
    for overlay in Overlay::all() {
        let config = overlay.of_kind("ConfigMap").find(|object| name(object) == "edge").expect("its config");
        let config = config["data"]["haproxy.cfg"].as_str().expect("haproxy.cfg");
        let says = |wanted: &str| config.lines().any(|line| line.trim() == wanted);
        for side in ["clitcpka", "srvtcpka"] {
            assert!(says(&format!("option {side}")), "{side}");
            assert!(says(&format!("{side}-idle {}s", number("KEEPALIVE_IDLE"))), "{side}");
            assert!(says(&format!("{side}-intvl {}s", number("KEEPALIVE_INTERVAL"))), "{side}");
            assert!(says(&format!("{side}-cnt {}", number("KEEPALIVE_RETRIES"))), "{side}");
        }
        let unacknowledged = format!(" tcp-ut {}s", number("UNACKNOWLEDGED_TIMEOUT"));
        let binds: Vec<_> = config.lines().filter(|line| line.trim().starts_with("bind ")).collect();
        assert_eq!(binds.len(), 7);
        assert!(binds.iter().all(|line| line.ends_with(&unacknowledged)), "{binds:?}");
    }
}

/// What customers are told, and where browsers are led, is what the edge listens on in the world.
#[test]
fn the_ports_that_the_panel_tells_are_those_of_the_edge() {
    for overlay in Overlay::all() {
        let edge = overlay.of_kind("Service").find(|object| name(object) == "edge").expect("the edge");
        let open = edge["spec"]["ports"].as_array().expect("ports");
        let open: BTreeMap<_, _> =
            open.iter().map(|port| (port["name"].as_str().expect("a name"), port["port"].clone())).collect();
        let told = told(&overlay, "POSTERN_PUBLIC_PORTS");
        for door in ["pop3", "pop3s", "submission", "smtps", "https"] {
            assert_eq!(told.get(door), Some(&open[door].to_string()), "{door}");
        }
    }
}
