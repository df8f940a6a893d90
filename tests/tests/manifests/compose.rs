//! docker-compose.yml and Dockerfile: settings, secrets, volumes and networks that are named exist, gateways see their
//! clients' own addresses, and the secrets that scripts/make-secrets makes are ones that the services take.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use postern_mesh::{
    client::MeshChannel, identity::MeshKey, mesh_tls::MeshTlsSettings, server, settings::MeshSettings,
    shutdown::Shutdown,
};
use postern_proto::account::v1::{LookupDomainRequest, directory_service_client::DirectoryServiceClient};
use serde::Deserialize as _;
use serde_json::Value;
use tonic::{Code, service::Routes};

use crate::settings::{self, SERVICES, project};

pub(crate) fn compose() -> Value {
    let text = fs::read_to_string(project().join("docker-compose.yml")).expect("docker-compose.yml");
    let mut value =
        serde_yaml_ng::Value::deserialize(serde_yaml_ng::Deserializer::from_str(&text)).expect("YAML");
    value.apply_merge().expect("merge keys");
    serde_json::to_value(value).expect("JSON")
}

pub(crate) fn strings(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|item| item.as_str().expect("a string")).collect()
}

fn keys(object: &Value) -> BTreeSet<&str> {
    object.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

/// Runs scripts/make-secrets for a folder.
fn make_secrets(folder: &Path) {
    let done = Command::new(project().join("scripts/make-secrets"))
        .arg(folder)
        .stdout(Stdio::null())
        .status()
        .expect("scripts/make-secrets");
    assert!(done.success());
}

#[test]
fn every_setting_and_every_url_is_one_of_its_service() {
    let compose = compose();
    let services = compose["services"].as_object().expect("services");
    for service in SERVICES.into_iter().chain(["postern", "certificates"]) {
        let about = &services[service];
        // A command of the operator's program that runs on.
        let image = if service == "certificates" { "postern" } else { service };
        assert_eq!(about["build"]["args"]["SERVICE"], image);
        let known = settings::of(service);
        for (setting, value) in about["environment"].as_object().expect("an environment") {
            assert!(known.contains(setting) || settings::is_standard(setting), "{service}: {setting}");
            let callee = setting.strip_suffix("_URL").filter(|of| *of != "POSTERN_BLOB");
            let (Some(callee), Some(url)) = (callee, value.as_str()) else { continue };
            let callee = callee.trim_start_matches("POSTERN_").to_lowercase();
            let (host, port) = url.strip_prefix("https://").and_then(|u| u.split_once(':')).expect("https");
            let listens =
                &services[&callee]["environment"][format!("POSTERN_{}_LISTEN", callee.to_uppercase())];
            assert_eq!(listens, &format!("0.0.0.0:{port}"), "{service}: {url}");
            // In the host's network only what is published on loopback is there; elsewhere names are those of services.
            if about["network_mode"] == "host" {
                assert_eq!(host, "127.0.0.1", "{service}");
                let published = strings(&services[&callee]["ports"]);
                assert!(published.contains(&format!("127.0.0.1:{port}:{port}").as_str()), "{callee}");
            } else {
                assert_eq!(host, callee, "{service}");
            }
        }
    }
    for (caller, callee) in settings::arrows() {
        let url = format!("POSTERN_{}_URL", callee.to_uppercase());
        assert!(!services[&caller]["environment"][&url].is_null(), "{caller} is not told {url}");
    }
}

/// Settings that are a container's own business: where its doors, secrets, callees and files are, and how long it may take to end.
fn is_of_the_container(setting: &str) -> bool {
    const OWN: [&str; 12] = [
        "POSTERN_DATABASE_URL",
        "POSTERN_REDIS_URL",
        "POSTERN_MESH_KEY",
        "POSTERN_OPERATOR_TOKEN",
        "POSTERN_ACME_EAB_KEY",
        "POSTERN_TLS_SELF_SIGNED",
        "POSTERN_DRAIN_SECONDS",
        "POSTERN_POP3_DRAIN_SECONDS",
        // Whoever changes it makes an open relay of a wrong set-up (decision 50).
        "POSTERN_GRANT_REFUSED_NETWORKS",
        "POSTERN_HOME",
        "POSTERN_HEALTH_DOORS",
        "POSTERN_TLS_DOORS",
    ];
    OWN.contains(&setting) || (setting.ends_with("_LISTEN") || setting.ends_with("_FILE"))
}

#[test]
fn whatever_a_service_can_be_told_is_passed_on() {
    let compose = compose();
    for service in SERVICES.into_iter().chain(["postern", "certificates"]) {
        let passed = &compose["services"][service]["environment"];
        for setting in settings::of(service).iter().filter(|setting| !is_of_the_container(setting)) {
            assert!(
                passed.get(setting).is_some(),
                "{service}: {setting} does not reach the container from .env"
            );
        }
    }
}

/// What people read about they must be able to set.
#[test]
fn settings_of_the_pages_reach_their_services() {
    // What a person's own program reads, or says of Kubernetes only.
    const ELSEWHERE: [&str; 4] =
        ["POSTERN_API_TOKEN", "POSTERN_TOKEN", "POSTERN_OUTBOUND_CA_FILE", "POSTERN_GRANT_REFUSED_NETWORKS"];
    let compose = fs::read_to_string(project().join("docker-compose.yml")).expect("docker-compose.yml");
    let has = |text: &str, name: &str| {
        text.match_indices(name).any(|(at, _)| {
            let after = text[at + name.len()..].chars().next();
            !after.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
        })
    };
    let mut seen = 0;
    for page in ["docs/DEPLOY.md", "k8s/README.md"] {
        let text = fs::read_to_string(project().join(page)).expect(page);
        for (at, _) in text.match_indices("POSTERN_") {
            let rest = &text[at..];
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let name = &rest[..end];
            // `POSTERN_..._PORT`.
            if name.ends_with('_') || ELSEWHERE.contains(&name) {
                continue;
            }
            assert!(has(&compose, name), "{page}: {name} is nowhere in docker-compose.yml");
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn what_is_named_is_there() {
    let compose = compose();
    let folder = tempfile::tempdir().expect("a folder");
    make_secrets(folder.path());
    let made = |path: &str| folder.path().join(path.strip_prefix("./secrets/").expect("a secret")).exists();
    for (called, secret) in compose["secrets"].as_object().expect("secrets") {
        let file = secret["file"].as_str().expect("a file");
        assert!(made(file), "scripts/make-secrets does not make {file} ({called})");
    }
    let (secrets, volumes, networks) =
        (keys(&compose["secrets"]), keys(&compose["volumes"]), keys(&compose["networks"]));
    for (service, about) in compose["services"].as_object().expect("services") {
        for secret in strings(&about["secrets"]) {
            assert!(secrets.contains(secret), "{service}: no secret {secret}");
        }
        for network in strings(&about["networks"]) {
            assert!(networks.contains(network), "{service}: no network {network}");
        }
        for volume in strings(&about["volumes"]) {
            let source = volume.split(':').next().unwrap_or_default();
            let there = match source.strip_prefix("./") {
                None => volumes.contains(source),
                Some(path) if path.starts_with("secrets/") => made(source),
                Some(path) => project().join(path).exists(),
            };
            assert!(there, "{service}: no volume {source}");
        }
        for (setting, value) in about["environment"].as_object().into_iter().flatten() {
            // A token is made by a running house; whether the page says how is asked below.
            let is_here = |value: &&str| value.starts_with("/run/") && setting != "POSTERN_API_TOKEN_FILE";
            let Some(path) = value.as_str().filter(is_here) else { continue };
            let secret =
                path.strip_prefix("/run/secrets/").map(|secret| strings(&about["secrets"]).contains(&secret));
            let mounted = || {
                strings(&about["volumes"]).iter().any(|volume| {
                    let mut parts = volume.split(':');
                    let (from, to) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
                    path.strip_prefix(to).is_some_and(|file| made(&format!("{from}{file}")))
                })
            };
            assert!(secret.unwrap_or_else(mounted), "{service}: {setting} = {path} is not there");
        }
        let depends = &about["depends_on"];
        for (other, how) in depends.as_object().into_iter().flatten() {
            assert_eq!(how["condition"], "service_healthy", "{service} waits for {other}");
            let other_about = &compose["services"][other];
            // Images of ours bring their check along.
            assert!(SERVICES.contains(&other.as_str()) || other_about["healthcheck"].is_object(), "{other}");
        }
    }
}

#[test]
fn containers_are_shut_in_and_gateways_see_their_clients() {
    let compose = compose();
    for service in SERVICES {
        let about = &compose["services"][service];
        assert_eq!(about["read_only"], true, "{service}");
        assert_eq!(strings(&about["cap_drop"]), ["ALL"], "{service}");
        assert_eq!(strings(&about["security_opt"]), ["no-new-privileges:true"], "{service}");
        assert_eq!(about["restart"], "unless-stopped", "{service}");
        let is_door = ["pop3-gateway", "smtp-gateway", "control-panel"].contains(&service);
        assert_eq!(about["network_mode"] == "host", is_door, "{service}");
        // What is published is for this host only.
        assert!(strings(&about["ports"]).iter().all(|port| port.starts_with("127.0.0.1:")), "{service}");
        // Auth refuses grants to private addresses unless it is told otherwise: here it never is.
        assert!(about["environment"].get("POSTERN_GRANT_REFUSED_NETWORKS").is_none(), "{service}");
    }
    // Whoever speaks with an authority on the internet is shut in as well, and writes what the doors read.
    let certificates = &compose["services"]["certificates"];
    assert_eq!(certificates["read_only"], true);
    assert_eq!(strings(&certificates["cap_drop"]), ["ALL"]);
    assert_eq!(
        strings(&certificates["volumes"]),
        ["./secrets/doors:/run/doors", "./secrets/acme:/run/acme:ro"]
    );
    // It is given nothing that opens more than domains: a token of its own, of the scope that the page says.
    assert_eq!(strings(&certificates["secrets"]), ["mesh-ca"]);
    assert_eq!(certificates["environment"]["POSTERN_API_TOKEN_FILE"], "/run/acme/api-token");
    let page = fs::read_to_string(project().join("docs/DEPLOY.md")).expect("docs/DEPLOY.md");
    assert!(page.contains("token add --role support --name certificates --scope domains:write"));
    assert!(page.contains("mv -f api-token.new secrets/acme/api-token"));
    let (theirs, panel) =
        (&certificates["environment"], &compose["services"]["control-panel"]["environment"]);
    for shared in ["POSTERN_TLS_CERTIFICATES", "POSTERN_ACME_WEBROOT"] {
        assert_eq!(theirs[shared], panel[shared], "{shared}");
    }
    for store in ["postgres", "redis"] {
        let about = &compose["services"][store];
        assert!(about.get("ports").is_none() && strings(&about["networks"]) == ["stores"], "{store}");
    }
    assert_eq!(compose["networks"]["stores"]["internal"], true);
    // The scanner reads everybody's mail and talks to the world: it sees delivery alone.
    assert_eq!(strings(&compose["services"]["rspamd"]["networks"]), ["scanner"]);
    let services = compose["services"].as_object().expect("services");
    for (service, about) in services.iter().filter(|(name, _)| *name != "rspamd") {
        assert_eq!(strings(&about["networks"]).contains(&"scanner"), service == "delivery", "{service}");
    }
}

#[test]
fn the_dockerfile_builds_each_service() {
    let dockerfile = fs::read_to_string(project().join("Dockerfile")).expect("Dockerfile");
    for service in SERVICES {
        assert!(dockerfile.contains(&format!(" {service} ")), "no image of {service}");
    }
    let last = dockerfile.rsplit("\nFROM ").next().expect("a last stage");
    for wanted in [
        "USER 10001:10001",
        "ENTRYPOINT [\"/usr/local/bin/service\"]",
        "\"/usr/local/bin/service\", \"health\"",
    ] {
        assert!(last.contains(wanted), "the image has no {wanted}");
    }
    // Nothing runs in the last stage, so its base needs no shell.
    assert!(!last.contains("\nRUN "));
}

/// Where each of these stands in the page, which must have all of them in this order.
fn assert_order(page: &str, steps: &[&str]) {
    let text = fs::read_to_string(project().join(page)).expect(page);
    let mut after = 0;
    for step in steps {
        let at = text[after..].find(step).unwrap_or_else(|| panic!("{page}: `{step}` is not in its place"));
        after += at + step.len();
    }
}

/// A newcomer types the lines as they stand: settings before the certificates that are made of them, ports before what opens them, and
/// all images, that of the operator's command too, before the first is started.
#[test]
fn the_first_steps_are_in_order() {
    let steps = [
        "echo POSTERN_MAIL_HOST=",
        "ip_unprivileged_port_start=25",
        "scripts/make-secrets",
        "docker compose --profile tools build",
        "docker compose up -d",
        "docker compose run --rm postern customer add",
    ];
    for page in ["README.md", "docs/DEPLOY.md"] {
        assert_order(page, &steps);
    }
    let upgrade =
        ["**Upgrade.**", "git pull", "POSTERN_VERSION=", "--profile tools build", "docker compose up -d"];
    assert_order("docs/DEPLOY.md", &upgrade);
    let text = fs::read_to_string(project().join("docker-compose.yml")).expect("docker-compose.yml");
    for page in ["README.md", "docs/DEPLOY.md"] {
        let told = fs::read_to_string(project().join(page)).expect(page);
        assert!(!told.contains("up -d --build"), "{page}: this leaves the operator's command as it was");
    }
    assert!(!text.contains("up -d --build"));
    let services = compose();
    for service in SERVICES.into_iter().chain(["postern", "certificates"]) {
        let version = &services["services"][service]["build"]["args"]["VERSION"];
        assert_eq!(version, "${POSTERN_VERSION:-latest}", "{service}");
    }
    let trying = [
        "kubectl apply -k k8s/overlays/dev",
        "kubectl -n postern wait",
        "customer add",
        "port-forward",
        "## Production",
        "apply -k",
    ];
    assert_order("k8s/README.md", &trying);
}

/// The pair of the doors is for the mail host of `.env`, and is made anew before it ends; one that somebody else put there is left alone.
#[test]
fn the_pair_of_the_doors_is_of_the_mail_host() {
    let house = tempfile::tempdir().expect("a folder");
    fs::create_dir(house.path().join("scripts")).expect("a folder");
    let script = house.path().join("scripts/make-secrets");
    fs::copy(project().join("scripts/make-secrets"), &script).expect("a copy");
    fs::write(house.path().join(".env"), "POSTERN_MAIL_HOST=mail.example.net # ours\n").expect(".env");
    let folder = house.path().join("secrets");
    let run = || {
        let mut command = Command::new(&script);
        command.arg(&folder).env_remove("POSTERN_MAIL_HOST").stdout(Stdio::null());
        assert!(command.status().expect("make-secrets").success());
    };
    let file = folder.join("doors/certificate.pem");
    let subject = || {
        let output = Command::new("openssl").args(["x509", "-noout", "-subject", "-in"]).arg(&file).output();
        String::from_utf8(output.expect("openssl").stdout).expect("UTF-8")
    };
    // Ends in ten days; by the key that is there.
    let replace = |name: &str| {
        fs::remove_file(&file).expect("a certificate");
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-new", "-days", "10", "-subj", &format!("/CN={name}"), "-key"]);
        command.arg(folder.join("doors/key.pem")).arg("-out").arg(&file);
        assert!(command.status().expect("openssl").success());
        fs::read(&file).expect("a certificate")
    };
    run();
    assert!(subject().contains("mail.example.net"), "{}", subject());
    let short = replace("mail.example.net");
    run();
    assert_ne!(fs::read(&file).expect("a certificate"), short, "what we made is renewed");
    let strange = replace("somebody.else.example");
    run();
    assert_eq!(fs::read(&file).expect("a certificate"), strange, "what others put there stays");
}

/// The certificates that the script makes are what a service takes, and a second run leaves them as they are.
#[tokio::test]
async fn services_take_the_secrets_that_are_made() {
    let folder = tempfile::tempdir().expect("a folder");
    make_secrets(folder.path());
    let key = fs::read_to_string(folder.path().join("mesh-key")).expect("a key");
    let certificate = folder.path().join("mesh/account/certificate.pem");
    let before = fs::read(&certificate).expect("a certificate");
    make_secrets(folder.path());
    assert_eq!(fs::read(&certificate).expect("a certificate"), before);
    let settings = |service: &str| {
        let file = |name: &str| Some(folder.path().join("mesh").join(service).join(name));
        let tls = MeshTlsSettings {
            mesh_tls_ca: file("ca.pem"),
            mesh_tls_certificate: file("certificate.pem"),
            mesh_tls_key: file("key.pem"),
        };
        MeshSettings { tls, ..MeshSettings::with_key(MeshKey::from_hex(&key).expect("64 digits")) }
    };
    let shutdown = Shutdown::new();
    let any = "127.0.0.1:0".parse().expect("an address");
    // Nothing behind the guard: who passes it hears that there is no such call.
    let address = server::serve(any, Routes::default(), "account", &settings("account"), &shutdown)
        .await
        .expect("a server");
    let ask = async |service: &'static str| {
        let channel = MeshChannel::connect(&format!("https://{address}"), service, &settings(service));
        let mut client = DirectoryServiceClient::new(channel.expect("a channel"));
        let request = LookupDomainRequest { name: "homepage.test".to_owned() };
        client.lookup_domain(request).await.expect_err("nothing is there").code()
    };
    for service in ["auth", "delivery", "smtp-gateway"] {
        assert_eq!(ask(service).await, Code::Unimplemented, "{service} passes");
    }
    for service in ["pop3-gateway", "control-panel"] {
        assert_eq!(ask(service).await, Code::PermissionDenied, "{service} has no business there");
    }
}
