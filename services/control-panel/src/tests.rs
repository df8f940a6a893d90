//! The pages as a browser gets them that is not signed in: nothing behind the panel answers here, and nothing is needed.

use std::{net::SocketAddr, sync::Arc};

use axum::{body::Body, extract::ConnectInfo, http::Request};
use http::{HeaderMap, HeaderValue, StatusCode};
use postern_mesh::{
    client::MeshChannel, held_back::HeldBack, identity::MeshKey, settings::MeshSettings, shutdown::Shutdown,
};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

use crate::{
    Panel, Settings, Upstreams,
    listener::Peer,
    router::{self, SCRIPT_PATH, SECURITY_HEADERS, SIGN_IN, STYLE_PATH},
    visit::Door,
};

pub(crate) const HERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 40_000);

pub(crate) fn panel() -> Arc<Panel> {
    panel_at("pop3=1110,pop3s=1995,submission=2587,smtps=2465,https=8443")
}

/// With these ports as the world sees them.
fn panel_at(ports: &str) -> Arc<Panel> {
    let mut settings: Settings = postern_mesh::settings::from_env().expect("defaults");
    settings.public_ports = Some(ports.parse().expect("ports"));
    settings.grant_seconds = 1800;
    // A port where nothing listens.
    let nowhere = || MeshChannel::connect_unsigned("http://127.0.0.1:9").expect("a way");
    let upstreams = Upstreams { account: nowhere(), auth: nowhere(), delivery: nowhere() };
    Arc::new(Panel {
        settings,
        upstreams,
        mesh: MeshSettings::with_key(MeshKey::random()),
        held_back: HeldBack::new(&Shutdown::new()),
        tls: true,
        imports: crate::menus::Imports::default(),
        long_forms: Arc::new(Semaphore::new(1)),
    })
}

async fn send(
    door: Door,
    from: SocketAddr,
    request: http::request::Builder,
    body: impl Into<Body>,
) -> (StatusCode, HeaderMap, String) {
    send_to(&panel(), door, from, request, body).await
}

async fn send_to(
    panel: &Arc<Panel>,
    door: Door,
    from: SocketAddr,
    request: http::request::Builder,
    body: impl Into<Body>,
) -> (StatusCode, HeaderMap, String) {
    let mut request = request.body(body.into()).expect("a request");
    request.extensions_mut().insert(ConnectInfo(Peer::direct(from)));
    let response = router::router(panel, door).oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).expect("UTF-8"))
}

async fn get_page(path: &str, host: &str) -> (StatusCode, HeaderMap, String) {
    send(Door { secure: false }, HERE, Request::get(path).header("host", host), "").await
}

#[tokio::test]
async fn the_front_tells_the_settings_of_this_host() {
    let (status, headers, page) = get_page("/controlpanel", "mail.homepage.test:8080").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(headers["vary"], "Host, Accept-Language, Cookie");
    for told in
        ["Mail for homepage.test", "mail.homepage.test", "you@", "1110", "1995", "2587", "2465", "30 minutes"]
    {
        assert!(page.contains(told), "{told}");
    }
    assert!(page.contains("Check your mail before you send"));
}

#[tokio::test]
async fn a_hostile_host_gets_nowhere() {
    for host in
        ["<script>alert(1)</script>", "x\"><img src=x onerror=alert(1)>.test", "a'b.test", "evil.test/<b>"]
    {
        let (status, _, page) = get_page("/controlpanel", host).await;
        assert_eq!(status, StatusCode::OK);
        assert!(
            !page.contains("alert") && page.matches("<script").count() == 1 && !page.contains("evil"),
            "{host}"
        );
        assert!(page.contains("Mail for postern.test"), "{host}");
    }
}

#[tokio::test]
async fn every_answer_has_the_security_headers_and_no_script_of_its_own() {
    let file = format!("<script src=\"{SCRIPT_PATH}\" defer></script>");
    for path in
        ["/controlpanel", STYLE_PATH, SCRIPT_PATH, "/", "/nowhere", "/controlpanel/a.test/forwards", SIGN_IN]
    {
        let (_, headers, body) = get_page(path, "homepage.test").await;
        for (name, value) in SECURITY_HEADERS {
            assert_eq!(headers[&name], value, "{path} {name}");
        }
        let body = body.replacen(&file, "", 1);
        for own in ["<script", "style=", "javascript:", " onclick="] {
            assert!(!body.contains(own), "{path}: {own}");
        }
    }
    let (_, headers, _) =
        send(Door { secure: true }, HERE, Request::get("/controlpanel").header("host", "a.test"), "").await;
    assert_eq!(headers["strict-transport-security"], "max-age=86400");
}

