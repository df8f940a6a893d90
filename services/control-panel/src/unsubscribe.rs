//! One-click unsubscribe (RFC 8058): `/unsubscribe/<token>`, as it stands in a list's copies. Whoever opens it is a reader of the
//! list and no customer: the page is in the language of the browser, and leads nowhere else.
//!
//! A POST ends the subscription, without a cookie and without a redirect: mail programs send it in the reader's name. A GET
//! changes nothing, since scanners follow links; it shows a page with a button that sends the same POST.

use axum::{
    Router,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use maud::{DOCTYPE, Markup, html};
use postern_mesh::client::MeshChannel;
use postern_proto::account::v1::{
    EndListSubscriptionRequest, LookupListSubscriptionRequest,
    mailing_list_service_client::MailingListServiceClient,
};

use crate::{
    router::STYLE_PATH,
    texts::{Language, Texts},
};

/// What a mail program sends, and the button too (RFC 8058 section 3.1).
const ONE_CLICK: (&str, &str) = ("List-Unsubscribe", "One-Click");
/// Octets of a request.
const BODY_MAX_BYTES: usize = 4 * 1024;
/// On every answer: nothing from elsewhere but the one style, no script, and no address in the Referer.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

type Lists = MailingListServiceClient<MeshChannel>;

/// The routes, for a router of its own headers.
pub(crate) fn routes(account: MeshChannel) -> Router {
    Router::new()
        .route("/unsubscribe/{token}", get(question).post(end))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(middleware::map_response(async |mut response: Response| {
            for (name, value) in HEADERS {
                response.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            response
        }))
        .with_state(MailingListServiceClient::new(account))
}

/// Shows what the button would end.
async fn question(State(mut lists): State<Lists>, Path(token): Path<String>, headers: HeaderMap) -> Response {
    let texts = texts_of(&headers);
    let request = LookupListSubscriptionRequest { token };
    let found = match lists.lookup_list_subscription(request).await {
        Ok(found) => found.into_inner(),
        Err(_) => return away(texts),
    };
    match (found.list.as_str(), found.is_member) {
        ("", _) => unknown(texts),
        (list, false) => done(texts, list, &found.address),
        (list, true) => {
            let button = html! {
                form method="post" {
                    input type="hidden" name=(ONE_CLICK.0) value=(ONE_CLICK.1);
                    div.actions { button.primary type="submit" { (texts.say("unsubscribe-button")) } }
                }
            };
            let question = about(texts, "unsubscribe-ask", list, &found.address);
            page(texts, StatusCode::OK, "unsubscribe-title", &question, &button)
        }
    }
}

async fn end(
    State(mut lists): State<Lists>,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let texts = texts_of(&headers);
    let wanted = format!("{}={}", ONE_CLICK.0, ONE_CLICK.1);
    if !body.split('&').any(|pair| pair.trim() == wanted) && !body.contains(&format!("\"{}\"", ONE_CLICK.0)) {
        let why = texts.say("unsubscribe-no-button-text");
        return page(texts, StatusCode::BAD_REQUEST, "unsubscribe-no-button", &why, &html! {});
    }
    match lists.end_list_subscription(EndListSubscriptionRequest { token }).await {
        Ok(ended) => {
            let ended = ended.into_inner();
            match ended.list.as_str() {
                "" => unknown(texts),
                list => done(texts, list, &ended.address),
            }
        }
        Err(status) => {
            tracing::warn!(error = status.message(), "a subscription cannot be ended now");
            away(texts)
        }
    }
}

fn texts_of(headers: &HeaderMap) -> Texts {
    // The cookie of the choice has one name, with TLS or without.
    Texts(Language::of(headers, false))
}

fn about(texts: Texts, key: &str, list: &str, address: &str) -> String {
    texts.fill(key, &[("list", list.into()), ("address", address.into())])
}

fn done(texts: Texts, list: &str, address: &str) -> Response {
    let text = about(texts, "unsubscribe-done-text", list, address);
    page(texts, StatusCode::OK, "unsubscribe-done", &text, &html! {})
}

fn unknown(texts: Texts) -> Response {
    let text = texts.say("unsubscribe-unknown-text");
    page(texts, StatusCode::NOT_FOUND, "unsubscribe-unknown", &text, &html! {})
}

fn away(texts: Texts) -> Response {
    let text = texts.say("unsubscribe-away-text");
    page(texts, StatusCode::SERVICE_UNAVAILABLE, "unsubscribe-away", &text, &html! {})
}

fn page(texts: Texts, status: StatusCode, title: &str, text: &str, action: &Markup) -> Response {
    let title = texts.say(title);
    let markup = html! {
        (DOCTYPE)
        html lang=(texts.0.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="stylesheet" href=(STYLE_PATH);
            }
            body {
                div.frame {
                    main {
                        h1 { (title) }
                        section.card { p { (text) } (action) }
                    }
                }
            }
        }
    };
    (status, [(header::VARY, "Accept-Language, Cookie")], markup).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::Body, http::Request};
    use tower::ServiceExt as _;

    /// Nothing answers behind it.
    async fn asked(method: &str, body: &'static str, language: &str) -> (StatusCode, String) {
        let nowhere = MeshChannel::connect_unsigned("http://127.0.0.1:9").expect("a way");
        let request =
            Request::builder().method(method).uri("/unsubscribe/x").header("accept-language", language);
        let request = request.body(Body::from(body)).expect("a request");
        let response = routes(nowhere).oneshot(request).await.expect("infallible");
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a body");
        (status, String::from_utf8(body.to_vec()).expect("UTF-8"))
    }

    #[tokio::test]
    async fn a_reader_is_told_in_the_own_language() {
        let (status, page) = asked("POST", "x=y", "de-CH, en;q=0.5").await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(page.contains("<html lang=\"de\">") && page.contains("Knopf"), "{page}");
        assert!(page.contains(STYLE_PATH) && !page.contains("<script"), "{page}");
        let (_, page) = asked("POST", "x=y", "fr").await;
        assert!(page.contains("<html lang=\"en\">") && page.contains("Nothing was changed"), "{page}");
        let (status, page) = asked("POST", "List-Unsubscribe=One-Click", "de").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        // Whether it was ended before the answer was lost is not known.
        assert!(page.contains("später") && !page.contains("nichts geändert"), "{page}");
    }

    #[test]
    fn what_is_named_is_no_markup() {
        let texts = Texts(Language::German);
        let told = about(texts, "unsubscribe-ask", "<l>@x.test", "a&b@y.test");
        let page = html! { p { (told) } }.into_string();
        assert!(page.contains("&lt;l&gt;@x.test") && page.contains("a&amp;b@y.test"), "{page}");
    }
}
