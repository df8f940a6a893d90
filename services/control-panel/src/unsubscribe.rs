//! One-click unsubscribe (RFC 8058): `/unsubscribe/<token>`, as it stands in a list's copies.
//!
//! A POST ends the subscription, without a cookie and without a redirect: mail programs send it in the reader's name. A GET
//! changes nothing, since scanners follow links; it shows a page with a button that sends the same POST.

use axum::{
    Router,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
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

/// What a mail program sends, and the button too (RFC 8058 section 3.1).
const ONE_CLICK: (&str, &str) = ("List-Unsubscribe", "One-Click");
/// Octets of a request.
const BODY_MAX_BYTES: usize = 4 * 1024;
/// On every answer: nothing from elsewhere, no script, and no address in the Referer.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
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
async fn question(State(mut lists): State<Lists>, Path(token): Path<String>) -> Response {
    let request = LookupListSubscriptionRequest { token };
    let found = match lists.lookup_list_subscription(request).await {
        Ok(found) => found.into_inner(),
        Err(_) => return away(),
    };
    match (found.list.as_str(), found.is_member) {
        ("", _) => unknown(),
        (list, false) => page("Unsubscribed", &done(list, &found.address)).into_response(),
        (list, true) => page(
            "Unsubscribe",
            &html! {
                h1 { "Unsubscribe" }
                p { "No more mail of the list " b { (list) } " to " b { (found.address) } "?" }
                form method="post" {
                    input type="hidden" name=(ONE_CLICK.0) value=(ONE_CLICK.1);
                    button type="submit" { "Unsubscribe" }
                }
            },
        )
        .into_response(),
    }
}

async fn end(State(mut lists): State<Lists>, Path(token): Path<String>, body: String) -> Response {
    let wanted = format!("{}={}", ONE_CLICK.0, ONE_CLICK.1);
    if !body.split('&').any(|pair| pair.trim() == wanted) && !body.contains(&format!("\"{}\"", ONE_CLICK.0)) {
        let why = html! { h1 { "Nothing was changed" } p { "Please use the button of the page." } };
        return (StatusCode::BAD_REQUEST, page("Nothing was changed", &why)).into_response();
    }
    match lists.end_list_subscription(EndListSubscriptionRequest { token }).await {
        Ok(ended) => {
            let ended = ended.into_inner();
            match ended.list.as_str() {
                "" => unknown(),
                list => page("Unsubscribed", &done(list, &ended.address)).into_response(),
            }
        }
        Err(status) => {
            tracing::warn!(error = status.message(), "a subscription cannot be ended now");
            away()
        }
    }
}

fn done(list: &str, address: &str) -> Markup {
    html! {
        h1 { "Unsubscribed" }
        p { b { (address) } " gets no more mail of the list " b { (list) } "." }
    }
}

fn unknown() -> Response {
    let text =
        html! { h1 { "This link is not valid" } p { "The list may be gone, or the link is not whole." } };
    (StatusCode::NOT_FOUND, page("This link is not valid", &text)).into_response()
}

fn away() -> Response {
    let text = html! { h1 { "Please try again later" } p { "Nothing was changed." } };
    (StatusCode::SERVICE_UNAVAILABLE, page("Please try again later", &text)).into_response()
}

fn page(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
            }
            body { main { (body) } }
        }
    }
}
