//! Security: where the person is signed in, the second factor, and the way to the own password.

mod second_factor;
mod sessions;

use std::sync::Arc;

use axum::{
    Router,
    response::Response,
    routing::{get, post},
};
use http::StatusCode;
use maud::{Markup, html};
use postern_mesh::identity::{Role, Scopes};

use crate::{
    Panel,
    call::Failure,
    form::Problems,
    layout::{self, Frame, Page},
    menus,
    place::Somebody,
    router::{FRONT, OWN_PASSWORD, SECURITY},
    session::Person,
    visit::Visit,
};

pub(crate) fn routes() -> Router<Arc<Panel>> {
    let at = |below: &str| format!("{SECURITY}/{below}");
    Router::new()
        .route(SECURITY, get(page))
        .route(&at("sessions/end"), post(sessions::end))
        .route(&at("sessions/end-all"), post(sessions::end_all))
        .route(&at("second-factor"), post(second_factor::begin))
        .route(&at("second-factor/confirm"), post(second_factor::confirm))
        .route(&at("second-factor/codes"), get(second_factor::codes))
        .route(&at("second-factor/remove"), post(second_factor::remove))
}

async fn page(somebody: Somebody) -> Result<Response, Failure> {
    show(&somebody, &Problems::none()).await
}

/// The page, also after a form that was not taken.
async fn show(somebody: &Somebody, problems: &Problems) -> Result<Response, Failure> {
    let Somebody { visit, person } = somebody;
    let sessions = sessions::card(visit, person).await?;
    let factor = second_factor::card(visit, person, problems).await?;
    let body = html! {
        p.lead { (visit.say("security-lead")) }
        (problems.summary(&visit.say("form-see-below")))
        (sessions)
        (factor)
        (password(visit, person))
    };
    let response = shown(visit, visit.say("security-title"), body);
    Ok(if problems.is_none() { response } else { layout::refused(response) })
}

/// A page of this part, with its guide.
fn shown(visit: &Visit, title: String, body: Markup) -> Response {
    let security = visit.say("security-title");
    let mut crumbs = vec![(visit.say("home-title"), FRONT.to_owned())];
    if title != security {
        crumbs.push((security, SECURITY.to_owned()));
    }
    let guide = Some(guide(visit));
    layout::page(&Frame::Visit(visit), Page { title, crumbs, body, guide, status: StatusCode::OK })
}

/// The way to change the own password; a token has none.
fn password(visit: &Visit, person: &Person) -> Markup {
    let to = match person.caller.role {
        Role::Customer if has_password(person) => OWN_PASSWORD.to_owned(),
        Role::Mailbox => menus::own_box(&person.caller.subject),
        _ => return html! {},
    };
    html! {
        section.card {
            h2 { (visit.say("security-password")) }
            p { (visit.say("security-password-text")) }
            div.actions { a.button href=(to) { (visit.say("security-password-change")) } }
        }
    }
}

/// False for who showed a token.
fn has_password(person: &Person) -> bool {
    !person.is_staff() && person.caller.scopes == Scopes::unbound()
}

fn guide(visit: &Visit) -> Markup {
    html! {
        p { (visit.name("security-guide", visit.host.as_str())) }
        dl {
            dt { (visit.say("security-sessions")) } dd { (visit.say("security-guide-sessions")) }
            dt { (visit.say("factor-title")) } dd { (visit.say("security-guide-factor")) }
            dt { (visit.say("factor-codes-title")) } dd { (visit.say("security-guide-codes")) }
            dt { (visit.say("app-title")) } dd { (visit.say("security-guide-app")) }
        }
    }
}
