//! The front: signing in and out, where one arrives, and what a mail program must be told, for everybody.

use std::sync::Arc;

use axum::{
    Extension,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderValue, StatusCode, header};
use maud::{Markup, html};
use postern_mail::{EmailAddress, Reason};
use postern_mesh::{failure, identity::Role};
use postern_proto::{
    account::v1::{Domain, GetDomainRequest, ListDomainsRequest},
    auth::v1::CreatePanelSessionRequest,
};

use crate::{
    call::{Failure, found},
    carry::{self, Carried},
    code,
    cookie::Cookie,
    form::Field,
    layout::{self, Frame, Page},
    mail_program::{self, Sending},
    menus,
    moment::{self, ZONES},
    operator,
    place::{self, Somebody, path_at, segment},
    router::{FRONT, PREFERENCES, SIGN_IN},
    session::{self, Person, SessionToken},
    texts::Language,
    visit::Visit,
};

/// Characters of a login that is shown again after it was wrong: no login is longer.
const LOGIN_MAX_CHARS: usize = 320;

/// An address of the panel, and of nothing else: where one may be led after signing in.
pub(crate) fn own_address(text: &str) -> Option<String> {
    let inside = text == FRONT || text.strip_prefix(FRONT).is_some_and(|rest| rest.starts_with(['/', '?']));
    let plain = text.bytes().all(|c| c.is_ascii_graphic() && c != b'\\') && !text.contains("//");
    (inside && plain && text.len() <= 2048).then(|| text.to_owned())
}

/// Where to sign in, to be led on to this address if that can be.
pub(crate) fn sign_in_for(address: &str) -> String {
    own_address(address).map_or_else(|| SIGN_IN.to_owned(), |to| format!("{SIGN_IN}?to={}", segment(&to)))
}

/// The first page: to sign in, or where one arrives.
pub(crate) async fn front(Extension(visit): Extension<Arc<Visit>>) -> Result<Response, Failure> {
    if let Some(person) = &visit.person {
        return arrive(&visit, person).await;
    }
    let carried = Carried::only_to(own_address(visit.query.get("to")).unwrap_or_default());
    Ok(page(&visit, &carried, None, StatusCode::OK).await)
}

/// Where somebody who is signed in begins.
async fn arrive(visit: &Visit, person: &Person) -> Result<Response, Failure> {
    let first = menus::ALL[0];
    match person.caller.role {
        Role::Mailbox => {
            let own = person.caller.subject.parse::<EmailAddress>().map_err(|_| Failure::NotPermitted)?;
            Ok(Redirect::to(&path_at(own.domain().as_str(), first, &[])).into_response())
        }
        Role::Customer => {
            let page = ListDomainsRequest { page_size: 2, ..ListDomainsRequest::default() };
            let (here, some) =
                tokio::try_join!(own_domain(visit, person), place::customer_domains(person, page))?;
            // Whoever came to the host of one of the own domains gets that one.
            let only = if some.domains.len() == 1 { some.domains.into_iter().next() } else { None };
            match here.or(only) {
                Some(domain) => Ok(Redirect::to(&path_at(&domain.name, first, &[])).into_response()),
                None => menus::domain_list(visit, person).await,
            }
        }
        Role::Operator | Role::Support => Ok(Redirect::to(operator::OPERATOR).into_response()),
        Role::Service => Err(Failure::NotPermitted),
    }
}

/// The own domain of the host that was typed, if it is one.
async fn own_domain(visit: &Visit, person: &Person) -> Result<Option<Domain>, Failure> {
    let request = GetDomainRequest { name: visit.host.as_str().to_owned() };
    let found = found(person.calls.domains().get_domain(request).await)?;
    Ok(found.and_then(|answer| answer.domain).filter(|domain| domain.customer == person.caller.customer))
}

/// All domains of a customer; others begin elsewhere.
pub(crate) async fn domains(Somebody { visit, person }: Somebody) -> Result<Response, Failure> {
    match person.caller.role {
        Role::Customer => menus::domain_list(&visit, &person).await,
        _ => arrive(&visit, &person).await,
    }
}

