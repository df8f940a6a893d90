//! k8s/: each object is read into the types of the Kubernetes API with unknown fields refused, and each name leads somewhere.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, Container, Namespace, PersistentVolumeClaim, PodTemplateSpec, Secret, Service},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    kustomize::{self, kind, name},
    settings::{self, SERVICES, project},
};

const OVERLAYS: [&str; 2] = ["dev", "production"];
const DRAIN: &str = "POSTERN_DRAIN_SECONDS";

/// cert-manager's, as far as we use them.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CertManager<S> {
    api_version: String,
    kind: String,
    metadata: Value,
    spec: S,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct IssuerSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    self_signed: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca: Option<Value>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CertificateSpec {
    #[serde(rename = "isCA", default, skip_serializing_if = "Option::is_none")]
    is_ca: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    common_name: Option<String>,
    secret_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dns_names: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usages: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    duration: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    renew_before: Option<String>,
    private_key: Value,
    issuer_ref: Value,
}

/// Reads an object into its type; a field that the type does not have fails.
pub(crate) fn typed<T: DeserializeOwned + Serialize>(object: &Value) -> T {
    let read: T = serde_json::from_value(object.clone())
        .unwrap_or_else(|e| panic!("{} {}: {e}", kind(object), name(object)));
    let known = serde_json::to_value(&read).expect("JSON");
    let mut unknown = Vec::new();
    missing(object, &known, String::new(), &mut unknown);
    assert!(unknown.is_empty(), "{} {}: unknown fields {unknown:?}", kind(object), name(object));
    read
}

/// What the first has and the second has not.
fn missing(wanted: &Value, known: &Value, path: String, found: &mut Vec<String>) {
    match (wanted, known) {
        (Value::Object(wanted), Value::Object(known)) => {
            for (field, value) in wanted {
                let path = format!("{path}/{field}");
                match known.get(field) {
                    Some(known) => missing(value, known, path, found),
                    None => found.push(path),
                }
            }
        }
        (Value::Array(wanted), Value::Array(known)) if wanted.len() == known.len() => {
            for (index, (wanted, known)) in wanted.iter().zip(known).enumerate() {
                missing(wanted, known, format!("{path}/{index}"), found);
            }
        }
        (wanted, known) if wanted == known => {}
        _ => found.push(path),
    }
}

fn check_types(object: &Value) {
    match (object["apiVersion"].as_str().unwrap_or_default(), kind(object)) {
        ("apps/v1", "Deployment") => drop(typed::<Deployment>(object)),
        ("apps/v1", "StatefulSet") => drop(typed::<StatefulSet>(object)),
        ("v1", "ConfigMap") => drop(typed::<ConfigMap>(object)),
        ("v1", "Namespace") => drop(typed::<Namespace>(object)),
        ("v1", "PersistentVolumeClaim") => drop(typed::<PersistentVolumeClaim>(object)),
        ("v1", "Secret") => drop(typed::<Secret>(object)),
        ("v1", "Service") => drop(typed::<Service>(object)),
        ("networking.k8s.io/v1", "NetworkPolicy") => drop(typed::<NetworkPolicy>(object)),
        ("policy/v1", "PodDisruptionBudget") => drop(typed::<PodDisruptionBudget>(object)),
        ("autoscaling/v2", "HorizontalPodAutoscaler") => drop(typed::<HorizontalPodAutoscaler>(object)),
        ("cert-manager.io/v1", "Issuer") => drop(typed::<CertManager<IssuerSpec>>(object)),
        ("cert-manager.io/v1", "Certificate") => drop(typed::<CertManager<CertificateSpec>>(object)),
        (version, kind) => panic!("{version} {kind} is not known here"),
    }
}

/// An overlay, built.
pub(crate) struct Overlay {
    pub(crate) name: &'static str,
    pub(crate) objects: Vec<Value>,
}

