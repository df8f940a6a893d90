//! Settings as one document: what `postern export` prints, `postern apply` takes; the second time it has nothing to do.

use postern_tests::{
    admin::PASSWORD,
    platform::{Blueprint, Platform},
    pop3::Pop3,
};

const DOCUMENT: &str = "customer: homepage
domains:
- name: homepage.test
  auth_only: false
  grant_seconds: 600
  default_address: reject
  spam: quarantine
  spam_mailbox: anna@homepage.test
  mailboxes:
  - address: anna@homepage.test
    name: Anna
  - address: user@homepage.test
  forwards:
  - address: info@homepage.test
    targets: [anna@homepage.test, anna@elsewhere.test]
  - address: sales@homepage.test
    targets: [info@homepage.test]
";

async fn house() -> anyhow::Result<Platform> {
    let platform = Blueprint::new().start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox("user@homepage.test").await?;
    admin.forward("old@homepage.test", &["user@homepage.test"], false).await?;
    Ok(platform)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_applied_once_and_comes_back() -> anyhow::Result<()> {
    let platform = house().await?;
    // Without --yes it is a plan only.
    let (code, out, error) = platform.postern(&["apply", "-"], DOCUMENT).await?;
    assert_eq!(code, 0, "{error}");
    for line in [
        "~ domain homepage.test: grant_seconds 600",
        "+ mailbox anna@homepage.test: with a random password",
        "+ forward info@homepage.test: anna@homepage.test, anna@elsewhere.test",
        "~ default-address homepage.test: box -> reject",
        "~ domain homepage.test: spam quarantine, spam_mailbox anna@homepage.test",
        "nothing was changed: add --yes to do it",
    ] {
        assert!(out.lines().any(|have| have == line), "{line} in\n{out}");
    }
    assert!(platform.admin()?.get_mailbox("anna@homepage.test").await.is_err());

    let (code, out, error) = platform.postern(&["apply", "-", "--yes"], DOCUMENT).await?;
    assert_eq!(code, 0, "{out}{error}");
    let password = out.lines().find_map(|line| line.trim().strip_prefix("anna@homepage.test  "));
    let password = password.expect("the new password is shown").to_owned();
    Pop3::login(platform.pop3(0), "anna@homepage.test", &password).await?.quit().await?;
    // A box that was there keeps its password.
    Pop3::login(platform.pop3(0), "user@homepage.test", PASSWORD).await?.quit().await?;

    let (code, out, _) = platform.postern(&["apply", "-", "--yes"], DOCUMENT).await?;
    assert_eq!((code, out.trim()), (0, "nothing to do"));

    // What comes out goes in again and changes nothing, with --prune as well; nothing secret is in it.
    let (code, exported, error) = platform.postern(&["export", "--customer", "homepage"], "").await?;
    assert_eq!(code, 0, "{error}");
    assert!(exported.contains("old@homepage.test") && !exported.contains("argon2"), "{exported}");
    let (code, out, error) = platform.postern(&["apply", "-", "--yes", "--prune"], &exported).await?;
    assert_eq!((code, out.trim()), (0, "nothing to do"), "{error}\n{exported}");

    // Pruning takes away what the document does not name, and nothing else.
    let (code, out, error) = platform.postern(&["apply", "-", "--yes", "--prune"], DOCUMENT).await?;
    assert_eq!(code, 0, "{error}");
    assert_eq!(out.trim(), "- forward old@homepage.test");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_before_or_at_its_step() -> anyhow::Result<()> {
    let platform = house().await?;
    // Before anything is asked: line and name, doubles, shadows, loops.
    for (from, to, words) in [
        ("grant_seconds", "grant_second", "grant_second"),
        ("user@homepage.test\n", "ANNA@homepage.test\n", "anna@homepage.test stands there twice"),
        ("user@homepage.test\n", "user@elsewhere.test\n", "another domain"),
        (
            "anna@elsewhere.test]",
            "sales@homepage.test]",
            "a loop: info@homepage.test -> sales@homepage.test -> info@homepage.test",
        ),
    ] {
        let (code, _, error) =
            platform.postern(&["apply", "-", "--yes"], &DOCUMENT.replace(from, to)).await?;
        assert!(code == 2 && error.contains(words), "{words}: {code} {error}");
    }
    // Refused by the platform: that step is told, the others are done.
    let wrong = DOCUMENT.replace("grant_seconds: 600", "grant_seconds: 1");
    let (code, out, error) = platform.postern(&["apply", "-", "--yes"], &wrong).await?;
    assert_eq!(code, 1, "{out}{error}");
    assert!(out.contains("NOT DONE: invalid argument: domain.grant_ttl_seconds"), "{out}");
    assert!(platform.admin()?.get_mailbox("anna@homepage.test").await.is_ok());

    // Two forwards that change places: each is a loop until the other has changed, so the refused one is tried again.
    let swapped = "customer: homepage\ndomains:\n- name: homepage.test\n  forwards:\n  - address: info@homepage.test\n    \
                   targets: [sales@homepage.test]\n  - address: sales@homepage.test\n    targets: [anna@homepage.test]\n";
    let (code, out, error) = platform.postern(&["apply", "-", "--yes"], swapped).await?;
    assert_eq!(code, 0, "{out}{error}");
    let (_, out, _) = platform.postern(&["apply", "-", "--yes"], swapped).await?;
    assert_eq!(out.trim(), "nothing to do");

    let (code, out, _) = platform.postern(&["apply", "-", "--json"], DOCUMENT).await?;
    let report: serde_json::Value = serde_json::from_str(&out)?;
    assert!(code == 0 && report["applied"] == false && report["steps"].is_array(), "{out}");
    let (code, _, error) = platform.postern(&["export", "nowhere.test"], "").await?;
    assert!(code == 1 && error.contains("not found"), "{code} {error}");
    Ok(())
}
