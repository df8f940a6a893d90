//! Versions: does each replica run the same, and is it that of this command.

use super::Findings;

/// How a service tells its version, among its metrics.
const BUILD_INFO: &str = "postern_build_info{";
const UPGRADE: &str = "right while an upgrade runs: old and new work side by side. If none does, one stopped half way: do its last step again (`docker \
                       compose up -d`, `kubectl apply -k`), and read the log of what does not become healthy";
const OTHER_COMMAND: &str =
    "use the command of the house's version: what this one says of schemas and settings is about its own";

/// A replica that answered at its health door.
#[derive(Debug)]
pub(super) struct Replica {
    /// What findings call it.
    pub(super) subject: String,
    /// All of its metrics, in Prometheus text form.
    pub(super) metrics: String,
}

impl Replica {
    /// The name of its service; `None` when it does not tell.
    fn service(&self) -> Option<&str> {
        self.told("service")
    }

    fn version(&self) -> Option<&str> {
        self.told("version")
    }

    fn told(&self, label: &str) -> Option<&str> {
        let labels = self.metrics.lines().find_map(|line| line.strip_prefix(BUILD_INFO))?;
        labels.split(&format!("{label}=\"")).nth(1)?.split('"').next()
    }
}

/// Compares what the replicas run with one another, and with `own`, the version of this command.
pub(super) fn compare(replicas: &[Replica], own: &str, findings: &mut Findings) {
    let Some(first) = replicas.first() else { return };
    let seen = |version: Option<&str>| match version {
        Some(version) => format!("runs {version}"),
        None => "does not tell its version: it is older than those that do".to_owned(),
    };
    let differing: Vec<_> = replicas.iter().filter(|replica| replica.version() != Some(own)).collect();
    if differing.is_empty() {
        let all = replicas.len();
        findings.good("versions", format!("{own}, as this command, at all {all} health doors that answered"));
    } else if replicas.iter().all(|replica| replica.version() == first.version()) {
        let told = format!("each that answered {}, this command is {own}", seen(first.version()));
        findings.care("versions", told, OTHER_COMMAND);
    } else {
        for replica in differing {
            let service = replica.service().map(|service| format!("{service} ")).unwrap_or_default();
            let told = format!("{service}{}, this command is {own}", seen(replica.version()));
            findings.care(replica.subject.as_str(), told, UPGRADE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    fn replica(service: &str, version: &str) -> Replica {
        let metrics = format!(
            "# TYPE postern_build_info gauge\npostern_build_info{{service=\"{service}\",version=\"{version}\"}} 1\n"
        );
        Replica { subject: format!("health at {service}"), metrics }
    }

    fn found(replicas: &[Replica]) -> Findings {
        let mut findings = Findings::default();
        compare(replicas, "2", &mut findings);
        findings
    }

    #[test]
    fn one_version_everywhere_is_good() {
        let findings = found(&[replica("auth", "2"), replica("account", "2")]);
        assert_eq!((findings.0.len(), findings.count(State::Good)), (1, 1), "{findings}");
        assert!(found(&[]).0.is_empty(), "nothing was seen");
    }

    #[test]
    fn each_replica_that_differs_is_named() {
        let silent = Replica { subject: "health at old".to_owned(), metrics: "postern_up 1\n".to_owned() };
        let findings = found(&[replica("auth", "2"), replica("account", "1+a"), silent]);
        assert_eq!((findings.0.len(), findings.count(State::Care)), (2, 2), "{findings}");
        let told = findings.to_string();
        assert!(told.contains("health at account: account runs 1+a, this command is 2"), "{told}");
        assert!(told.contains("health at old: does not tell its version"), "{told}");
    }

    #[test]
    fn a_command_of_another_version_is_told_once() {
        let findings = found(&[replica("auth", "1"), replica("account", "1")]);
        assert_eq!((findings.0.len(), findings.count(State::Care)), (1, 1), "{findings}");
        assert!(findings.to_string().contains("each that answered runs 1, this command is 2"), "{findings}");
    }
}
