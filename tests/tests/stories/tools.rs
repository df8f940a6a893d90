//! The face for tools: the two programs of `examples/`, as they are printed, against a real house.

use std::{collections::BTreeMap, path::Path};

use postern_tests::{
    platform::{Blueprint, Platform, run},
    process::binary_folder,
    python,
};
use tonic::{Code, transport::Channel};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};

/// What the Python program imports, by the names of the packages.
const PACKAGES: [&str; 3] = ["grpcio", "grpcio-tools", "grpcio-status"];

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the project")
}

async fn house(blueprint: Blueprint) -> anyhow::Result<Platform> {
    let platform = blueprint.start().await?;
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
    let platform = house(Blueprint::new()).await?;
    let python = python::with_packages("tools", &PACKAGES).await?;
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
    let platform = house(Blueprint::new()).await?;
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

/// As in docker-compose: each service has a certificate, and a tool has none.
#[tokio::test(flavor = "multi_thread")]
async fn both_programs_speak_tls_where_the_doors_do() -> anyhow::Result<()> {
    let platform = house(Blueprint::new().secrets_in_files()).await?;
    let authority = platform.folder().join("secrets/authority/ca.pem").display().to_string();
    let environment = BTreeMap::from([("POSTERN_TOKEN".to_owned(), platform.operator_token().to_owned())]);
    let (auth, account) =
        (format!("https://{}", platform.auth_door()), format!("https://{}", platform.account_door()));
    let program = binary_folder()?.join("postern-example-tool");
    let address = "rust@homepage.test";
    let arguments = ["--ca", &authority, &auth, &account, address];
    check(address, run(&program, &arguments, &environment, "").await?);
    // Without the authority nothing is said to the door.
    let (code, _, error) = run(&program, &arguments[2..], &environment, "").await?;
    assert!(code != 0 && error.contains("does not answer"), "{code} {error}");

    let python = python::with_packages("tools", &PACKAGES).await?;
    let program = project().join("examples/python/tool.py").display().to_string();
    let proto = project().join("proto").display().to_string();
    let (auth, account) = (platform.auth_door().to_string(), platform.account_door().to_string());
    // The default box, three others and that of the other program are there: this one makes six.
    let address = "python@homepage.test";
    let arguments: [&str; 10] =
        [&program, "--proto", &proto, "--ca", &authority, "--auth", &auth, "--account", &account, address];
    let (code, out, error) = run(&python, &arguments, &environment, "").await?;
    assert_eq!(code, 0, "{out}\n{error}");
    assert!(out.contains("created python@homepage.test") && out.contains("listed 6 mailboxes"), "{out}");
    Ok(())
}

/// The doors describe themselves where that is switched on, and only there.
#[tokio::test(flavor = "multi_thread")]
async fn reflection_lists_the_services_where_it_is_switched_on() -> anyhow::Result<()> {
    for is_on in [true, false] {
        let platform = Blueprint::new().set("POSTERN_REFLECTION", &is_on.to_string()).start().await?;
        for (door, service) in [
            (platform.account_door(), "postern.account.v1.MailboxService"),
            (platform.auth_door(), "postern.auth.v1.ExplainService"),
            (platform.delivery_door(), "postern.delivery.v1.BoxService"),
        ] {
            let channel = Channel::from_shared(format!("http://{door}"))?.connect().await?;
            let question = ServerReflectionRequest {
                message_request: Some(MessageRequest::ListServices(String::new())),
                ..ServerReflectionRequest::default()
            };
            let asked = ServerReflectionClient::new(channel)
                .server_reflection_info(tokio_stream::once(question))
                .await;
            let answer = match asked {
                Ok(stream) => stream.into_inner().message().await,
                Err(status) => Err(status),
            };
            match answer {
                Ok(Some(answer)) if is_on => {
                    assert!(format!("{answer:?}").contains(service), "{service}: {answer:?}");
                }
                Err(status) if !is_on => {
                    assert_eq!(status.code(), Code::Unimplemented, "{service}: {status}")
                }
                other => anyhow::bail!("{service}, reflection {is_on}: {other:?}"),
            }
        }
    }
    Ok(())
}
