//! The code of a second factor: asked for after the right password, in a page of its own. What waits for it is named by a
//! cookie, so that no page holds it.

use std::sync::Arc;

use axum::{
    Extension,
    response::{IntoResponse as _, Response},
};
use http::{StatusCode, header};
use maud::{Markup, html};
use postern_mail::Reason;
use postern_mesh::failure;
use postern_proto::auth::v1::ConfirmPanelSessionRequest;

use crate::{
    call::Failure,
    carry::Carried,
    cookie::Cookie,
    form::{Field, Problems},
    front,
    layout::{self, Frame, Page},
    router::{FRONT, SIGN_IN_CODE},
    session,
    visit::Visit,
};

/// The page that asks for it, after the password was right.
pub(crate) fn asked(visit: &Visit, carried: &Carried, waiting: &str) -> Response {
    let mut response = show(visit, carried, &Problems::none(), StatusCode::OK);
    if let Some(cookie) = Cookie::Waiting.set(waiting, visit.secure) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Checks it, and opens the session.
pub(crate) async fn confirm(Extension(visit): Extension<Arc<Visit>>) -> Result<Response, Failure> {
    if !visit.may_give_password() {
        return Err(Failure::NeedsTls);
    }
    let carried = Carried::read(&visit.form);
    let request = ConfirmPanelSessionRequest {
        code_token: visit.waiting.clone().unwrap_or_default(),
        code: visit.form.trimmed("code").to_owned(),
        peer_ip: visit.peer.to_string(),
    };
    match session::sessions(&visit.panel).confirm_panel_session(request).await {
        Ok(opened) => front::opened_session(&visit, &carried, opened.into_inner().token).await,
        Err(status) => Ok(refused(&visit, &carried, failure::typed_reason(&status)).await),
    }
}

async fn refused(visit: &Visit, carried: &Carried, reason: Option<Reason>) -> Response {
    let again = |key: &str, status: StatusCode| {
        let mut problems = Problems::none();
        problems.at("code", visit.say(key));
        show(visit, carried, &problems, status)
    };
    match reason {
        Some(Reason::BadCredentials) => again("code-wrong", StatusCode::UNAUTHORIZED),
        Some(Reason::LoginThrottled) => again("code-too-many", StatusCode::TOO_MANY_REQUESTS),
        Some(Reason::CallerUnknown) => {
            front::page(visit, carried, Some(visit.say("code-waited")), StatusCode::UNAUTHORIZED).await
        }
        _ => again("front-away", StatusCode::SERVICE_UNAVAILABLE),
    }
}

/// The field for a code, with the keyboard of digits on telephones.
pub(crate) fn field(visit: &Visit, problems: &Problems, hint: &str) -> Markup {
    Field::new("code", visit.say("code-field"))
        .hint(visit.say(hint))
        .problem(problems)
        .required()
        .autocomplete("one-time-code")
        .text()
}

fn show(visit: &Visit, carried: &Carried, problems: &Problems, status: StatusCode) -> Response {
    let body = html! {
        p.lead { (visit.say("code-lead")) }
        form.card.narrow method="post" action=(SIGN_IN_CODE) {
            (carried.hidden())
            (field(visit, problems, "code-hint"))
            div.actions {
                button.primary type="submit" { (visit.say("front-sign-in")) }
                a.button href=(FRONT) { (visit.say("form-cancel")) }
            }
        }
    };
    let page = Page { title: visit.say("code-title"), crumbs: Vec::new(), body, guide: None, status };
    layout::page(&Frame::Visit(visit), page).into_response()
}
