//! What the manifests ask for fits: passwords into memory, replicas into the edge, connections into Postgres.

use postern_mesh::room;
use serde_json::Value;

use crate::kubernetes::Overlay;

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
