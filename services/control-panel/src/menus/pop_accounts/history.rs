//! When the box was logged in to last, why the last attempt failed, and the second factor of its user.

use axum::response::Response;
use maud::{Markup, html};
use postern_proto::{
    account::v1::DeleteSecondFactorRequest,
    auth::v1::{GetLoginHistoryResponse, LastFailure, LastLogin, LoginFailure, Protocol},
};

use super::{
    account::{self, Known},
    box_path,
};
use crate::{
    call::Failure,
    layout::{button, said::Said},
    place::Place,
};

/// Where somebody comes in, and the key of its name.
const PROTOCOLS: [(Protocol, &str); 3] =
    [(Protocol::Pop3, "login-pop3"), (Protocol::Smtp, "login-smtp"), (Protocol::Panel, "login-panel")];
/// Why a login failed.
const WHYS: [(LoginFailure, &str); 6] = [
    (LoginFailure::Password, "login-why-password"),
    (LoginFailure::Suspended, "login-why-suspended"),
    (LoginFailure::DomainNotLive, "login-why-domain"),
    (LoginFailure::Throttled, "login-why-throttled"),
    (LoginFailure::ClearText, "login-why-clear-text"),
    (LoginFailure::Code, "login-why-code"),
];

/// What is known of its logins.
pub(super) fn card(place: &Place, known: &Known) -> Markup {
    html! {
        section.card {
            h2 { (place.say("login-title")) }
            @match &known.history {
                Some(history) => (facts(place, history)),
                None => p { (place.say("pop-unknown-now")) },
            }
            @if known.second_factor && !place.person.is_mailbox_user() { (factor(place, &known.mailbox.login)) }
            div.actions {
                a.button href={ (box_path(place, &known.mailbox.login)) "/app-passwords" } { (place.say("app-title")) }
            }
        }
    }
}

fn facts(place: &Place, history: &GetLoginHistoryResponse) -> Markup {
    html! {
        @if history.good.is_empty() && history.failed.is_none() { p { (place.say("login-none")) } }
        dl.facts {
            @for login in &history.good { (good(place, login)) }
            @if let Some(failed) = &history.failed { (failure(place, failed)) }
        }
    }
}

fn good(place: &Place, login: &LastLogin) -> Markup {
    html! {
        dt { (protocol(place, login.protocol())) }
        dd { (place.visit.reader.moment_or(login.time.as_ref(), "–")) ", " code { (login.peer_ip) } }
    }
}

fn failure(place: &Place, failed: &LastFailure) -> Markup {
    let why = WHYS.iter().find(|(why, _)| *why == failed.why()).map_or("login-why-password", |(_, key)| key);
    html! {
        dt { (place.say("login-failed")) }
        dd {
            (place.visit.reader.moment_or(failed.time.as_ref(), "–")) ", " (protocol(place, failed.protocol())) ", "
            code { (failed.peer_ip) } br; (place.say(why))
        }
    }
}

fn protocol(place: &Place, protocol: Protocol) -> String {
    let known = PROTOCOLS.iter().find(|(known, _)| *known == protocol);
    known.map_or_else(String::new, |(_, key)| place.say(key))
}

fn factor(place: &Place, login: &str) -> Markup {
    html! {
        p { span.badge.good { (place.say("factor-on")) } " " (place.say("factor-of-user")) }
        @if place.may("account.v1.SecondFactorService/DeleteSecondFactor") {
            div.actions {
                (button(&place.visit, &format!("{}/second-factor", box_path(place, login)), &place.say("factor-reset"), "", &[]))
            }
        }
    }
}

/// Takes the second factor of its user away, who lost it.
pub(super) async fn reset(place: Place) -> Result<Response, Failure> {
    let mailbox = account::mailbox(&place).await?;
    let request = DeleteSecondFactorRequest { login: mailbox.login.clone(), ..Default::default() };
    place.calls().second_factors().delete_second_factor(request).await?;
    let said = Said::new("factor-reset-said").with("name", &mailbox.login);
    Ok(place.visit.done(&box_path(&place, &mailbox.login), &said))
}
