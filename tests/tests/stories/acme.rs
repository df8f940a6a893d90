//! The platform gets its own certificates: `postern certificates` against a real ACME authority (Debian's pebble), which looks for each
//! host in DNS and for its proof at the panel, and doors that show what was issued to clients that trust that authority alone.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use postern_tests::{
    acme::{Authority, Policy, Refusal},
    dns::{World, address, mx},
    eventually,
    platform::{Blueprint, Platform},
    process::Process,
};
use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;

use crate::certificates::{Way, open_as, say, ways};

/// An order takes some seconds, and the doors look once a second.
const SEEN_LIMIT: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const HOST: &str = "mail.homepage.test";
const RIVAL: &str = "mail.rival.test";
/// The platform's own.
const OWN_HOST: &str = "mail.postern.test";

/// A house with two domains whose mail hosts lead to it, and the folders that it shares with whoever gets certificates.
struct Scene {
    platform: Platform,
    world: World,
    folder: TempDir,
}

impl Scene {
    async fn new() -> anyhow::Result<Self> {
        let world = World::start().await;
        world.add(OWN_HOST, address("127.0.0.1"));
        let folder = tempfile::tempdir()?;
        for part in ["names", "acme"] {
            fs::create_dir(folder.path().join(part))?;
        }
        let place = |part: &str| folder.path().join(part).display().to_string();
        let platform = Blueprint::new()
            .set("POSTERN_TLS_CERTIFICATES", &place("names"))
            .set("POSTERN_ACME_WEBROOT", &place("acme"))
            .set("POSTERN_RESOLVER", &world.address.to_string())
            .set("POSTERN_MAIL_HOST_ADDRESSES", "127.0.0.1")
            .start()
            .await?;
        let scene = Self { platform, world, folder };
        scene.host("homepage", "127.0.0.1").await?;
        scene.host("rival", "127.0.0.1").await?;
        Ok(scene)
    }

    /// A domain of a customer of its own.
    async fn host(&self, customer: &str, ip: &str) -> anyhow::Result<()> {
        let domain = format!("{customer}.test");
        self.world.add(&domain, mx(OWN_HOST));
        self.world.add(&format!("mail.{domain}"), address(ip));
        self.platform.admin()?.domain(customer, &domain).await
    }

    fn names(&self) -> PathBuf {
        self.folder.path().join("names")
    }

    /// Proofs that are shown at the moment.
    fn proofs(&self) -> anyhow::Result<usize> {
        let shown = self.folder.path().join("acme/.well-known/acme-challenge");
        Ok(fs::read_dir(shown)?.count())
    }

    /// What `postern certificates` is told of this authority.
    fn settings<'a>(&self, authority: &Authority, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, String)> {
        let mut settings = vec![
            ("POSTERN_ACME_DIRECTORY", authority.directory()),
            ("POSTERN_ACME_CA", authority.ca().display().to_string()),
            ("POSTERN_ACME_TERMS_ACCEPTED", "true".to_owned()),
            ("POSTERN_ACME_CONTACT", "postmaster@postern.test".to_owned()),
            ("POSTERN_ACME_RETRY_SECONDS", "1".to_owned()),
            ("POSTERN_ACME_LOOK_SECONDS", "1".to_owned()),
            ("POSTERN_LOG_FORMAT", "text".to_owned()),
        ];
        settings.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        settings
    }

    fn process(&self, authority: &Authority, more: &[(&str, &str)]) -> anyhow::Result<Process> {
        let mut environment = self.platform.environment().clone();
        environment.extend(self.settings(authority, more).into_iter().map(|(n, v)| (n.to_owned(), v)));
        let log = self.folder.path().join("certificates.log");
        let mut process = Process::new("postern", &["certificates"], environment, &log, None)?;
        process.spawn()?;
        Ok(process)
    }

    async fn once(&self, authority: &Authority, more: &[(&str, &str)]) -> anyhow::Result<(i32, String)> {
        let settings = self.settings(authority, more);
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (code, out, error) =
            self.platform.postern_with(&settings, &["certificates", "--once"], "").await?;
        Ok((code, format!("{out}{error}")))
    }

    async fn doctor(&self) -> anyhow::Result<String> {
        let door = self.platform.pop3s(0).to_string();
        Ok(self.platform.postern(&["doctor", "--tls-doors", &door], "").await?.1)
    }

    /// What every door shows to a client that trusts this authority only; an error where one shows nothing that it may trust.
    async fn shown(&self, authority: &Authority, host: &str) -> anyhow::Result<Vec<u8>> {
        let mut all = Vec::new();
        for way in ways(&self.platform) {
            all.push(open_as(&trusting(authority).await?, way, host).await?.1);
        }
        let first = all.first().cloned().unwrap_or_default();
        anyhow::ensure!(
            !first.is_empty() && all.iter().all(|one| *one == first),
            "not the same at each door"
        );
        Ok(first)
    }

    /// Waits until every door shows a certificate of this authority for the host, another one than `before`.
    async fn until_shown(&self, authority: &Authority, host: &str, before: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut shown = Vec::new();
        let there = eventually(SEEN_LIMIT, async || {
            shown = self.shown(authority, host).await.unwrap_or_default();
            !shown.is_empty() && shown != before
        });
        let there = there.await;
        let log = fs::read_to_string(self.folder.path().join("certificates.log")).unwrap_or_default();
        anyhow::ensure!(there, "no certificate for {host}: {log}\n{}", authority.log());
        Ok(shown)
    }

    /// A pair as an earlier run left it; answers the certificate as clients see it.
    fn put_own(&self, host: &str, begun_days: u32, left_days: i64) -> anyhow::Result<Vec<u8>> {
        let pair = format!(".acme/{host}-before");
        fs::create_dir_all(self.names().join(&pair))?;
        let shown = write_pair(&self.names().join(&pair), host, begun_days, left_days)?;
        symlink(pair, self.names().join(format!("{host}.acme")))?;
        Ok(shown)
    }
}

