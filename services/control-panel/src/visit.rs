//! One request: who comes, from where, through which door, in what language, with what form; and what becomes of a failure.
//!
//! Every request passes [`receive`]; those that need somebody who is signed in pass [`signed_in`] too, where no form gets
//! through that is not of this session.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{ConnectInfo, Extension, Request, State},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, Method, StatusCode, header, request::Parts};
use postern_mail::{DomainName, PeerIp};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    Panel,
    call::Failure,
    carry,
    cookie::Cookie,
    form::{
        Form, TOKEN_FIELD,
        intake::{self, Taken},
    },
    front, host, layout,
    layout::said::Said,
    listener::{Peer, Seat},
    moment::{self, Reader},
    router::{FRONT, SIGN_OUT},
    session::{self, Person, SessionToken},
    texts::{Language, Texts},
    upload,
};

/// The door that a connection came through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door {
    /// TLS.
    pub(crate) secure: bool,
}

/// One request.
#[derive(Clone)]
pub(crate) struct Visit {
    pub(crate) panel: Arc<Panel>,
    pub(crate) reader: Reader,
    /// Whether the browser has not told its time zone yet: the script is to tell it.
    pub(crate) asks_zone: bool,
    pub(crate) peer: PeerIp,
    /// Somebody at this machine.
    pub(crate) here: bool,
    pub(crate) secure: bool,
    /// The domain whose host was typed.
    pub(crate) host: DomainName,
    /// The port that was typed; `None`: that of the scheme.
    pub(crate) port: Option<u16>,
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) address: String,
    pub(crate) query: Form,
    pub(crate) form: Form,
    pub(crate) person: Option<Person>,
    /// What waits for the code of a second factor: never shown.
    pub(crate) waiting: Option<String>,
    /// What the page before has done.
    pub(crate) said: Option<Said>,
    /// A secret that this page shows, and no other, and not again.
    pub(crate) once: Option<String>,
    /// That the browser says that one of our own pages sent this.
    pub(crate) from_here: bool,
    /// The page of the panel that led here, as the browser says.
    pub(crate) from_page: Option<String>,
}

impl Visit {
    pub(crate) fn begin(panel: &Arc<Panel>, door: Door, peer: Peer, parts: &Parts) -> Self {
        let headers = &parts.headers;
        let zone = Cookie::Zone.read(headers, door.secure);
        let asks_zone = zone.is_none();
        let zone =
            zone.map(|zone| percent_encoding::percent_decode_str(&zone).decode_utf8_lossy().into_owned());
        let zone = zone.and_then(|zone| moment::zone(&zone));
        let query = parts.uri.query().unwrap_or_default().to_owned();
        Self {
            panel: Arc::clone(panel),
            reader: Reader {
                texts: Texts(Language::of(headers, door.secure)),
                zone: zone.unwrap_or_else(|| panel.settings.panel_time_zone.0.clone()),
            },
            asks_zone,
            peer: peer.ip,
            here: peer.is_here(),
            secure: door.secure,
            host: host::domain(headers, &parts.uri, &panel.settings.mail_host),
            port: host::port(headers, &parts.uri),
            method: parts.method.clone(),
            address: parts.uri.path_and_query().map_or_else(|| FRONT.to_owned(), ToString::to_string),
            query: Form::read(&query.into()).unwrap_or_default(),
            form: Form::default(),
            person: None,
            waiting: Cookie::Waiting.read(headers, door.secure),
            said: None,
            once: None,
            from_here: false,
            from_page: page_before(headers),
        }
    }

    /// The texts of this reader.
    pub(crate) fn texts(&self) -> Texts {
        self.reader.texts
    }

    /// A text without anything to put in.
    pub(crate) fn say(&self, key: &str) -> String {
        self.reader.texts.say(key)
    }

    /// A text that names one thing.
    pub(crate) fn name(&self, key: &str, name: &str) -> String {
        self.reader.texts.fill(key, &[("name", name.into())])
    }

    /// Whether a password may come through this door from there.
    pub(crate) fn may_give_password(&self) -> bool {
        self.secure || self.here
    }

    /// Where one comes back to this page: what is only sent to is no page.
    pub(crate) fn here(&self) -> String {
        let page = if self.method == Method::POST { self.from_page.clone() } else { None };
        page.or_else(|| front::own_address(&self.address)).unwrap_or_else(|| FRONT.to_owned())
    }

