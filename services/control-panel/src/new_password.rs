//! A new password, typed twice: the fields of any form that sets one, and what was typed there. Whoever changes the own one gives the
//! old one, too, so that a browser left alone gives nothing away.

use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};
use postern_mail::Reason;
use postern_mesh::failure;
use postern_proto::{
    account::v1::{NewPassword, new_password::Secret},
    auth::v1::CreatePanelSessionRequest,
};

use crate::{
    call::Failure,
    carry::Carried,
    form::{Field, Problems},
    front,
    session::{self, SessionToken},
    visit::Visit,
};

const CURRENT: &str = "current-password";
const PASSWORD: &str = "password";
const AGAIN: &str = "password-again";

/// The fields. The user of one mailbox has no password to set but the own one.
pub(crate) fn fields(visit: &Visit, problems: &Problems) -> Markup {
    html! {
        @if own_login(visit).is_some() { (current(visit, problems)) }
        (Field::new(PASSWORD, visit.say("pop-field-password")).hint(visit.say("pop-field-password-hint"))
            .problem(problems).required().autocomplete("new-password").password())
        (Field::new(AGAIN, visit.say("pop-field-password-again")).problem(problems).required()
            .autocomplete("new-password").password())
    }
}

/// The field for the old one.
pub(crate) fn current(visit: &Visit, problems: &Problems) -> Markup {
    Field::new(CURRENT, visit.say("password-current"))
        .problem(problems)
        .required()
        .autocomplete("current-password")
        .password()
}

/// What the form of this visit asks for; that it was typed in two ways, or with a wrong old one, is a problem.
///
/// # Errors
/// When auth does not say whether the old one is right, or hears too many.
pub(crate) async fn typed(visit: &Visit, problems: &mut Problems) -> Result<NewPassword, Failure> {
    let password = visit.form.get(PASSWORD);
    if password != visit.form.get(AGAIN) {
        problems.at(AGAIN, visit.say("pop-password-differs"));
    } else if let Some(login) = own_login(visit) {
        check_current(visit, login, problems).await?;
    }
    Ok(NewPassword { secret: Some(Secret::Plain(password.to_owned())) })
}

/// The page after a change: every session of the old password has ended with it, that of the own one, too.
pub(crate) async fn done(visit: &Visit, otherwise: impl FnOnce() -> Response) -> Response {
    if own_login(visit).is_some() { signed_out(visit).await } else { otherwise() }
}

/// The page to sign in with the new one.
pub(crate) async fn signed_out(visit: &Visit) -> Response {
    let gone = Visit { person: None, ..visit.clone() };
    front::page_saying(&gone, &Carried::default(), &visit.say("password-changed"), StatusCode::OK).await
}

/// That the old password is wrong is a problem of its field. Auth is asked as at any sign-in, so that guessing is throttled as
/// there; the session that this opens is ended at once.
///
/// # Errors
/// When auth does not say whether it is right.
pub(crate) async fn check_current(
    visit: &Visit,
    login: &str,
    problems: &mut Problems,
) -> Result<(), Failure> {
    if visit.form.get(CURRENT).is_empty() {
        // Such as after the end of a session, over which no password is carried.
        problems.at(CURRENT, visit.say("password-current-missing"));
        return Ok(());
    }
    let request = CreatePanelSessionRequest {
        login: login.to_owned(),
        password: visit.form.get(CURRENT).as_bytes().to_vec().into(),
        peer_ip: visit.peer.to_string(),
        ..CreatePanelSessionRequest::default()
    };
    match session::open(&visit.panel, request).await {
        // Where a second factor is on no session is opened yet, and its code is not what is asked here.
        Ok(opened) if opened.token.is_empty() => Ok(()),
        Ok(opened) => session::end(&visit.panel, &SessionToken::new(opened.token)).await,
        Err(status) if status.code() == tonic::Code::Unauthenticated => {
            problems.at(CURRENT, visit.say("password-current-wrong"));
            Ok(())
        }
        // Also those of a mail program that still tries the old one.
        Err(status) if failure::typed_reason(&status) == Some(Reason::LoginThrottled) => {
            problems.at(CURRENT, visit.say("password-current-later"));
            Ok(())
        }
        Err(status) => Err(status.into()),
    }
}

/// Login of the user of one mailbox.
fn own_login(visit: &Visit) -> Option<&str> {
    visit.person.as_ref().filter(|person| person.is_mailbox_user()).map(|person| &*person.caller.subject)
}
