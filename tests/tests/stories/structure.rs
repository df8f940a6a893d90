//! The house keeps its order: crates depend downwards only, and gateways are built alike (DECISIONS.md).

use std::{collections::BTreeSet, fs, path::Path};

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the project")
}

/// Names of our own crates that a manifest depends on, development included.
fn own_dependencies(manifest: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(manifest).expect("a manifest");
    let lines = text.lines().filter(|l| l.starts_with("postern") && l.contains("workspace"));
    lines.filter_map(|l| l.split(['.', ' ', '=']).next()).map(str::to_owned).collect()
}

#[test]
fn crates_depend_downwards_only() {
    let libraries: BTreeSet<String> = [
        "postern-proto",
        "postern-mail",
        "postern-smtp",
        "postern-mesh",
        "postern-postgres",
        "postern-redis",
    ]
    .map(str::to_owned)
    .into();
    for service in postern_mesh::house::NAMES {
        let manifest = project().join("services").join(service).join("Cargo.toml");
        let dependencies = own_dependencies(&manifest);
        assert!(!dependencies.is_empty(), "{service}: read the manifest wrongly");
        let wrong: Vec<_> = dependencies.difference(&libraries).collect();
        assert!(wrong.is_empty(), "{service} must not depend on {wrong:?}");
    }
    for (library, may) in [
        ("services/lib/mail", vec![]),
        ("services/lib/smtp", vec!["postern-mail"]),
        ("services/lib/mesh", vec!["postern-proto", "postern-mail"]),
        ("services/lib/postgres", vec!["postern-mesh"]),
        ("services/lib/redis", vec!["postern-mesh"]),
        ("proto", vec![]),
    ] {
        let dependencies = own_dependencies(&project().join(library).join("Cargo.toml"));
        let wrong: Vec<_> = dependencies.iter().filter(|d| !may.contains(&d.as_str())).collect();
        assert!(wrong.is_empty(), "{library} must not depend on {wrong:?}");
    }
}

#[test]
fn pure_crates_do_no_io() {
    for library in ["services/lib/mail", "services/lib/smtp"] {
        let text = fs::read_to_string(project().join(library).join("Cargo.toml")).expect("a manifest");
        for runtime in ["tokio", "tonic", "sqlx", "redis"] {
            let used = text
                .lines()
                .any(|l| l.starts_with(&format!("{runtime}.")) || l.starts_with(&format!("{runtime} ")));
            assert!(!used, "{library} must stay free of {runtime}");
        }
    }
}

#[test]
fn who_knows_one_gateway_knows_the_other() {
    for gateway in ["pop3-gateway", "smtp-gateway"] {
        for file in ["listener.rs", "connection.rs", "command.rs", "session.rs", "upstream.rs"] {
            let path = project().join("services").join(gateway).join("src").join(file);
            assert!(path.exists(), "{gateway} has no {file}");
        }
        let session = project().join("services").join(gateway).join("src/session.rs");
        let text = fs::read_to_string(session).expect("session.rs");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for word in ["async ", ".await", "tokio::", "Instant::now", "SystemTime::now"] {
            assert!(!code.contains(word), "{gateway}: the session is a plain function, found {word:?}");
        }
    }
}

#[test]
fn nothing_of_the_project_names_a_machine() {
    let listed = std::process::Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(project())
        .output()
        .expect("git ls-files");
    let names = String::from_utf8_lossy(&listed.stdout).into_owned();
    let private = [concat!("/wo", "rk/"), concat!("/ro", "ot/."), concat!("../sha", "red")];
    for name in names.split('\0').filter(|n| !n.is_empty()) {
        let Ok(text) = fs::read_to_string(project().join(name)) else { continue };
        for word in private {
            assert!(!text.contains(word), "{name} names {word}");
        }
    }
}