fn write_pair(folder: &Path, host: &str, begun_days: u32, left_days: i64) -> anyhow::Result<Vec<u8>> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![host.to_owned()])?;
    let now = SystemTime::now();
    params.not_before = (now - begun_days * DAY).into();
    let left = DAY * u32::try_from(left_days.unsigned_abs())?;
    params.not_after = if left_days < 0 { now - left } else { now + left }.into();
    let made = params.self_signed(&key)?;
    fs::write(folder.join("privkey.pem"), key.serialize_pem())?;
    fs::write(folder.join("fullchain.pem"), made.pem())?;
    Ok(made.der().to_vec())
}

async fn trusting(authority: &Authority) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.root().await?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn mode(file: &Path) -> anyhow::Result<u32> {
    Ok(fs::metadata(file)?.permissions().mode() & 0o777)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_host_gets_its_certificate_and_one_that_cannot_be_proven_stops_nobody() -> anyhow::Result<()> {
    let scene = Scene::new().await?;
    // One whose name leads elsewhere, and one that only the authority does not find: its resolver says something else.
    scene.host("absent", "192.0.2.7").await?;
    scene.host("blocked", "127.0.0.1").await?;
    let outside = World::start().await;
    for host in [OWN_HOST, HOST, RIVAL, "mail.absent.test"] {
        outside.add(host, address("127.0.0.1"));
    }
    outside.add("mail.blocked.test", address("127.0.0.99"));
    let authority = Authority::start(&outside, scene.platform.panel(), &Policy::default()).await?;
    let mut process = scene.process(&authority, &[])?;

    let mut shown = BTreeMap::new();
    for host in [HOST, RIVAL, OWN_HOST] {
        shown.insert(scene.until_shown(&authority, host, &[]).await?, host);
    }
    assert_eq!(shown.len(), 3, "each has one of its own");
    let told = eventually(SEEN_LIMIT, async || {
        scene.doctor().await.is_ok_and(|told| {
            told.contains("CARE  certificate for mail.blocked.test: the authority could not prove it: ")
                && told.contains("mail.absent.test does not lead here and gets no certificate")
        })
    });
    assert!(told.await, "{}", scene.doctor().await?);
    assert_eq!(authority.orders("mail.absent.test"), 0);

    // What nobody else may read, and what is not left behind.
    let pair = scene.names().join(format!("{HOST}.acme"));
    assert_eq!(mode(&pair.join("privkey.pem"))?, 0o640);
    let account = fs::read_dir(scene.names().join(".acme"))?
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with("account-"));
    assert_eq!(mode(&account.expect("an account").path())?, 0o600);

    // There is one process for one folder.
    let (code, said) = scene.once(&authority, &[]).await?;
    assert_eq!(code, 75, "{said}");
    assert!(said.contains("another process looks after the certificates"), "{said}");

    // What was wrong is mended: nobody has to do anything here.
    outside.clear("mail.blocked.test");
    outside.add("mail.blocked.test", address("127.0.0.1"));
    scene.until_shown(&authority, "mail.blocked.test", &[]).await?;
    assert!(process.stop(Duration::from_secs(10)).await?, "it ends when it is told to");
    assert_eq!(scene.proofs()?, 0, "proofs are taken away");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_while_sessions_go_on() -> anyhow::Result<()> {
    let scene = Scene::new().await?;
    let policy = Policy { valid: Duration::from_secs(30), ..Policy::default() };
    let authority = Authority::start(&scene.world, scene.platform.panel(), &policy).await?;
    let _process = scene.process(&authority, &[])?;
    let first = scene.until_shown(&authority, HOST, &[]).await?;
    let way = Way::Pop3(scene.platform.pop3(0));
    let (mut session, shown) = open_as(&trusting(&authority).await?, way, HOST).await?;
    assert!(shown == first);
    // Two thirds of its half minute.
    scene.until_shown(&authority, HOST, &first).await?;
    assert!(say(&mut session, "CAPA").await?.starts_with("+OK"));
    // The pair before is gone: of each host there is one.
    let hosts =
        |folder: &Path| fs::read_dir(folder).map(|all| all.flatten().filter(|e| e.path().is_dir()).count());
    let one_each = eventually(SEEN_LIMIT, async || hosts(&scene.names().join(".acme")).is_ok_and(|n| n == 3));
    assert!(one_each.await);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_refuses_costs_no_certificate_and_is_asked_again_later() -> anyhow::Result<()> {
    let scene = Scene::new().await?;
    let authority = Authority::start(&scene.world, scene.platform.panel(), &Policy::default()).await?;
    // Two thirds of its life are over.
    let before = scene.put_own(HOST, 70, 20)?;
    // A nonce is tried three times by the client itself.
    let bad = Refusal::BadNonce;
    let refusals = vec![Refusal::Broken, bad.clone(), bad.clone(), bad, Refusal::Away, Refusal::Limited(2)];
    let left = Arc::new(Mutex::new(refusals.into_iter()));
    let seen = Arc::clone(&left);
    authority.refuse(move |asked| {
        if asked.orders(RIVAL) {
            return Some(Refusal::Limited(3600));
        }
        asked.orders(HOST).then(|| left.lock().expect("no panic").next()).flatten()
    });
    let mut process = scene.process(&authority, &[])?;
    let refused = eventually(SEEN_LIMIT, async || {
        assert!(scene.names().join(format!("{HOST}.acme/fullchain.pem")).exists(), "the certificate is lost");
        seen.lock().expect("no panic").len() == 0
    });
    assert!(refused.await, "{}", fs::read_to_string(process.log_path())?);
    let unjudged = TlsConnector::from(postern_mesh::tls::unjudged()?);
    let way = Way::AtOnce(scene.platform.pop3s(0));
    let renewed = eventually(SEEN_LIMIT, async || {
        let shown = open_as(&unjudged, way, HOST).await.map(|(_, shown)| shown).unwrap_or_default();
        assert!(!shown.is_empty());
        shown != before
    });
    assert!(renewed.await, "{}", fs::read_to_string(process.log_path())?);
    let renewed = scene.until_shown(&authority, HOST, &before).await?;
    let log = fs::read_to_string(process.log_path())?;
    for why in
        ["it answers 500 Internal Server Error", "(badNonce)", "peer closed connection", "(rateLimited)"]
    {
        assert!(log.contains(why), "{why}: {log}");
    }

    // The hour that the authority asked for holds for that host alone, and over a restart, however hard it is.
    assert_eq!(authority.orders(RIVAL), 1, "{log}");
    process.kill()?;
    fs::remove_file(scene.names().join(format!("{HOST}.acme")))?;
    process.spawn()?;
    scene.until_shown(&authority, HOST, &renewed).await?;
    assert_eq!(authority.orders(RIVAL), 1);
    let told = scene.doctor().await?;
    assert!(told.contains(&format!("CARE  certificate for {RIVAL}: the order was refused: ")), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_bounded_and_what_is_not_served_any_more_is_kept_to_its_end() -> anyhow::Result<()> {
    let scene = Scene::new().await?;
    let key =
        ("kid-1".to_owned(), "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W".to_owned());
    let policy = Policy { binding: Some(key.clone()), bad_nonces_percent: 0, ..Policy::default() };
    let authority = Authority::start(&scene.world, scene.platform.panel(), &policy).await?;
    // Without the key that the authority knows us by there is no account; what it says is told, and nothing is lost.
    let (code, said) = scene.once(&authority, &[]).await?;
    assert_eq!(code, 75, "{said}");
    assert!(
        said.contains("an account there was refused: ") && said.contains("(externalAccountRequired)"),
        "{said}"
    );

    // Two orders in an hour (one was counted above), over restarts.
    let bound = [("POSTERN_ACME_EAB_KEY_ID", key.0.as_str()), ("POSTERN_ACME_EAB_KEY", key.1.as_str())];
    let two = [bound[0], bound[1], ("POSTERN_ACME_ORDERS_PER_HOUR", "2")];
    let mut said = String::new();
    let got = eventually(SEEN_LIMIT, async || {
        said = scene.once(&authority, &two).await.map_or_else(|e| e.to_string(), |(_, said)| said);
        said.contains("1 new certificates")
    });
    assert!(got.await, "{said}");
    let all = || [HOST, RIVAL, OWN_HOST].map(|host| authority.orders(host)).iter().sum::<usize>();
    assert_eq!(all(), 1);
    let (code, said) = scene.once(&authority, &two).await?;
    assert!(code == 75 && said.contains("as many orders in an hour as may be"), "{code}: {said}");
    assert_eq!(all(), 1);
    let got = eventually(SEEN_LIMIT, async || {
        scene.once(&authority, &bound).await.is_ok_and(|(code, _)| code == 0)
    });
    assert!(got.await);
    assert_eq!(all(), 3);

    // A certificate that another program looks after is left to it. A token that sees domains, and whether DNS leads here, is enough for
    // all of this; nobody else's is looked for.
    let file = scene.folder.path().join("api-token").display().to_string();
    let bound = [bound[0], bound[1], ("POSTERN_API_TOKEN_FILE", file.as_str())];
    let (_, said) = scene.once(&authority, &bound).await?;
    assert!(said.contains(&file) && said.contains("postern token add"), "{said}");
    let words = ["token", "add", "--role", "support", "--name", "certificates", "--scope", "domains:write"];
    let (_, out, error) = scene.platform.postern(&words, "").await?;
    let token = out.lines().last().filter(|line| line.starts_with("pst_"));
    fs::write(&file, format!("{}\n", token.ok_or_else(|| anyhow::anyhow!("{out}{error}"))?))?;
    // It opens nothing else.
    let own = [("POSTERN_API_TOKEN_FILE", file.as_str())];
    for words in [
        &["domain", "remove", "rival.test"][..],
        &["domain", "add", "other.test", "--customer", "homepage"],
        &["customer", "passwd", "homepage", "--password-stdin"],
        &["forward", "list", "homepage.test"],
    ] {
        let (code, out, error) = scene.platform.postern_with(&own, words, "a long new password\n").await?;
        assert!(code == 1 && error.contains("not permitted"), "{words:?}: {code} {out}{error}");
    }
    scene.host("certbot", "127.0.0.1").await?;
    fs::create_dir(scene.names().join("by-certbot"))?;
    write_pair(&scene.names().join("by-certbot"), "mail.certbot.test", 70, 20)?;
    let (code, said) = scene.once(&authority, &bound).await?;
    assert!(code == 0 && said.contains("0 new certificates"), "{code}: {said}");
    assert_eq!(authority.orders("mail.certbot.test"), 0);
    fs::remove_dir_all(scene.names().join("by-certbot"))?;
    let (code, said) = scene.once(&authority, &bound).await?;
    assert!(code == 0 && said.contains("1 new certificates"), "{code}: {said}");

    // The domain is gone: its certificate stays while it is good, and goes when it has ended.
    let (code, _, error) = scene.platform.postern(&["domain", "remove", "rival.test"], "").await?;
    assert_eq!(code, 0, "{error}");
    let link = scene.names().join(format!("{RIVAL}.acme"));
    assert_eq!(scene.once(&authority, &bound).await?.0, 0);
    assert!(link.join("fullchain.pem").exists());
    fs::remove_file(&link)?;
    scene.put_own(RIVAL, 90, -1)?;
    assert_eq!(scene.once(&authority, &bound).await?.0, 0);
    assert!(!link.is_symlink() && !scene.names().join(format!(".acme/{RIVAL}-before")).exists());
    Ok(())
}