/// The page to sign in, with what a form wanted before.
pub(crate) async fn page(
    visit: &Visit,
    carried: &Carried,
    problem: Option<String>,
    status: StatusCode,
) -> Response {
    let problem = problem.map(|problem| html! { div.notice.bad role="alert" { p { (problem) } } });
    shown(visit, carried, &problem.unwrap_or_default(), status).await
}

/// The same, when something good was done.
pub(crate) async fn page_saying(
    visit: &Visit,
    carried: &Carried,
    said: &str,
    status: StatusCode,
) -> Response {
    shown(visit, carried, &html! { div.notice.good role="status" { p { (said) } } }, status).await
}

async fn shown(visit: &Visit, carried: &Carried, notice: &Markup, status: StatusCode) -> Response {
    let sending = Sending::at_host(visit).await;
    let title = visit.name("front-title", visit.host.as_str());
    let body = html! {
        p.lead { (visit.say("front-lead")) }
        div.front {
            section.card.sign-in aria-labelledby="sign-in" {
                h2 #sign-in { (visit.say("front-sign-in")) }
                @if visit.may_give_password() { (sign_in_form(visit, carried, notice)) }
                @else { p.notice.bad { (visit.say("failure-needs-tls-text")) } }
            }
            div {
                h2 { (visit.say("front-program")) }
                (mail_program::cards(visit, visit.host.as_str(), None))
                (mail_program::rule(visit, visit.host.as_str(), sending))
            }
        }
    };
    layout::page(&Frame::Visit(visit), Page { title, crumbs: Vec::new(), body, guide: None, status })
}

fn sign_in_form(visit: &Visit, carried: &Carried, notice: &Markup) -> Markup {
    // A form that is carried may have a `login`, too: somebody else's.
    let typed: String = match visit.address.split('?').next() {
        Some(SIGN_IN) => visit.form.get("login").chars().take(LOGIN_MAX_CHARS).collect(),
        _ => String::new(),
    };
    html! {
        (notice)
        form method="post" action=(SIGN_IN) {
            (carried.hidden())
            (Field::new("login", visit.say("front-login")).hint(visit.say("front-login-hint"))
                .value(typed).required().autocomplete("username").text())
            (Field::new("password", visit.say("front-password")).required().autocomplete("current-password").password())
            div.actions { button.primary type="submit" { (visit.say("front-sign-in")) } }
        }
        details.operator {
            summary { (visit.say("front-token-title")) }
            form method="post" action=(SIGN_IN) {
                (carried.hidden())
                (Field::new("token", visit.say("front-token")).hint(visit.say("front-token-hint")).required().password())
                div.actions { button type="submit" { (visit.say("front-token-sign-in")) } }
            }
        }
    }
}

/// Checks login and password, or a token, and opens a session.
pub(crate) async fn sign_in(Extension(visit): Extension<Arc<Visit>>) -> Result<Response, Failure> {
    if !visit.may_give_password() {
        return Err(Failure::NeedsTls);
    }
    let carried = Carried::read(&visit.form);
    let request = CreatePanelSessionRequest {
        login: visit.form.trimmed("login").to_owned(),
        password: visit.form.get("password").as_bytes().to_vec().into(),
        peer_ip: visit.peer.to_string(),
        token: visit.form.trimmed("token").to_owned(),
    };
    let opened = match session::open(&visit.panel, request).await {
        Ok(opened) => opened,
        Err(status) => {
            let (key, code) = match failure::typed_reason(&status) {
                Some(Reason::BadCredentials | Reason::CallerUnknown | Reason::InvalidArgument) => {
                    ("front-wrong", StatusCode::UNAUTHORIZED)
                }
                Some(Reason::AccountSuspended) => ("front-suspended", StatusCode::FORBIDDEN),
                Some(Reason::LoginThrottled | Reason::Overloaded) => {
                    ("front-throttled", StatusCode::TOO_MANY_REQUESTS)
                }
                _ => ("front-away", StatusCode::SERVICE_UNAVAILABLE),
            };
            return Ok(page(&visit, &carried, Some(visit.say(key)), code).await);
        }
    };
    if !opened.code_token.is_empty() {
        return Ok(code::asked(&visit, &carried, &opened.code_token));
    }
    opened_session(&visit, &carried, opened.token).await
}