#[tokio::test]
async fn the_short_names_lead_to_the_panel() {
    for path in ["/", "/cpanel", "/cpanel/", "/controlpanel/"] {
        let (status, headers, _) = get_page(path, "homepage.test").await;
        assert!(status.is_redirection(), "{path}");
        assert_eq!(headers["location"], "/controlpanel", "{path}");
    }
    assert_eq!(get_page("/nowhere", "homepage.test").await.0, StatusCode::NOT_FOUND);
    let (status, headers, style) = get_page(STYLE_PATH, "homepage.test").await;
    assert_eq!(
        (status, &headers["content-type"]),
        (StatusCode::OK, &HeaderValue::from_static("text/css; charset=utf-8"))
    );
    assert!(style.contains("prefers-color-scheme: dark"));
}

#[tokio::test]
async fn without_a_session_every_page_leads_to_the_front_and_back() {
    let (status, headers, _) = get_page("/controlpanel/a.test/forwards?page=x", "a.test").await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(
        headers["location"],
        "/controlpanel/sign-in?to=%2Fcontrolpanel%2Fa.test%2Fforwards%3Fpage%3Dx"
    );
    let (_, _, page) = get_page(headers["location"].to_str().expect("ASCII"), "a.test").await;
    assert!(page.contains("name=\"carried-to\" value=\"/controlpanel/a.test/forwards?page=x\""));
}

#[tokio::test]
async fn a_form_without_a_session_is_kept_and_nothing_is_done() {
    let request = Request::post("/controlpanel/a.test/forwards/new").header("host", "a.test");
    let (status, _, page) = send(
        Door { secure: false },
        HERE,
        request,
        "local=info&targets=x%40y.test&password=hush&form-token=old",
    )
    .await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(page.contains("name=\"carried.local\" value=\"info\"") && page.contains("x@y.test"));
    assert!(!page.contains("hush") && !page.contains("old\""));
}

#[tokio::test]
async fn a_stranger_sends_little_and_is_told_when_it_is_too_much() {
    let post = || Request::post("/controlpanel/a.test/mailing-lists/new").header("host", "a.test");
    let door = Door { secure: false };
    // Each `"` is six octets in a page.
    for (length, expected) in [(70_000, 413), (40_000, 413), (1_000, 401)] {
        let body = format!("description={}", "\"".repeat(length));
        let (status, _, page) = send(door, HERE, post(), body).await;
        assert_eq!(status.as_u16(), expected, "{length}");
        assert_eq!(page.contains("&quot;&quot;"), expected == 401, "{length}");
        assert!(page.len() < 30_000, "{length}: {}", page.len());
    }
    // One that never ends is not held, and an address is shown as far as one can be meant.
    let (status, _, _) = send(door, HERE, post(), "x".repeat(5 << 20)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let long = format!("/controlpanel?x={}", "y".repeat(10_000));
    let (_, _, page) = send(door, HERE, Request::get(long).header("host", "a.test"), "").await;
    assert!(!page.contains("yyyy"), "{}", page.len());
}

#[tokio::test]
async fn what_was_typed_waits_for_a_part_that_is_away() {
    // Who it is cannot be asked: auth is away.
    let post = || {
        let request = Request::post("/controlpanel/a.test/forwards/new").header("host", "a.test");
        request.header("cookie", "postern-session=pss_x")
    };
    let body = "form-token=mine&local=info&targets=x%40y.test&code=hush&request-id=7";
    let door = Door { secure: false };
    let here = post().header("sec-fetch-site", "same-origin");
    let (status, _, page) = send(door, HERE, here, body).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    for kept in [
        "action=\"/controlpanel/a.test/forwards/new\"",
        "name=\"form-token\" value=\"mine\"",
        "name=\"request-id\" value=\"7\"",
        "<dt>Leads to</dt><dd>x@y.test</dd>",
        "Passwords and codes are not kept",
    ] {
        assert!(page.contains(kept), "{kept}: {page}");
    }
    assert!(!page.contains("<dt>request-id") && !page.contains("hush"), "{page}");
    // What no page of ours sent is not offered for sending.
    let (status, _, page) = send(door, HERE, post(), body).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!page.contains("x@y.test") && !page.contains("Nothing was changed"));
}

