//! Where a person is signed in, and the end of it.

use axum::response::Response;
use http::{StatusCode, header};
use maud::{Markup, html};
use postern_mesh::identity::Role;
use postern_proto::auth::v1::{EndPanelSessionsRequest, ListPanelSessionsRequest, PanelSession};

use crate::{
    call::Failure,
    carry::Carried,
    cookie::Cookie,
    front,
    layout::{button, said::Said},
    place::Somebody,
    router::SECURITY,
    session::Person,
    visit::Visit,
};

/// All sessions, this one marked.
pub(super) async fn card(visit: &Visit, person: &Person) -> Result<Markup, Failure> {
    let request = ListPanelSessionsRequest::default();
    let sessions = person.calls.sessions().list_panel_sessions(request).await?.into_inner().sessions;
    let own = person.token.session_id();
    // Support looks, and signs out of its own session as everybody.
    let may_end = person.caller.role != Role::Support;
    Ok(html! {
        section.card {
            h2 { (visit.say("security-sessions")) }
            ul.plain { @for session in &sessions { (row(visit, session, session.session_id == own, may_end)) } }
            @if may_end { div.actions {
                @if sessions.len() > 1 {
                    (button(visit, &format!("{SECURITY}/sessions/end"), &visit.say("security-end-others"), "", &[]))
                }
                (button(visit, &format!("{SECURITY}/sessions/end-all"), &visit.say("security-end-all"), "danger", &[]))
            } }
        }
    })
}

fn row(visit: &Visit, session: &PanelSession, own: bool, may_end: bool) -> Markup {
    let reader = &visit.reader;
    let unknown = visit.say("security-from-unknown");
    let from = if session.peer_ip.is_empty() { &unknown } else { &session.peer_ip };
    html! {
        li.row {
            span.stack {
                span { code { (from) } " " @if own { span.badge.good { (visit.say("security-this")) } } }
                small {
                    (session.login) " · " (visit.say("security-since")) " " (reader.moment_or(session.create_time.as_ref(), "–"))
                    " · " (visit.say("security-used")) " " (reader.moment_or(session.last_use_time.as_ref(), "–"))
                }
            }
            @if may_end && !own {
                (button(visit, &format!("{SECURITY}/sessions/end"), &visit.say("security-end"), "",
                    &[("session-id", &session.session_id)]))
            }
        }
    }
}

/// Ends one session, or without a name all but this one.
pub(super) async fn end(Somebody { visit, person }: Somebody) -> Result<Response, Failure> {
    let request = EndPanelSessionsRequest {
        session_id: visit.form.get("session-id").to_owned(),
        except_session_id: person.token.session_id(),
        ..EndPanelSessionsRequest::default()
    };
    person.calls.sessions().end_panel_sessions(request).await?;
    Ok(visit.done(SECURITY, &Said::new("security-ended")))
}

/// Ends all of them, this one too.
pub(super) async fn end_all(Somebody { visit, person }: Somebody) -> Result<Response, Failure> {
    person.calls.sessions().end_panel_sessions(EndPanelSessionsRequest::default()).await?;
    let gone = Visit { person: None, ..(*visit).clone() };
    let said = visit.say("security-ended-all");
    let mut response = front::page_saying(&gone, &Carried::default(), &said, StatusCode::OK).await;
    if let Some(cookie) = Cookie::Session.clear(visit.secure) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}