/// The browser gets the new session.
pub(crate) async fn opened_session(
    visit: &Visit,
    carried: &Carried,
    token: String,
) -> Result<Response, Failure> {
    // One session for one browser: the one before ends.
    if let Some(before) = &visit.person {
        session::end(&visit.panel, &before.token).await?;
    }
    let token = SessionToken::new(token);
    let mut response = after_sign_in(visit, carried, &token).await?;
    let waiting = visit.waiting.as_ref().and_then(|_| Cookie::Waiting.clear(visit.secure));
    for cookie in Cookie::Session.set(token.reveal(), visit.secure).into_iter().chain(waiting) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

async fn after_sign_in(visit: &Visit, carried: &Carried, token: &SessionToken) -> Result<Response, Failure> {
    let person = session::person(&visit.panel, token.clone()).await?;
    let visit = Visit { person, ..visit.clone() };
    Ok(carry::after_sign_in(&visit, carried))
}

/// Ends the session, here and at auth.
pub(crate) async fn sign_out(Somebody { visit, person }: Somebody) -> Result<Response, Failure> {
    session::end(&visit.panel, &person.token).await?;
    let mut response = Redirect::to(FRONT).into_response();
    for cookie in [Cookie::Session, Cookie::Said] {
        if let Some(cookie) = cookie.clear(visit.secure) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    Ok(response)
}

/// Language and time zone.
pub(crate) async fn preferences(Extension(visit): Extension<Arc<Visit>>) -> Response {
    let languages = Language::ALL.map(|language| (language.tag(), language.own_name().to_owned()));
    let zone = layout::zone_name(&visit);
    // What the browser told may be none of the usual names.
    let other = Some(&zone).filter(|zone| !ZONES.contains(zone));
    let zones: Vec<_> =
        ZONES.iter().chain(other).map(|zone| (zone.as_str(), zone.replace('_', " "))).collect();
    let back = own_address(visit.query.get("back")).unwrap_or_else(|| FRONT.to_owned());
    let body = html! {
        form.card method="post" action=(PREFERENCES) {
            input type="hidden" name="back" value=(back);
            (Field::new("language", visit.say("preferences-language")).value(visit.texts().0.tag()).select(&languages))
            (Field::new("zone", visit.say("preferences-zone")).hint(visit.say("preferences-zone-hint"))
                .value(zone.as_str()).select(&zones))
            div.actions { button.primary type="submit" { (visit.say("preferences-save")) } }
        }
    };
    let title = visit.say("preferences-title");
    layout::page(
        &Frame::Visit(&visit),
        Page { title, crumbs: Vec::new(), body, guide: None, status: StatusCode::OK },
    )
}

/// Keeps the choices in the browser.
pub(crate) async fn prefer(Extension(visit): Extension<Arc<Visit>>) -> Response {
    let back = own_address(visit.form.get("back")).unwrap_or_else(|| FRONT.to_owned());
    let mut response = Redirect::to(&back).into_response();
    let language = Language::parse(visit.form.get("language")).map(|language| language.tag().to_owned());
    let zone = moment::zone(visit.form.get("zone"));
    let zone = zone.and_then(|zone| zone.iana_name().map(segment));
    let chosen = [(Cookie::Language, language), (Cookie::Zone, zone)];
    let cookies = chosen.into_iter().filter_map(|(cookie, value)| cookie.set(&value?, visit.secure));
    for cookie in cookies.collect::<Vec<HeaderValue>>() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_elsewhere() {
        for own in ["/controlpanel", "/controlpanel/a.test/forwards?page=x", "/controlpanel?to=x"] {
            assert_eq!(own_address(own).as_deref(), Some(own));
        }
        for foreign in [
            "",
            "/",
            "/controlpanels",
            "//controlpanel/",
            "/controlpanel//evil",
            "/controlpanel/\\evil",
            "https://evil.test/controlpanel",
            "/controlpanel/a\r\nSet-Cookie: x",
        ] {
            assert_eq!(own_address(foreign), None, "{foreign}");
        }
    }
}
