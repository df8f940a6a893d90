//! Which address is which page, and what every answer says to the browser.

use std::sync::Arc;

use axum::{
    Extension, Router,
    http::{HeaderName, HeaderValue, Method, Uri, header},
    middleware,
    response::{IntoResponse as _, Redirect, Response},
    routing::{get, post},
};

use crate::{
    Panel, acme,
    call::Failure,
    code, front, menus, operator, own_password, programs, security,
    visit::{self, Door},
};

/// Where the panel is.
pub(crate) const FRONT: &str = "/controlpanel";
/// All domains of a customer.
pub(crate) const DOMAINS: &str = "/controlpanel/domains";
/// To sign in.
pub(crate) const SIGN_IN: &str = "/controlpanel/sign-in";
/// The code of a second factor, after the password.
pub(crate) const SIGN_IN_CODE: &str = "/controlpanel/sign-in/code";
/// To sign out.
pub(crate) const SIGN_OUT: &str = "/controlpanel/sign-out";
/// Language and time zone.
pub(crate) const PREFERENCES: &str = "/controlpanel/preferences";
/// The own password of a customer.
pub(crate) const OWN_PASSWORD: &str = "/controlpanel/password";
/// Sessions and the second factor of whoever is signed in.
pub(crate) const SECURITY: &str = "/controlpanel/security";
/// Where the style lies.
pub(crate) const STYLE_PATH: &str = "/controlpanel/style.css";
/// Where the script lies.
pub(crate) const SCRIPT_PATH: &str = "/controlpanel/script.js";
const ICON_PATH: &str = "/controlpanel/icon.svg";

/// On every answer: nothing from elsewhere, no script but the one file, no frame, no guessing.
pub(crate) const SECURITY_HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];
/// Pages are somebody's; only what is the same for everybody may be kept.
const PAGE_CACHE: &str = "private, no-store";
const ASSET_CACHE: &str = "public, max-age=300";

/// The style, one file to the browser: a side menu on wide screens, one column on a telephone, light or dark as the reader likes.
const STYLE: &str = concat!(
    include_str!("style/ground.css"),
    include_str!("style/surfaces.css"),
    include_str!("style/lists.css"),
    include_str!("style/forms.css"),
    include_str!("style/frame.css"),
    include_str!("style/pictures.css"),
    include_str!("style/widths.css"),
);
const ICON: &str = include_str!("icon.svg");
/// What saves a few strokes where scripts run; nothing needs it.
const SCRIPT: &str = include_str!("script.js");

/// All pages behind one door.
pub(crate) fn router(panel: &Arc<Panel>, door: Door) -> Router {
    let to_panel = async || Redirect::permanent(FRONT);
    let mine = Router::new()
        .merge(menus::routes())
        .merge(operator::routes())
        .merge(security::routes())
        .route(DOMAINS, get(front::domains))
        .route(SIGN_OUT, post(front::sign_out))
        .route(OWN_PASSWORD, get(own_password::page).post(own_password::change))
        .route_layer(middleware::from_fn(visit::signed_in))
        // Uploads look for the token of the session by themselves.
        .merge(menus::uploads());
    let everybodys = Router::new()
        .route(FRONT, get(front::front))
        .route(SIGN_IN, get(front::front).post(front::sign_in))
        .route(SIGN_IN_CODE, post(code::confirm))
        .route(PREFERENCES, get(front::preferences).post(front::prefer))
        .route(programs::SET_UP, get(programs::page::public));
    Router::new()
        .merge(mine)
        .merge(everybodys)
        .fallback(async || Failure::NotFound)
        .method_not_allowed_fallback(above)
        .layer(middleware::from_fn(visit::to_tls))
        .layer(middleware::from_fn_with_state(Arc::clone(panel), visit::receive))
        .layer(Extension(door))
        // Before the visit: these are the same for everybody.
        .route(STYLE_PATH, get(asset("text/css; charset=utf-8", STYLE)))
        .route(SCRIPT_PATH, get(asset("text/javascript; charset=utf-8", SCRIPT)))
        .route(ICON_PATH, get(asset("image/svg+xml", ICON)))
        .merge(programs::routes())
        .merge(acme::routes())
        .route("/", get(async || Redirect::to(FRONT)))
        .route("/controlpanel/", get(to_panel))
        .route("/cpanel", get(to_panel))
        .route("/cpanel/", get(to_panel))
        .layer(middleware::from_fn_with_state(Arc::clone(panel), programs::autodiscover::any_case))
        .layer(middleware::map_response(move |response| secured(response, door)))
        .with_state(Arc::clone(panel))
}

/// What is only sent to is no page. Whoever comes there, by a tab that is opened again or by pressing Enter in the address, finds the
/// page above it.
async fn above(method: Method, uri: Uri) -> Response {
    let up = uri.path().rsplit_once('/').map_or("", |(up, _)| up);
    // All of its parts stand on one page.
    let of_security = up.strip_prefix(SECURITY).is_some_and(|below| below.starts_with('/'));
    let up = if of_security { SECURITY } else { up };
    if method == Method::GET && up.starts_with(FRONT) {
        Redirect::to(up).into_response()
    } else {
        Failure::NotFound.into_response()
    }
}

/// A file of the program.
fn asset<S: Clone + Send + Sync + 'static>(
    kind: &'static str,
    text: &'static str,
) -> impl axum::handler::Handler<((),), S> {
    move || async move { ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, ASSET_CACHE)], text) }
}

async fn secured(mut response: Response, door: Door) -> Response {
    let headers = response.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if door.secure {
        let day = HeaderValue::from_static("max-age=86400");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, day);
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static(PAGE_CACHE));
    response
}
