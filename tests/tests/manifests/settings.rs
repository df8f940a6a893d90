//! What the services themselves say about their settings: the names in their `--help`.

use std::{collections::BTreeSet, path::Path, process::Command};

/// The services that have an image.
pub(crate) use postern_mesh::house::NAMES as SERVICES;
use postern_tests::process::binary_folder;

/// Settings of standards that the libraries below us read by themselves.
const STANDARD: [&str; 7] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_REGION",
    "AWS_ENDPOINT",
];

pub(crate) fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the project")
}

/// Settings of a service or of `postern`.
pub(crate) fn of(service: &str) -> BTreeSet<String> {
    // Of the operator's command: what every command takes, and what the one takes that looks at an installation, or that gets
    // certificates.
    let (program, words): (String, &[&str]) = match service {
        "postern" => ("postern".to_owned(), &["doctor", "--help"]),
        "certificates" => ("postern".to_owned(), &["certificates", "--help"]),
        service => (format!("postern-{service}"), &["--help"]),
    };
    let path = binary_folder().expect("binaries").join(&program);
    let output =
        Command::new(&path).args(words).env_clear().output().unwrap_or_else(|e| {
            panic!("{}: {e}: run `cargo build --workspace --bins` first", path.display())
        });
    let help = String::from_utf8(output.stdout).expect("UTF-8");
    let names = help.split("[env: ").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))?;
        rest.get(..end).map(str::to_owned)
    });
    let names: BTreeSet<_> = names.collect();
    assert!(!names.is_empty(), "{program} --help names no setting");
    names
}

/// True for a setting that none of our programs reads, but a library in them.
pub(crate) fn is_standard(name: &str) -> bool {
    STANDARD.contains(&name)
}

/// Who calls whom: pairs of caller and callee, by the URLs that the services can be told.
pub(crate) fn arrows() -> BTreeSet<(String, String)> {
    let mut arrows = BTreeSet::new();
    for caller in SERVICES {
        let settings = of(caller);
        for callee in ["account", "auth", "delivery"] {
            if settings.contains(&format!("POSTERN_{}_URL", callee.to_uppercase())) {
                arrows.insert((caller.to_owned(), callee.to_owned()));
            }
        }
    }
    arrows
}

/// Who has a setting.
pub(crate) fn having(setting: &str) -> BTreeSet<String> {
    SERVICES.into_iter().filter(|service| of(service).contains(setting)).map(str::to_owned).collect()
}
