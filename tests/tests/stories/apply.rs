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
  senders: named
  allowed_senders: [Rival]
  spam: quarantine
  spam_mailbox: anna@homepage.test
  mailboxes:
  - address: anna@homepage.test
    name: ' Anna '
    quota_bytes: 0
  - address: user@homepage.test
    quota_bytes: 1000000
  forwards:
  - address: info@homepage.test
    targets: [anna@homepage.test, anna@elsewhere.test]
  - address: sales@homepage.test
    targets: [info@homepage.test]
  lists:
  - address: staff@homepage.test
    owner: ''
    subject_prefix: ' [staff] '
    description: ' All of us '
    members: [anna@homepage.test, Friend@elsewhere.test]
  autoresponders:
  - address: anna@homepage.test
    subject: ' Away '
    text: Back on Monday.
    start: 2026-01-02T03:04:05.1234567Z
    interval_seconds: 0
- name: homepage-too.test
  alias_of: Homepage.test
";

async fn house() -> anyhow::Result<Platform> {
    let platform = Blueprint::new().start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.domain("rival", "rival.test").await?;
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
        "+ domain homepage-too.test",
        "~ domain homepage.test: grant_seconds 600, senders named, allowed_senders Rival",
        "~ mailbox user@homepage.test: quota_bytes 1000000",
        "+ list staff@homepage.test",
        "+ list-members staff@homepage.test: 2 addresses",
        "+ autoresponder anna@homepage.test: Away",
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

    // A quota goes back to what the customer's limits say.
    let without = DOCUMENT.replace("quota_bytes: 1000000", "quota_bytes: 0");
    let (code, out, error) = platform.postern(&["apply", "-", "--yes"], &without).await?;
    let reset = "~ mailbox user@homepage.test: quota_bytes as the customer's";
    assert_eq!((code, out.trim()), (0, reset), "{error}");
    assert_eq!(platform.admin()?.get_mailbox("user@homepage.test").await?.quota_bytes, None);
    let (code, _, error) = platform.postern(&["apply", "-", "--yes"], DOCUMENT).await?;
    assert_eq!(code, 0, "{error}");

    // Pruning takes away what the document does not name, and nothing else.
    let (code, out, error) = platform.postern(&["apply", "-", "--yes", "--prune"], DOCUMENT).await?;
    assert_eq!(code, 0, "{error}");
    assert_eq!(out.trim(), "- forward old@homepage.test");
    Ok(())
}

/// What a document would clash with is seen before anything is changed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_already_is_in_the_plan() -> anyhow::Result<()> {
    let platform = house().await?;
    let admin = platform.admin()?;
    admin.forward("ring@homepage.test", &["x@homepage.test"], false).await?;
    let document = |what: &str| format!("customer: homepage\ndomains:\n- name: homepage.test\n{what}");
    let anna = "  mailboxes:\n  - address: anna@homepage.test\n";
    let loops = "  forwards:\n  - address: x@homepage.test\n    targets: [Ring+1@homepage.test]\n";
    let by_default = "  default_address: ring@homepage.test\n";
    let list = "  lists:\n  - address: old@homepage.test\n";
    for (what, words) in [
        (
            loops,
            "with what is there already: a loop: ring@homepage.test -> x@homepage.test -> ring@homepage.test",
        ),
        (by_default, "a loop: *@homepage.test -> ring@homepage.test -> *@homepage.test"),
        (list, "old@homepage.test is a forward and a list"),
    ] {
        let (code, out, error) =
            platform.postern(&["apply", "-", "--yes"], &document(&format!("{anna}{what}"))).await?;
        assert!(code == 1 && error.contains(words), "{words}: {code} {out}{error}");
        assert!(admin.get_mailbox("anna@homepage.test").await.is_err(), "{words}");
    }
    // What goes first is in nobody's way.
    let (code, out, error) = platform.postern(&["apply", "-", "--yes", "--prune"], &document(list)).await?;
    assert_eq!(code, 0, "{out}{error}");
    assert!(
        out.contains("+ list old@homepage.test") && out.contains("- mailbox user@homepage.test"),
        "{out}"
    );

    // A forward that hides the box of its address is shown, and not taken for a mistake.
    admin.mailbox("user@homepage.test").await?;
    let hides = "  forwards:\n  - address: user@homepage.test\n    targets: [me@elsewhere.test]\n";
    let (code, out, error) = platform.postern(&["apply", "-"], &document(hides)).await?;
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("! forward user@homepage.test: mail goes to the forward only"), "{out}");
    let keeps = hides.replace("[me@", "[user@homepage.test, me@");
    let (code, out, error) = platform.postern(&["apply", "-"], &document(&keeps)).await?;
    assert!(code == 0 && !out.contains("! forward"), "{out}{error}");
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