impl Overlay {
    pub(crate) fn all() -> Vec<Self> {
        let build =
            |name| Self { name, objects: kustomize::build(&project().join("k8s/overlays").join(name)) };
        OVERLAYS.into_iter().map(build).collect()
    }

    pub(crate) fn of_kind(&self, wanted: &str) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |object| kind(object) == wanted)
    }

    fn has(&self, wanted: &str, called: &str) -> bool {
        self.of_kind(wanted).any(|object| name(object) == called)
    }

    /// Pods of the overlay by the name of what makes them.
    pub(crate) fn pods(&self) -> BTreeMap<String, PodTemplateSpec> {
        let deployments = self.of_kind("Deployment").map(|object| {
            let spec = typed::<Deployment>(object).spec.expect("a spec");
            check_selector(name(object), &spec.selector.match_labels, &spec.template);
            (name(object).to_owned(), spec.template)
        });
        let sets = self.of_kind("StatefulSet").map(|object| {
            let spec = typed::<StatefulSet>(object).spec.expect("a spec");
            check_selector(name(object), &spec.selector.match_labels, &spec.template);
            let service = spec.service_name.expect("a service name");
            assert!(self.has("Service", &service), "{}: no Service {service}", name(object));
            (name(object).to_owned(), spec.template)
        });
        deployments.chain(sets).collect()
    }

    /// Keys of a Secret: generated here, made by cert-manager, or made by the operator as k8s/README.md says.
    pub(crate) fn keys_of_secret(&self, called: &str) -> BTreeSet<String> {
        if let Some(secret) = self.of_kind("Secret").find(|object| name(object) == called) {
            return secret["data"].as_object().expect("data").keys().cloned().collect();
        }
        let certificates = self.of_kind("Certificate");
        if certificates.into_iter().any(|object| object["spec"]["secretName"] == called) {
            return ["ca.crt", "tls.crt", "tls.key"].map(str::to_owned).into();
        }
        let by_hand = secrets_of_the_runbook();
        let keys = by_hand.get(called).unwrap_or_else(|| panic!("{}: nobody makes {called}", self.name));
        keys.clone()
    }
}

fn check_selector(of: &str, selector: &Option<BTreeMap<String, String>>, template: &PodTemplateSpec) {
    let labels = labels_of(template);
    let selector = selector.as_ref().expect("a selector");
    assert!(
        selector.iter().all(|label| labels.get(label.0) == Some(label.1)),
        "{of} does not select its pods"
    );
}

fn labels_of(template: &PodTemplateSpec) -> BTreeMap<String, String> {
    template.metadata.as_ref().and_then(|metadata| metadata.labels.clone()).unwrap_or_default()
}

pub(crate) fn runbook() -> String {
    std::fs::read_to_string(project().join("k8s/README.md")).expect("k8s/README.md")
}

/// `kubectl create secret generic NAME --from-file=KEY=... --from-literal=KEY=...` lines of k8s/README.md.
fn secrets_of_the_runbook() -> BTreeMap<String, BTreeSet<String>> {
    let joined = runbook().replace("\\\n", " ");
    let mut secrets = BTreeMap::new();
    for line in joined.lines() {
        let Some((_, rest)) = line.split_once("create secret generic ") else { continue };
        let mut words = rest.split_whitespace();
        let called = words.next().expect("a name").to_owned();
        let keys = words.filter_map(|word| {
            let pair = word.strip_prefix("--from-file=").or_else(|| word.strip_prefix("--from-literal="))?;
            pair.split_once('=').map(|(key, _)| key.to_owned())
        });
        secrets.insert(called, keys.collect());
    }
    secrets
}

#[test]
fn every_manifest_is_of_its_type() {
    for overlay in Overlay::all() {
        let mut seen = BTreeSet::new();
        for object in &overlay.objects {
            check_types(object);
            assert!(seen.insert((kind(object), name(object))), "twice: {} {}", kind(object), name(object));
        }
        assert!(seen.len() > 50, "{}: only {} objects", overlay.name, seen.len());
    }
}