#[tokio::test]
async fn only_what_was_typed_as_the_own_login_is_shown_as_it() {
    let door = Door { secure: false };
    let own = "name=\"login\" type=\"text\" value=\"bakery\"";
    let create = Request::post("/controlpanel/operator/customers/new").header("host", "a.test");
    let (status, _, page) = send(door, HERE, create, "login=bakery").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(page.contains("name=\"carried.login\" value=\"bakery\"") && !page.contains(own), "{page}");
    let sign_in = Request::post(SIGN_IN).header("host", "a.test");
    let (_, _, page) = send(door, HERE, sign_in, "login=bakery&password=x").await;
    assert!(page.contains(own), "{page}");
}

#[tokio::test]
async fn browsers_are_led_to_the_port_that_the_world_sees() {
    let elsewhere = SocketAddr::from(([203, 0, 113, 9], 40_000));
    let request = Request::get("/controlpanel").header("host", "mail.a.test");
    let panel = panel_at("https=443");
    assert_ne!(panel.settings.panel_tls_listen.port(), 443);
    let (_, headers, _) = send_to(&panel, Door { secure: false }, elsewhere, request, "").await;
    assert_eq!(headers["location"], "https://mail.a.test/controlpanel");
}

#[tokio::test]
async fn a_password_comes_over_tls_or_from_this_machine() {
    let elsewhere = SocketAddr::from(([203, 0, 113, 9], 40_000));
    let plain = Door { secure: false };
    let (status, headers, _) =
        send(plain, elsewhere, Request::get("/controlpanel").header("host", "a.test:8080"), "").await;
    assert_eq!(
        (status, &headers["location"]),
        (StatusCode::TEMPORARY_REDIRECT, &HeaderValue::from_static("https://a.test:8443/controlpanel"))
    );
    let post = || Request::post(SIGN_IN).header("host", "a.test:8080");
    let (status, _, page) = send(plain, elsewhere, post(), "login=a&password=b").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(page.contains("https"));
    // Let in, and then auth is away: the person learns that the password is not wrong.
    for (door, from) in [(plain, HERE), (Door { secure: true }, elsewhere)] {
        let (status, _, page) = send(door, from, post(), "login=a&password=b").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(page.contains("This is not because of your password") && !page.contains("value=\"b\""));
    }
}

#[tokio::test]
async fn forms_of_other_pages_are_refused_before_anything_else() {
    for foreign in [("origin", "http://evil.test"), ("sec-fetch-site", "cross-site")] {
        let request = Request::post(SIGN_IN).header("host", "a.test").header(foreign.0, foreign.1);
        let (status, _, page) = send(Door { secure: false }, HERE, request, "login=a&password=b").await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert!(page.contains("was not sent by a page of this panel"), "{page}");
    }
}

#[tokio::test]
async fn the_language_and_zone_are_kept_by_the_browser() {
    let request = Request::post("/controlpanel/preferences").header("host", "a.test");
    let (status, headers, _) = send(
        Door { secure: false },
        HERE,
        request,
        "language=de&zone=Europe%2FBerlin&back=https%3A%2F%2Fevil.test",
    )
    .await;
    assert_eq!(
        (status, &headers["location"]),
        (StatusCode::SEE_OTHER, &HeaderValue::from_static("/controlpanel"))
    );
    let cookies: Vec<_> = headers.get_all("set-cookie").iter().map(|c| c.to_str().expect("ASCII")).collect();
    assert!(
        cookies[0].starts_with("postern-language=de;")
            && cookies[1].starts_with("postern-zone=Europe%2FBerlin;")
    );
    let request =
        Request::get("/controlpanel").header("host", "a.test").header("cookie", "postern-language=de");
    let (_, _, page) = send(Door { secure: false }, HERE, request, "").await;
    let german = "<html lang=\"de\" data-zone=\"unknown\">";
    assert!(page.contains(german) && page.contains("Erst Mail abrufen, dann senden"));
}
