//! The web face of the platform. Today it tells people how to set up their mail program; its menus come later.

mod host;
mod page;
mod settings;
mod tls;
mod unsubscribe;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    middleware,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use postern_mesh::{StartError, client::MeshChannel, shutdown::Shutdown};
use tokio::net::TcpListener;

pub use settings::{PublicPorts, Settings};

/// On every answer: nothing from elsewhere, no script, no frame, no guessing.
const SECURITY_HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-cache"),
];

struct Panel {
    settings: Settings,
    tls: bool,
}

/// Opens the doors and serves until shutdown.
///
/// # Errors
/// When a setting is wrong, a certificate cannot be used, or a port cannot be bound.
pub async fn open(settings: &Settings, account: MeshChannel, shutdown: &Shutdown) -> Result<(), StartError> {
    settings.check()?;
    let identity = settings.tls.load()?;
    let router = router(settings.clone(), identity.is_some()).merge(unsubscribe::routes(account));
    let bind = async |address| TcpListener::bind(address).await.map_err(|e| StartError::listen(address, e));

    let plain = bind(settings.panel_listen).await?;
    if let Some(identity) = identity {
        let secure = bind(settings.panel_tls_listen).await?;
        let secure = tls::TlsListener::new(secure, identity.acceptor(&[b"http/1.1"]), shutdown);
        serve(secure, router.clone(), shutdown);
    }
    serve(plain, router, shutdown);
    Ok(())
}

fn serve<L>(listener: L, router: Router, shutdown: &Shutdown)
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    let ending = shutdown.clone();
    let serving =
        axum::serve(listener, router).with_graceful_shutdown(async move { ending.triggered().await });
    shutdown.spawn(async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "a door of the panel closed");
        }
    });
}

fn router(settings: Settings, tls: bool) -> Router {
    let style = ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], page::STYLE);
    let to_panel = async || Redirect::permanent("/controlpanel");
    Router::new()
        .route("/controlpanel", get(mail_program))
        .route(page::STYLE_PATH, get(async move || style))
        .route("/", get(async || Redirect::to("/controlpanel")))
        .route("/controlpanel/", get(to_panel))
        .route("/cpanel", get(to_panel))
        .route("/cpanel/", get(to_panel))
        .fallback(async || (StatusCode::NOT_FOUND, page::not_found()))
        .layer(middleware::map_response(secured))
        .with_state(Arc::new(Panel { settings, tls }))
}

async fn mail_program(State(panel): State<Arc<Panel>>, headers: HeaderMap, uri: Uri) -> Response {
    let domain = host::domain(&headers, &uri, &panel.settings.mail_host);
    let program = page::MailProgram {
        domain: &domain,
        ports: panel.settings.ports(),
        grant_seconds: panel.settings.grant_seconds,
        tls: panel.tls,
    };
    // One address, many hosts: whoever stores the answer must know.
    ([(header::VARY, "Host")], page::settings(&program)).into_response()
}

async fn secured(mut response: Response) -> Response {
    for (name, value) in SECURITY_HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
