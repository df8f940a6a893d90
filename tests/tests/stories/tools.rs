//! The face for tools: the two programs of `examples/`, as they are printed, against a real house.

use std::{collections::BTreeMap, path::Path};

use postern_tests::{
    platform::{Blueprint, Platform, run},
    process::binary_folder,
    python,
};

/// What the Python program imports, by the names of the packages.
const PACKAGES: [&str; 3] = ["grpcio", "grpcio-tools", "grpcio-status"];

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the project")
}

async fn house() -> anyhow::Result<Platform> {
    let platform = Blueprint::new().start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    for number in 0..3 {
        admin.mailbox(&format!("user{number}@homepage.test")).await?;
    }
    Ok(platform)
}

/// Everything that a tool is told to do in docs/TOOLS.md was done.
fn check(address: &str, (code, out, error): (i32, String, String)) {
    assert_eq!(code, 0, "{out}\n{error}");
    let lines: Vec<&str> = out.lines().collect();
    let begins = |words: &str| lines.iter().any(|line| line.starts_with(words));
    assert!(begins(&format!("created {address}")), "{out}");
    assert!(begins("change homepage.test version "), "{out}");
    assert!(begins("refused ALREADY_EXISTS: "), "{out}");
    // The default box, three others, and this one: three pages of two.
    assert!(begins("listed 5 mailboxes"), "{out}");
    assert!(begins(&format!("audit create mailbox {address} by operator ")), "{out}\n{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_program_does_its_work() -> anyhow::Result<()> {
    let (platform, python) = (house().await?, python::with_packages("tools", &PACKAGES).await?);
    let address = "python@homepage.test";
    let program = project().join("examples/python/tool.py").display().to_string();
    let proto = project().join("proto").display().to_string();
    let environment = BTreeMap::from([("POSTERN_TOKEN".to_owned(), platform.operator_token().to_owned())]);
    let (auth, account) = (platform.auth_door().to_string(), platform.account_door().to_string());
    let arguments: [&str; 8] = [&program, "--proto", &proto, "--auth", &auth, "--account", &account, address];
    check(address, run(&python, &arguments, &environment, "").await?);

    // Without a good token it is told so, by reason.
    let wrong = BTreeMap::from([("POSTERN_TOKEN".to_owned(), "not a token of this house".to_owned())]);
    let (code, _, error) = run(&python, &arguments, &wrong, "").await?;
    assert!(code != 0 && error.contains("CALLER_UNKNOWN"), "{code} {error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_program_does_its_work() -> anyhow::Result<()> {
    let platform = house().await?;
    let address = "rust@homepage.test";
    let program = binary_folder()?.join("postern-example-tool");
    let environment = BTreeMap::from([("POSTERN_TOKEN".to_owned(), platform.operator_token().to_owned())]);
    let (auth, account) =
        (format!("http://{}", platform.auth_door()), format!("http://{}", platform.account_door()));
    check(address, run(&program, &[&auth, &account, address], &environment, "").await?);

    let wrong = BTreeMap::from([("POSTERN_TOKEN".to_owned(), "not a token of this house".to_owned())]);
    let (code, _, error) = run(&program, &[&auth, &account, address], &wrong, "").await?;
    assert!(code != 0 && error.contains("CALLER_UNKNOWN"), "{code} {error}");
    Ok(())
}
