//! A service that cannot start says why in one line that names the door, file or setting: the last line of its log is what an
//! operator reads first (k8s/README.md, trouble 1).

use std::collections::BTreeMap;

use postern_tests::{
    platform::{Blueprint, Platform, Service, run},
    process::binary_folder,
};

/// Starts a second copy of each service with the environment of the first, changed by `change`; each must end with this exit code
/// and with one line that has all of the words.
async fn fails(
    platform: &mut Platform,
    code: i32,
    change: impl Fn(Service, &mut BTreeMap<String, String>) -> Vec<String>,
) -> anyhow::Result<()> {
    for service in Service::ALL {
        let mut environment = platform.environment().clone();
        let replica = platform.replica(service, 0);
        let doors = replica.doors.iter().map(|(name, address)| ((*name).to_owned(), address.to_string()));
        environment.extend(doors);
        environment.insert("POSTERN_HEALTH_LISTEN".to_owned(), replica.health.to_string());
        // A house that goes well says a lot while it starts.
        environment.insert("POSTERN_LOG".to_owned(), "off".to_owned());
        let words = change(service, &mut environment);
        let (ended, _, said) = run(&binary_folder()?.join(service.binary()), &[], &environment, "").await?;
        assert_eq!(ended, code, "{service:?}: {said}");
        assert!(said.ends_with('\n') && said.lines().count() == 1, "{service:?}: not one line: {said:?}");
        assert!(said.starts_with(&format!("{}: ", service.binary())), "{service:?}: {said}");
        for word in &words {
            assert_eq!(said.matches(word.as_str()).count(), 1, "{service:?}: {word} once in: {said}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_cannot_start_says_why_in_one_line() -> anyhow::Result<()> {
    let mut platform = Blueprint::new().start().await?;
    let missing = platform.folder().join("not-there").display().to_string();
    fails(&mut platform, 1, |service, environment| {
        let door = match service {
            Service::Account => "POSTERN_ACCOUNT_LISTEN",
            Service::Auth => "POSTERN_AUTH_LISTEN",
            Service::Delivery => "POSTERN_DELIVERY_LISTEN",
            Service::Pop3 => "POSTERN_POP3_LISTEN",
            Service::Smtp => "POSTERN_SMTP_LISTEN",
            Service::Panel => "POSTERN_PANEL_LISTEN",
        };
        vec![format!("cannot listen at {}", environment[door]), "in use".to_owned()]
    })
    .await?;
    fails(&mut platform, 1, |_, environment| {
        for name in ["POSTERN_MESH_TLS_CA", "POSTERN_MESH_TLS_CERTIFICATE", "POSTERN_MESH_TLS_KEY"] {
            environment.insert(name.to_owned(), missing.clone());
        }
        vec![missing.clone(), "No such file".to_owned()]
    })
    .await?;
    fails(&mut platform, 2, |_, environment| {
        environment.remove("POSTERN_MESH_KEY");
        environment.insert("POSTERN_MESH_KEY_FILE".to_owned(), missing.clone());
        vec![format!("POSTERN_MESH_KEY_FILE {missing}"), "No such file".to_owned()]
    })
    .await?;
    fails(&mut platform, 2, |_, environment| {
        environment.insert("POSTERN_DRAIN_SECONDS".to_owned(), "soon".to_owned());
        vec!["POSTERN_DRAIN_SECONDS".to_owned(), "'soon'".to_owned()]
    })
    .await
}