#[test]
fn every_name_in_a_pod_leads_somewhere() {
    for overlay in Overlay::all() {
        for (of, pod) in overlay.pods() {
            let spec = pod.spec.as_ref().expect("a pod");
            let mut sources = BTreeMap::new();
            for volume in spec.volumes.iter().flatten() {
                if let Some(secret) = &volume.secret {
                    let called = secret.secret_name.as_deref().expect("a secret name");
                    // What a site may leave out is told in the runbook, and is a folder of whatever it holds.
                    let keys = if secret.optional == Some(true) {
                        assert!(
                            runbook().contains(called),
                            "{of}: k8s/README.md does not say what {called} is"
                        );
                        BTreeSet::new()
                    } else {
                        overlay.keys_of_secret(called)
                    };
                    sources.insert(volume.name.clone(), keys);
                } else if let Some(config) = &volume.config_map {
                    assert!(overlay.has("ConfigMap", &config.name), "{of}: no ConfigMap {}", config.name);
                    sources.insert(volume.name.clone(), BTreeSet::new());
                } else if let Some(claim) = &volume.persistent_volume_claim {
                    let called = &claim.claim_name;
                    assert!(overlay.has("PersistentVolumeClaim", called), "{of}: no claim {called}");
                    sources.insert(volume.name.clone(), BTreeSet::new());
                } else {
                    panic!("{of}: volume {} is of a kind that is not known here", volume.name);
                }
            }
            let claimed = overlay.of_kind("StatefulSet").filter(|object| name(object) == of);
            for claim in
                claimed.flat_map(|o| o["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten())
            {
                sources.insert(name(claim).to_owned(), BTreeSet::new());
            }
            for container in &spec.containers {
                check_container(&overlay, &of, container, &sources);
            }
        }
    }
}

fn check_container(
    overlay: &Overlay,
    of: &str,
    container: &Container,
    sources: &BTreeMap<String, BTreeSet<String>>,
) {
    check_paths(overlay, of, container, sources);
    let ports: BTreeSet<_> = container.ports.iter().flatten().filter_map(|port| port.name.clone()).collect();
    let probes = [&container.startup_probe, &container.readiness_probe, &container.liveness_probe];
    assert!(container.readiness_probe.is_some(), "{of}: no readiness probe");
    for probe in probes.into_iter().flatten() {
        let http = probe.http_get.as_ref().map(|get| &get.port);
        let port = http.or(probe.tcp_socket.as_ref().map(|tcp| &tcp.port));
        if let Some(port) = port {
            let port = serde_json::to_value(port).expect("JSON");
            assert!(port.as_str().is_some_and(|port| ports.contains(port)), "{of}: a probe asks port {port}");
        }
    }
}

/// What the settings of a container name is mounted there.
pub(crate) fn check_paths(
    overlay: &Overlay,
    of: &str,
    container: &Container,
    sources: &BTreeMap<String, BTreeSet<String>>,
) {
    let mut mounted = BTreeSet::new();
    for mount in container.volume_mounts.iter().flatten() {
        let keys = sources.get(&mount.name).unwrap_or_else(|| panic!("{of}: no volume {}", mount.name));
        mounted.insert(mount.mount_path.clone());
        mounted.extend(keys.iter().map(|key| format!("{}/{key}", mount.mount_path)));
    }
    for variable in container.env.iter().flatten() {
        let value = variable.value.as_deref().unwrap_or_default();
        if value.starts_with("/run/") {
            assert!(mounted.contains(value), "{of}: {} = {value} is in no mounted secret", variable.name);
        }
    }
    for from in container.env_from.iter().flatten() {
        if let Some(config) = &from.config_map_ref {
            assert!(overlay.has("ConfigMap", &config.name), "{of}: no ConfigMap {}", config.name);
        }
        if let Some(secret) = &from.secret_ref {
            assert!(!overlay.keys_of_secret(&secret.name).is_empty());
        }
    }
}

#[test]
fn every_service_budget_and_autoscaler_finds_its_pods() {
    for overlay in Overlay::all() {
        let pods = overlay.pods();
        for object in overlay.of_kind("Service") {
            let spec = typed::<Service>(object).spec.expect("a spec");
            let selector = spec.selector.expect("a selector");
            let selected: Vec<_> = pods
                .values()
                .filter(|pod| {
                    let labels = labels_of(pod);
                    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
                })
                .collect();
            assert_eq!(
                selected.len(),
                1,
                "Service {} selects {} kinds of pods",
                name(object),
                selected.len()
            );
            let containers = selected[0].spec.iter().flat_map(|spec| &spec.containers);
            let ports: BTreeSet<_> = containers
                .flat_map(|container| container.ports.iter().flatten())
                .filter_map(|port| port.name.clone())
                .collect();
            for port in spec.ports.iter().flatten() {
                let target = serde_json::to_value(&port.target_port).expect("JSON");
                let found = target.as_str().is_some_and(|target| ports.contains(target));
                assert!(found, "Service {}: no port {target} in its pods", name(object));
            }
        }
        for service in SERVICES {
            assert!(pods.contains_key(service), "no pods of {service}");
            assert!(overlay.has("PodDisruptionBudget", service), "no budget for {service}");
            assert!(overlay.has("HorizontalPodAutoscaler", service), "no autoscaler for {service}");
            assert!(overlay.has("Service", service), "no Service {service}");
        }
        for object in overlay.of_kind("HorizontalPodAutoscaler") {
            let target = &object["spec"]["scaleTargetRef"];
            let called = target["name"].as_str().expect("a name");
            assert!(overlay.has(target["kind"].as_str().expect("a kind"), called), "no {called} to scale");
        }
        for object in overlay.of_kind("Certificate") {
            let issuer = &object["spec"]["issuerRef"];
            let called = issuer["name"].as_str().expect("a name");
            // A ClusterIssuer is the cluster's.
            assert!(issuer["kind"] == "ClusterIssuer" || overlay.has("Issuer", called), "no issuer {called}");
        }
    }
}

#[test]
fn every_setting_is_one_of_its_service() {
    let all: BTreeSet<String> = SERVICES.into_iter().flat_map(settings::of).collect();
    for overlay in Overlay::all() {
        let site = overlay.of_kind("ConfigMap").find(|object| name(object) == "postern-site").expect("site");
        for setting in site["data"].as_object().expect("data").keys() {
            assert!(all.contains(setting) || settings::is_standard(setting), "{setting} is no setting");
        }
        let pods = overlay.pods();
        for service in SERVICES {
            let known = settings::of(service);
            let spec = pods[service].spec.as_ref().expect("a pod");
            for variable in spec.containers.iter().flat_map(|container| container.env.iter().flatten()) {
                assert!(known.contains(&variable.name), "{service} has no setting {}", variable.name);
                let Some(callee) = variable.name.strip_suffix("_URL").filter(|n| *n != "POSTERN_BLOB") else {
                    continue;
                };
                let url = variable.value.as_deref().expect("a URL");
                let (host, port) =
                    url.strip_prefix("https://").and_then(|u| u.split_once(':')).expect("https");
                assert_eq!(format!("POSTERN_{}", host.to_uppercase()), callee);
                let callee =
                    overlay.of_kind("Service").find(|object| name(object) == host).expect("a Service");
                assert_eq!(callee["spec"]["ports"][0]["port"].to_string(), port, "{service}: {url}");
                assert_eq!(callee["spec"]["clusterIP"], "None", "{host}: callers balance over its addresses");
            }
        }
    }
}

#[test]
fn every_pod_of_ours_is_shut_in() {
    for overlay in Overlay::all() {
        for (of, pod) in overlay.pods() {
            let spec = pod.spec.as_ref().expect("a pod");
            let context = spec.security_context.as_ref().expect("a security context");
            assert_eq!(context.run_as_non_root, Some(true), "{of}");
            let seccomp = context.seccomp_profile.as_ref().map(|profile| profile.type_.as_str());
            assert_eq!(seccomp, Some("RuntimeDefault"), "{of}");
            assert_eq!(spec.automount_service_account_token, Some(false), "{of}");
            for container in &spec.containers {
                let context = container.security_context.as_ref().expect("a security context");
                assert_eq!(context.allow_privilege_escalation, Some(false), "{of}");
                let dropped =
                    context.capabilities.as_ref().and_then(|capabilities| capabilities.drop.clone());
                assert_eq!(dropped, Some(vec!["ALL".to_owned()]), "{of}");
                let resources = container.resources.as_ref().expect("resources");
                for wanted in ["cpu", "memory"] {
                    assert!(
                        resources.requests.as_ref().is_some_and(|r| r.contains_key(wanted)),
                        "{of}: {wanted}"
                    );
                }
                assert!(resources.limits.as_ref().is_some_and(|r| r.contains_key("memory")), "{of}");
                if SERVICES.contains(&of.as_str()) {
                    assert_eq!(context.read_only_root_filesystem, Some(true), "{of}");
                    assert!(spec.topology_spread_constraints.as_ref().is_some_and(|t| t.len() == 2), "{of}");
                }
            }
        }
    }
}

#[test]
fn nobody_is_killed_who_still_drains() {
    for overlay in Overlay::all() {
        let site = overlay.of_kind("ConfigMap").find(|object| name(object) == "postern-site").expect("site");
        let of_all = site["data"][DRAIN].as_str().expect("a time for all");
        let pods = overlay.pods();
        for service in SERVICES {
            let spec = pods[service].spec.as_ref().expect("a pod");
            let container = &spec.containers[0];
            let own = container.env.iter().flatten().find(|variable| variable.name == DRAIN);
            let drain = own.and_then(|variable| variable.value.as_deref()).unwrap_or(of_all);
            let drain: i64 = drain.parse().expect("seconds");
            let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
            let before = hook.and_then(|hook| hook.sleep.as_ref()).map_or(0, |sleep| sleep.seconds);
            let grace = spec.termination_grace_period_seconds.unwrap_or(30);
            assert!(before + drain < grace, "{service}: {before} s and {drain} s of {grace} s");
            // The answer to a message may take so long (S-28).
            assert!(service != "smtp-gateway" || drain >= 45, "{service}: {drain} s");
        }
    }
}

/// A replica that migrates is not ready, for hours in a large house; that is no failed rollout.
#[test]
fn a_rollout_waits_as_long_as_its_start_may_take() {
    const USUAL_DEADLINE_SECONDS: i32 = 600;
    for overlay in Overlay::all() {
        for object in overlay.of_kind("Deployment") {
            let spec = typed::<Deployment>(object).spec.expect("a spec");
            let pod = spec.template.spec.expect("a pod");
            let Some(probe) = &pod.containers[0].startup_probe else { continue };
            let may_take = probe.period_seconds.unwrap_or(10) * probe.failure_threshold.unwrap_or(3);
            let waits = spec.progress_deadline_seconds.unwrap_or(USUAL_DEADLINE_SECONDS);
            assert!(waits >= may_take, "{}: {waits} s for {may_take} s", name(object));
        }
    }
}

#[test]
fn the_mesh_certificates_bear_the_names_of_their_services() {
    for overlay in Overlay::all() {
        for service in SERVICES {
            let called = format!("mesh-{service}");
            let certificate =
                overlay.of_kind("Certificate").find(|object| name(object) == called).expect("a certificate");
            assert_eq!(certificate["spec"]["secretName"], called.as_str());
            assert_eq!(certificate["spec"]["dnsNames"][0], format!("{service}.postern.internal"));
            assert_eq!(certificate["spec"]["issuerRef"]["name"], "mesh");
        }
    }
}
