//! k8s/README.md: what its commands make fits what the manifests have.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use postern_mesh::house;
use serde_json::Value;

use crate::{
    kubernetes::{Overlay, check_paths, runbook, typed},
    kustomize::name,
    settings::{self, SERVICES, project},
};

/// The pod of the operator's command, as `kubectl run` of k8s/README.md makes it with k8s/operator.json.
fn operator() -> Value {
    let text = std::fs::read_to_string(project().join("k8s/operator.json")).expect("k8s/operator.json");
    let mut pod: Value = serde_json::from_str(&text).expect("JSON");
    let runs = runbook();
    let word = |flag: &str| {
        let rest = runs.split(flag).nth(1).unwrap_or_else(|| panic!("k8s/README.md: no {flag}"));
        rest.split_whitespace().next().unwrap_or_default().to_owned()
    };
    let labels = word("--labels=");
    let labels = labels.split(',').filter_map(|pair| pair.split_once('='));
    let labels: serde_json::Map<_, _> = labels.map(|(key, value)| (key.to_owned(), value.into())).collect();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    // The patch goes by the name of the container, which is the pod's.
    pod["metadata"] = serde_json::json!({"name": word("kubectl -n postern run "), "labels": labels});
    assert_eq!(pod["spec"]["containers"][0]["name"], pod["metadata"]["name"]);
    assert!(runs.contains("--override-type=strategic --overrides=\"$(cat k8s/operator.json)\""));
    pod["spec"]["containers"][0]["image"] = word("--image=").into();
    pod
}

#[test]
fn the_operators_pod_has_what_its_command_looks_at() {
    let object = operator();
    let pod = typed::<Pod>(&object);
    let spec = pod.spec.expect("a pod");
    let known = settings::of("postern");
    for overlay in Overlay::all() {
        let mut sources = BTreeMap::new();
        for volume in spec.volumes.iter().flatten() {
            let secret =
                volume.secret.as_ref().and_then(|secret| secret.secret_name.as_deref()).expect("a secret");
            sources.insert(volume.name.clone(), overlay.keys_of_secret(secret));
        }
        let container = &spec.containers[0];
        check_paths(&overlay, "operator", container, &sources);
        let told: BTreeMap<_, _> = container
            .env
            .iter()
            .flatten()
            .map(|variable| (variable.name.as_str(), variable.value.clone().unwrap_or_default()))
            .collect();
        assert!(told.keys().all(|setting| known.contains(*setting)), "{told:?}");
        for wanted in ["POSTERN_DATABASE_URL_FILE", "POSTERN_REDIS_URL_FILE"] {
            assert!(told.contains_key(wanted), "postern doctor does not look at {wanted}");
        }
        let doors: BTreeSet<String> = told["POSTERN_HEALTH_DOORS"].split(',').map(str::to_owned).collect();
        let pods = overlay.pods();
        let all = SERVICES.map(|service| {
            let ports = pods[service]
                .spec
                .iter()
                .flat_map(|spec| &spec.containers)
                .flat_map(|c| c.ports.iter().flatten());
            let health =
                ports.into_iter().find(|port| port.name.as_deref() == Some("health")).expect("a health port");
            let usual = house::SERVICES.iter().find(|(name, _)| *name == service).expect("a service").1;
            assert_eq!(health.container_port, i32::from(usual), "{service}");
            format!("http://{service}:{usual}")
        });
        assert_eq!(doors, all.into());
        let site = overlay.of_kind("ConfigMap").find(|object| name(object) == "postern-site").expect("site");
        assert!(site["data"]["POSTERN_MAIL_HOST"].is_string());
    }
}

/// Docker Hub's `postern/...` is not ours, and whoever runs ours hands it the secrets of the house: a name without a registry's host is
/// fetched there when the image is not on this machine. Docker takes the first part for a host when it has a dot or a port, or is
/// `localhost`.
#[test]
fn no_image_of_ours_is_fetched_from_strangers() {
    let has_host = |image: &str| {
        image.split_once('/').is_some_and(|(host, _)| host.contains(['.', ':']) || host == "localhost")
    };
    let mut seen = 0;
    for overlay in Overlay::all() {
        for (of, pod) in overlay.pods() {
            for container in pod.spec.iter().flat_map(|spec| &spec.containers) {
                let image = container.image.as_deref().expect("an image");
                if SERVICES.contains(&of.as_str()) {
                    assert!(has_host(image), "{}: {of}: {image}", overlay.name);
                    seen += 1;
                }
            }
        }
    }
    assert_eq!(seen, 2 * SERVICES.len());
    let compose = crate::compose::compose();
    for service in SERVICES.into_iter().chain(["postern", "certificates"]) {
        let image = compose["services"][service]["image"].as_str().expect("an image");
        let usual = image.replace("${POSTERN_IMAGES:-", "").replacen('}', "", 1);
        assert!(has_host(&usual), "docker-compose.yml: {service}: {usual}");
    }
    for line in runbook().lines().filter(|line| line.contains("docker build ") || line.contains("--image=")) {
        let image = line.split(" -t ").nth(1).or_else(|| line.split("--image=").nth(1)).expect("an image");
        assert!(has_host(image), "k8s/README.md: {line}");
    }
}

/// An image without a tag is `latest` of somebody's registry, fetched anew at each start.
#[test]
fn every_image_has_a_tag() {
    let tagged = |image: &str| {
        image.rsplit('/').next().is_some_and(|last| last.contains(':') && !last.ends_with(":latest"))
    };
    for overlay in Overlay::all() {
        for (of, pod) in overlay.pods() {
            for container in pod.spec.iter().flat_map(|spec| &spec.containers) {
                let image = container.image.as_deref().expect("an image");
                assert!(tagged(image), "{}: {of}: {image}", overlay.name);
                // What nobody else has is built and brought there by the commands of the runbook.
                if SERVICES.contains(&of.as_str()) {
                    let built = image.replace(&format!("postern/{of}:"), "postern/$part:");
                    assert!(
                        runbook().contains(&format!("-t {built} .")),
                        "k8s/README.md does not build {image}"
                    );
                }
            }
        }
    }
    let operator = operator();
    let image = operator["spec"]["containers"][0]["image"].as_str().expect("an image");
    assert!(tagged(image), "{image}");
    // A Secret wants its namespace.
    let page = runbook();
    let (namespace, secret) =
        (page.find("kubectl apply -f k8s/base/namespace.yaml"), page.find("create secret generic"));
    assert!(namespace.is_some_and(|at| secret.is_some_and(|secret| at < secret)));
}

/// Names can be proven by HTTP only where port 80 leads to whoever answers.
#[test]
fn issuers_prove_names_by_dns_where_the_panel_has_port_80() {
    for overlay in Overlay::all() {
        let panel =
            overlay.of_kind("Deployment").find(|object| name(object) == "control-panel").expect("the panel");
        assert!(
            !panel.to_string().contains("POSTERN_ACME_WEBROOT"),
            "then k8s/README.md has to say something else"
        );
    }
    assert!(runbook().contains("(DNS-01). HTTP-01 does not work here"));
}