    /// Goes to another page, which says what was done.
    pub(crate) fn done(&self, to: &str, said: &Said) -> Response {
        let mut response = Redirect::to(to).into_response();
        let said = self.person.as_ref().map(|person| said.sealed(&person.token));
        if let Some(cookie) = said.and_then(|said| Cookie::Said.set(&said, self.secure)) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }

    /// Reads who it is and what the form says, in this order: how much somebody may send depends on who it is. An upload stays
    /// with the request. What was typed is there also when it fails.
    async fn admit(&mut self, headers: &HeaderMap, body: Body) -> Result<Admitted, Failure> {
        if self.method == Method::POST {
            self.from_here = came_from_here(headers)?;
        }
        let found = match Cookie::Session.read(headers, self.secure) {
            Some(token) => session::person(&self.panel, SessionToken::new(token)).await,
            None => Ok(None),
        };
        let known = found.map(|person| self.person = person);
        let mut admitted = Admitted::default();
        let read = if upload::is_upload(&self.method, headers) {
            admitted.rest = body;
            Ok(())
        } else if self.method == Method::POST {
            self.read_form(headers, body).await.map(|turn| admitted.turn = turn)
        } else {
            Ok(())
        };
        known.and(read)?;
        if let Some(person) = &self.person {
            let said = Cookie::Said.read(headers, self.secure);
            self.said = said.and_then(|said| Said::unsealed(&said, &person.token));
            let once = Cookie::Once.read(headers, self.secure).filter(|_| self.method == Method::GET);
            self.once = once.and_then(|once| person.token.unlock(&self.address, &once));
        }
        Ok(admitted)
    }

    async fn read_form(
        &mut self,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Option<OwnedSemaphorePermit>, Failure> {
        let path = self.address.split('?').next().unwrap_or_default();
        let most = intake::most(path, self.person.is_some());
        let Taken { form, turn } = intake::take(headers, body, most, &self.panel.long_forms).await?;
        self.form = Form::read(&form)?;
        Ok(turn)
    }
}

/// What goes on with a request.
#[derive(Default)]
struct Admitted {
    /// An upload.
    rest: Body,
    /// Of a long form, until it is answered.
    turn: Option<OwnedSemaphorePermit>,
}

/// Whether the browser says that a page of this host sent the form. An error when it says that another one did; false when it
/// says nothing, as programs that are no browsers do.
fn came_from_here(headers: &HeaderMap) -> Result<bool, Failure> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let mut here = false;
    // `none`: typed or reloaded by the person, not sent by a page.
    match text("sec-fetch-site") {
        Some("same-origin") => here = true,
        Some("none") | None => {}
        Some(_) => return Err(Failure::ForeignForm),
    }
    if let Some(origin) = text("origin") {
        let host = text("host").unwrap_or_default();
        let own = origin.split_once("://").is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(host));
        if !own || host.is_empty() {
            return Err(Failure::ForeignForm);
        }
        here = true;
    }
    Ok(here)
}

/// The page of this host that the browser comes from (RFC 9110 section 10.1.3).
fn page_before(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (_, referer) = text("referer")?.split_once("://")?;
    let (host, path) = referer.split_at(referer.find('/')?);
    if !host.eq_ignore_ascii_case(text("host")?) {
        return None;
    }
    front::own_address(path.split('#').next()?)
}

/// Every request: reads it, hands it on, and makes a page of a failure.
pub(crate) async fn receive(
    State(panel): State<Arc<Panel>>,
    Extension(door): Extension<Door>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let mut visit = Visit::begin(&panel, door, peer, &parts);
    let admitted = visit.admit(&parts.headers, body).await;
    if let (Some(_), Some(seat)) = (&visit.person, parts.extensions.get::<Seat>()) {
        seat.is_customers().await;
    }
    let visit = Arc::new(visit);
    let (mut response, _turn) = match admitted {
        Ok(Admitted { rest, turn }) => {
            parts.extensions.insert(Arc::clone(&visit));
            (next.run(Request::from_parts(parts, rest)).await, turn)
        }
        Err(failure) => (failure.into_response(), None),
    };
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        response = page_of(&visit, &failure).await;
    }
    // Said once: the page that shows it takes it away.
    if visit.method == Method::GET && !response.status().is_redirection() {
        let shown = [(visit.said.is_some(), Cookie::Said), (visit.once.is_some(), Cookie::Once)];
        for (_, cookie) in shown.into_iter().filter(|(was_shown, _)| *was_shown) {
            response
                .headers_mut()
                .extend(cookie.clear(visit.secure).map(|clear| (header::SET_COOKIE, clear)));
        }
    }
    response
}

