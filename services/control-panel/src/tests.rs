//! The pages as a browser gets them.

use axum::body::Body;
use http::Request;
use tower::ServiceExt as _;

use super::*;

async fn get_page(path: &str, host: &str) -> (StatusCode, HeaderMap, String) {
    let mut settings: Settings = postern_mesh::settings::from_env().expect("defaults");
    settings.public_ports = Some("pop3=1110,pop3s=1995,submission=2587,smtps=2465".parse().expect("ports"));
    settings.grant_seconds = 1800;
    let request = Request::get(path).header("host", host).body(Body::empty()).expect("a request");
    let response = router(settings, true).oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).expect("UTF-8"))
}

#[tokio::test]
async fn the_page_tells_the_settings_of_this_host() {
    let (status, headers, page) = get_page("/controlpanel", "mail.homepage.test:8080").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(headers["vary"], "Host");
    for told in [
        "Mail for homepage.test",
        "mail.homepage.test",
        "you@",
        "1110",
        "1995",
        "2587",
        "2465",
        "30 minutes",
        "postern",
    ] {
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
        assert!(!page.contains("alert") && !page.contains("<script") && !page.contains("evil"), "{host}");
        assert!(page.contains("Mail for postern.test"), "{host}");
    }
}

#[tokio::test]
async fn every_answer_has_the_security_headers_and_no_script() {
    for path in ["/controlpanel", page::STYLE_PATH, "/", "/nowhere"] {
        let (_, headers, body) = get_page(path, "homepage.test").await;
        for (name, value) in SECURITY_HEADERS {
            assert_eq!(headers[&name], value, "{path} {name}");
        }
        assert!(
            !body.contains("<script") && !body.contains("style=") && !body.contains("javascript:"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_short_names_lead_to_the_panel() {
    for path in ["/", "/cpanel", "/cpanel/", "/controlpanel/"] {
        let (status, headers, _) = get_page(path, "homepage.test").await;
        assert!(status.is_redirection(), "{path}");
        assert_eq!(headers["location"], "/controlpanel", "{path}");
    }
    assert_eq!(get_page("/nowhere", "homepage.test").await.0, StatusCode::NOT_FOUND);
    let (status, headers, style) = get_page(page::STYLE_PATH, "homepage.test").await;
    assert_eq!(
        (status, &headers["content-type"]),
        (StatusCode::OK, &HeaderValue::from_static("text/css; charset=utf-8"))
    );
    assert!(style.contains("prefers-color-scheme: dark"));
}
