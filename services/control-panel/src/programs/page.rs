//! The page with everything that a mail program needs, also for whoever is not signed in: a phone that read the code.

use std::sync::Arc;

use axum::{extract::Extension, response::Response};
use http::StatusCode;
use maud::{Markup, html};

use super::{Account, apple_path, qr, set_up_address};
use crate::{
    call::Failure,
    layout::{self, Frame, Page},
    mail_program,
    visit::Visit,
};

pub(crate) async fn public(Extension(visit): Extension<Arc<Visit>>) -> Result<Response, Failure> {
    let typed = visit.query.get("emailaddress");
    let account = Account::find(&visit.panel, &visit.host, typed).await?;
    let login = account.address.as_ref().map(ToString::to_string);
    let domain = account.domain.to_string();
    let body = html! {
        p.lead { (visit.name("setup-lead", &domain)) }
        @if let Some(login) = &login { (by_itself(&visit, login)) }
        section {
            h2 { (visit.say("front-program")) }
            (mail_program::cards(&visit, &domain, login.as_deref()))
        }
        (mail_program::rule(&visit, &domain, account.sending))
    };
    let title = visit.name("setup-heading", login.as_deref().unwrap_or(&domain));
    let page = Page { title, crumbs: Vec::new(), body, guide: None, status: StatusCode::OK };
    Ok(layout::page(&Frame::Visit(&visit), page))
}

/// Programs that set themselves up.
pub(crate) fn by_itself(visit: &Visit, login: &str) -> Markup {
    html! {
        div.cards {
            section.card {
                h2 { "Thunderbird, Outlook" }
                p { (visit.name("setup-by-itself", login)) }
            }
            section.card {
                h2 { "iPhone, iPad, Mac" }
                p { (visit.say("setup-apple")) }
                div.actions { a.button.primary href=(apple_path(login)) { (visit.say("setup-apple-profile")) } }
            }
        }
    }
}

/// The code that leads a phone to the page above.
pub(crate) fn for_phone(visit: &Visit, domain: &str, login: &str) -> Markup {
    let address = set_up_address(visit, domain, login);
    html! {
        section.card {
            h2 { (visit.say("setup-phone")) }
            p { (visit.say("setup-phone-text")) }
            (qr::code(&address, &visit.name("setup-phone-code", login)))
            p { a href=(address) { (address) } }
        }
    }
}