async fn page_of(visit: &Visit, failure: &Failure) -> Response {
    match failure {
        // Whoever wanted to sign out has what was wanted.
        Failure::SessionEnded if visit.address == SIGN_OUT => Redirect::to(FRONT).into_response(),
        Failure::SessionEnded if visit.method == Method::POST => carry::sign_in_again(visit).await,
        Failure::SessionEnded => Redirect::to(&front::sign_in_for(&visit.address)).into_response(),
        Failure::Elsewhere(address) => Redirect::to(address).into_response(),
        // A form of a session that ended: the browser says that it is ours, so it can be sent once more.
        Failure::ForeignForm if visit.from_here && visit.person.is_some() => carry::send_again(visit),
        Failure::Away | Failure::TooBusy if carry::can_wait(visit) => carry::send_later(visit, failure),
        _ => layout::failure(visit, failure),
    }
}

/// For pages that are somebody's: lets nobody through who is not signed in, and no form that is not of this session. An upload has
/// no form that could be looked at here: only where [`crate::upload::Upload`] looks, one gets through.
pub(crate) async fn signed_in(
    Extension(visit): Extension<Arc<Visit>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(person) = &visit.person else { return Failure::SessionEnded.into_response() };
    if visit.method == Method::POST && !person.token.knows_form(visit.form.get(TOKEN_FIELD)) {
        return Failure::ForeignForm.into_response();
    }
    next.run(request).await
}

/// Whoever comes through an open door without TLS is led to the other one, unless it is this machine.
pub(crate) async fn to_tls(
    Extension(visit): Extension<Arc<Visit>>,
    request: Request,
    next: Next,
) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let bare = host.map(|host| host.rsplit_once(':').map_or(host, |(name, _)| name));
    match bare {
        Some(name) if visit.panel.tls && !visit.may_give_password() && visit.method == Method::GET => {
            let port = visit.panel.settings.ports().https;
            let port = if port == 443 { String::new() } else { format!(":{port}") };
            (
                StatusCode::TEMPORARY_REDIRECT,
                [(header::LOCATION, format!("https://{name}{port}{}", visit.address))],
            )
                .into_response()
        }
        _ => next.run(request).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_before_is_one_of_ours() {
        let before = |referer: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("host", "mail.a.test:8080".parse().expect("a value"));
            headers.insert("referer", referer.parse().expect("a value"));
            page_before(&headers)
        };
        let page = "/controlpanel/a.test/home?x=1";
        assert_eq!(before(&format!("http://mail.a.test:8080{page}#y")).as_deref(), Some(page));
        for other in [
            "http://mail.a.test/controlpanel",
            "http://evil.test/controlpanel",
            "http://mail.a.test:8080",
            "http://mail.a.test:8080/elsewhere",
            "http://mail.a.test:8080//evil.test",
            "x",
        ] {
            assert_eq!(before(other), None, "{other}");
        }
    }

    #[test]
    fn a_form_of_another_page_is_known_by_its_browser() {
        let check = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().expect("a value"));
            }
            came_from_here(&headers)
        };
        let host = ("host", "mail.homepage.test:8080");
        assert_eq!(check(&[host, ("origin", "http://mail.homepage.test:8080")]), Ok(true));
        assert_eq!(check(&[host, ("sec-fetch-site", "same-origin")]), Ok(true));
        assert_eq!(check(&[host]), Ok(false));
        for foreign in [
            ("origin", "http://evil.test"),
            ("origin", "http://mail.homepage.test"),
            ("origin", "null"),
            ("origin", "http://mail.homepage.test:8080.evil.test"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert_eq!(check(&[host, foreign]), Err(Failure::ForeignForm), "{foreign:?}");
        }
        assert_eq!(check(&[("origin", "http://")]), Err(Failure::ForeignForm));
        let both = [host, ("sec-fetch-site", "same-origin"), ("origin", "http://evil.test")];
        assert_eq!(check(&both), Err(Failure::ForeignForm));
    }
}
