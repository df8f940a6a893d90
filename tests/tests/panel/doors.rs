//! The doors of the panel hold against strangers: little is taken from whoever is not signed in, nobody keeps a connection by
//! saying nothing, and one client has so many of them.

use std::time::Duration;

use postern_tests::{
    admin::PASSWORD,
    eventually, metrics,
    platform::{Blueprint, Platform, Service},
    proxied,
    usage::memory_mib,
    web::Web,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinSet,
    time::timeout,
};

/// More than enough for what waits 20 s in the panel.
const WAIT: Duration = Duration::from_secs(60);
const PROXY: &str = "127.0.0.9";
const LISTS: &str = "/controlpanel/homepage.test/mailing-lists/new";

async fn platform(settings: &[(&str, &str)]) -> anyhow::Result<Platform> {
    let mut blueprint = Blueprint::new();
    for (name, value) in settings {
        blueprint = blueprint.set(name, value);
    }
    let platform = blueprint.start().await?;
    platform.admin()?.domain("homepage", "homepage.test").await?;
    Ok(platform)
}

fn panel_mib(platform: &Platform) -> f64 {
    let processes = platform.processes();
    let panel: Vec<_> = processes.into_iter().filter(|(name, _)| name == "control-panel").collect();
    memory_mib(&panel).values().sum()
}

/// Each octet would be six in the page that carries it.
#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_send_is_not_held() -> anyhow::Result<()> {
    const SENDERS: usize = 40;
    let platform = platform(&[]).await?;
    let before = panel_mib(&platform);
    let text = "\"".repeat(4_000_000);
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        let (mut web, text) = (Web::new(platform.panel()), text.clone());
        senders.spawn(async move { web.post_text(LISTS, &format!("description={text}")).await });
    }
    let mut most = before;
    while let Some(answer) = senders.join_next().await {
        most = most.max(panel_mib(&platform));
        let answer = answer??;
        assert_eq!(answer.status, 413, "{}", answer.body);
        assert!(answer.body.contains("too large") && !answer.body.contains("&quot;&quot;"));
    }
    // Held, they would be 160 MB, and a gigabyte as pages.
    assert!(most - before < 64.0, "{before} MiB before, then {most} MiB");

    // Ten thousand members of a list are taken from whoever is signed in.
    let mut web = Web::new(platform.panel());
    web.sign_in("homepage", PASSWORD).await?;
    let members: Vec<_> = (0..10_000).map(|n| format!("member{n}@outside.test")).collect();
    let fields = [("local", "news"), ("posting", "members"), ("addresses", &members.join("\n"))];
    let answer = web.submit(LISTS, &fields).await?;
    assert_eq!(answer.status, 303, "{}", answer.body);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_has_so_many_connections_and_customers_get_in() -> anyhow::Result<()> {
    let settings = [
        ("POSTERN_PROXY_NETWORKS", PROXY),
        ("POSTERN_LIMIT_PANEL_CONNECTIONS", "10"),
        ("POSTERN_LIMIT_PANEL_CONNECTIONS_PER_CLIENT", "4"),
    ];
    let mut platform = platform(&settings).await?;
    let door = platform.panel_tls();
    let customer = || Web::new(door).over_tls().through_proxy(PROXY, "198.51.100.7");
    let mut web = customer();
    assert_eq!(web.sign_in("homepage", PASSWORD).await?.status, 303);
    web.get("/controlpanel/homepage.test/home").await?;

    // Half a request each, and then nothing. Eight of ten places are for strangers.
    let door = platform.panel();
    let open = async |client: &str| -> anyhow::Result<_> {
        let mut stream = proxied(door, PROXY, client).await?;
        // It may be closed already.
        let _ = stream.write_all(b"GET /controlpanel HTTP/1.1\r\nHost: a.test\r\nX-Ha").await;
        Ok(stream)
    };
    let mut held = Vec::new();
    for client in ["203.0.113.1", "203.0.113.2"] {
        for _ in 0..4 {
            held.push(open(client).await?);
        }
    }
    let health = platform.replica(Service::Panel, 0).health;
    let turned_away = async |why: &str| {
        let why = format!("why=\"{why}\"");
        metrics::sum(health, "postern_panel_turned_away_total", &[why.as_str()]).await.unwrap_or(0.0)
    };
    for (client, why) in [("203.0.113.1", "client"), ("203.0.113.3", "reserved")] {
        let mut end = Vec::new();
        let seen = eventually(WAIT, async || {
            let Ok(mut stream) = open(client).await else { return false };
            let _ = timeout(WAIT, stream.read_to_end(&mut end)).await;
            turned_away(why).await >= 1.0
        });
        assert!(seen.await, "{why}");
        assert!(end.is_empty(), "{why}: {}", String::from_utf8_lossy(&end));
    }
    let home = web.get("/controlpanel/homepage.test/home").await?;
    assert_eq!(home.status, 200, "somebody who signed in there before gets in");

    // Whoever says half of what one wants is closed, and the places are free again.
    for stream in &mut held {
        let mut answer = Vec::new();
        let _ = timeout(WAIT, stream.read_to_end(&mut answer)).await?;
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
    }
    let stranger = Web::new(door).through_proxy(PROXY, "203.0.113.3").get("/controlpanel").await?;
    assert_eq!(stranger.status, 307);
    Ok(())
}
