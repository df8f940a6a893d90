//! The second factor: begun by a secret that is shown once, on once a code of it has come back.

use axum::response::Response;
use maud::{Markup, html};
use postern_mesh::identity::Role;
use postern_proto::{
    account::v1::{
        BeginSecondFactorRequest, ConfirmSecondFactorRequest, DeleteSecondFactorRequest,
        GetSecondFactorRequest, SecondFactor,
    },
    auth::v1::EndPanelSessionsRequest,
};

use super::{has_password, show, shown};
use crate::{
    call::Failure,
    code,
    form::Problems,
    layout::{self, said::Said},
    once,
    place::{Somebody, segment},
    programs::qr,
    router::SECURITY,
    session::Person,
    visit::Visit,
};

/// As account names the field, and as the form does.
const NAMES: [(&str, &str); 1] = [("code", "code")];
/// In the query of the page of the recovery codes: the other sessions could not be ended.
const OTHERS_STAY: &str = "others-stay";

/// Whose it is: the customer for all of its logins.
fn login(person: &Person) -> String {
    match person.caller.role {
        Role::Customer => person.caller.customer.clone(),
        _ => person.caller.subject.clone(),
    }
}

/// Whether it is on, and what can be done about it; nothing for who showed a token.
pub(super) async fn card(visit: &Visit, person: &Person, problems: &Problems) -> Result<Markup, Failure> {
    if !has_password(person) {
        return Ok(html! {});
    }
    let request = GetSecondFactorRequest { login: login(person) };
    let answer = person.calls.second_factors().get_second_factor(request).await?.into_inner();
    let factor = answer.second_factor.unwrap_or_default();
    Ok(html! {
        section.card {
            h2 { (visit.say("factor-title")) }
            @match &factor.confirm_time {
                Some(_) => (on(visit, &factor, problems)),
                None => {
                    p { (visit.say("factor-off-text")) }
                    div.actions { (layout::button(visit, &path(""), &visit.say("factor-begin"), "primary", &[])) }
                }
            }
        }
    })
}

fn on(visit: &Visit, factor: &SecondFactor, problems: &Problems) -> Markup {
    let left = i64::from(factor.recovery_codes_left);
    html! {
        p {
            span.badge.good { (visit.say("factor-on")) } " "
            (visit.say("security-since")) " " (visit.reader.moment_or(factor.confirm_time.as_ref(), "–"))
        }
        p { (visit.reader.count("factor-codes-left", left)) }
        form method="post" action=(path("/remove")) {
            (layout::form_token(visit))
            (code::field(visit, problems, "code-hint"))
            div.actions { button.danger type="submit" { (visit.say("factor-remove")) } }
        }
    }
}

fn path(below: &str) -> String {
    format!("{SECURITY}/second-factor{below}")
}

/// Shows a new secret, for the authenticator.
pub(super) async fn begin(Somebody { visit, person }: Somebody) -> Result<Response, Failure> {
    if !visit.may_give_password() {
        return Err(Failure::NeedsTls);
    }
    let login = login(&person);
    let request = BeginSecondFactorRequest { login: login.clone() };
    let secret = person.calls.second_factors().begin_second_factor(request).await?.into_inner().secret;
    let host = visit.host.as_str();
    let address = format!(
        "otpauth://totp/{0}:{1}?secret={secret}&issuer={0}&algorithm=SHA1&digits=6&period=30",
        segment(host),
        segment(&login)
    );
    let grouped = secret.as_bytes().chunks(4).map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ");
    let body = html! {
        p.lead { (visit.say("factor-scan")) }
        section.card {
            (qr::code(&address, &visit.say("factor-qr")))
            dl.facts { dt { (visit.say("factor-secret")) } dd { (layout::copyable(&visit, &grouped)) } }
            (confirm_form(&visit, &Problems::none()))
        }
    };
    Ok(shown(&visit, visit.say("factor-begin"), body))
}

fn confirm_form(visit: &Visit, problems: &Problems) -> Markup {
    html! {
        form method="post" action=(path("/confirm")) {
            (layout::form_token(visit))
            (code::field(visit, problems, "factor-confirm-hint"))
            div.actions {
                button.primary type="submit" { (visit.say("factor-confirm")) }
                a.button href=(SECURITY) { (visit.say("form-cancel")) }
            }
        }
    }
}

/// Turns it on; every other session ends, since it was opened without a code.
pub(super) async fn confirm(Somebody { visit, person }: Somebody) -> Result<Response, Failure> {
    let code = visit.form.get("code").to_owned();
    let request = ConfirmSecondFactorRequest { login: login(&person), code };
    let codes = match person.calls.second_factors().confirm_second_factor(request).await {
        Ok(answer) => answer.into_inner().recovery_codes,
        Err(status) => {
            let problems = problems(&visit, status.into())?;
            let body = html! {
                p.lead { (visit.say("factor-again")) }
                (problems.summary(&visit.say("form-see-below")))
                section.card { (confirm_form(&visit, &problems)) }
            };
            return Ok(layout::refused(shown(&visit, visit.say("factor-begin"), body)));
        }
    };
    let except_session_id = person.token.session_id();
    let others = EndPanelSessionsRequest { except_session_id, ..EndPanelSessionsRequest::default() };
    // The codes are shown this once only, whatever becomes of the rest.
    let page = match person.calls.sessions().end_panel_sessions(others).await {
        Ok(_) => path("/codes"),
        Err(error) => {
            tracing::warn!(%error, "the other sessions of somebody with a new second factor were not ended");
            format!("{}?{OTHERS_STAY}=yes", path("/codes"))
        }
    };
    once::lead_to(&visit, &person, &page, &codes.join(" "))
}

/// The recovery codes, once.
pub(super) async fn codes(Somebody { visit, .. }: Somebody) -> Result<Response, Failure> {
    let Some(codes) = &visit.once else { return Err(Failure::Elsewhere(SECURITY.to_owned())) };
    let body = html! {
        @if visit.query.has(OTHERS_STAY) {
            div.notice.warn role="status" { p { (visit.say("factor-turned-on-others-stay")) } }
        } @else {
            div.notice.good role="status" { p { (visit.say("factor-turned-on")) } }
        }
        section.card {
            h2 { (visit.say("factor-codes-title")) }
            p { (visit.say("factor-codes-text")) }
            ul.codes { @for code in codes.split(' ') { li { code { (code) } } } }
            div.actions { a.button.primary href=(SECURITY) { (visit.say("factor-codes-kept")) } }
        }
    };
    Ok(shown(&visit, visit.say("factor-codes-title"), body))
}

/// Takes it away, by a code.
pub(super) async fn remove(somebody: Somebody) -> Result<Response, Failure> {
    let Somebody { visit, person } = &somebody;
    let code = visit.form.get("code").to_owned();
    let request = DeleteSecondFactorRequest { login: login(person), code };
    match person.calls.second_factors().delete_second_factor(request).await {
        Ok(_) => Ok(visit.done(SECURITY, &Said::new("factor-removed"))),
        Err(status) => show(&somebody, &problems(visit, status.into())?).await,
    }
}

fn problems(visit: &Visit, failure: Failure) -> Result<Problems, Failure> {
    let key = match &failure {
        Failure::Field { .. } => "code-wrong",
        Failure::TooBusy => "code-too-many",
        _ => return Problems::from_failure(visit, failure, &NAMES),
    };
    let mut problems = Problems::none();
    problems.at("code", visit.say(key));
    Ok(problems)
}
