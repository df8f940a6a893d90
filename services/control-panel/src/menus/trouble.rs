//! Trouble?: the four things that mail users complain of. Each is asked of the code that decides it, run dry, and the page says
//! what a mail program hears, why, and mends it where that can be done from here.

mod explained;
mod mend;
mod question;

use std::sync::Arc;

use axum::{
    Router,
    response::Response,
    routing::{get, post},
};
use maud::{Markup, html};
use postern_proto::account::v1::{ActivityState, GetMailboxRequest, Mailbox};

use self::question::{Heading, Question};
use super::Menu;
use crate::{
    Panel,
    call::{Failure, found},
    form::{Form, Problems},
    layout,
    mail_program::Sending,
    place::Place,
};

pub(crate) static MENU: Menu =
    Menu { name: "trouble", title: "trouble-title", icon: "trouble", guide, for_mailbox_users: true };

/// As auth names the fields of its questions, and as the forms do.
const NAMES: [(&str, &str); 6] = [
    ("login", "mailbox"),
    ("sender", "mailbox"),
    ("recipient", "recipient"),
    ("peer_ip", "client"),
    ("password", "password"),
    ("name", "mailbox"),
];

pub(super) fn routes() -> Router<Arc<Panel>> {
    Router::new()
        .route("/controlpanel/{domain}/trouble", get(page))
        .route("/controlpanel/{domain}/trouble/{heading}", get(asked).post(asked))
        .route("/controlpanel/{domain}/trouble/mend/release", post(mend::release))
        .route("/controlpanel/{domain}/trouble/mend/password", post(mend::password))
        .route("/controlpanel/{domain}/trouble/mend/resume", post(mend::resume))
}

async fn page(place: Place) -> Result<Response, Failure> {
    let body = html! {
        p.lead { (place.say("trouble-lead")) }
        ul.tiles {
            @for heading in Heading::ALL {
                li { (tile(&place, heading)) }
            }
        }
    };
    Ok(place.page(&MENU, place.say(MENU.title), body))
}

/// The way to one heading: where there is nothing to choose first, it is asked at once.
fn tile(place: &Place, heading: Heading) -> Markup {
    let address = place.path(&MENU, &[heading.name()]);
    let words = html! {
        (layout::icon("trouble")) strong { (place.say(heading.title())) } small { (place.say(heading.lead())) }
    };
    if place.person.is_mailbox_user() {
        let question = Question::read(heading, &Form::default(), place);
        return html! { a.card href=(question.path(place)) { (words) } };
    }
    html! {
        @if heading == Heading::Host {
            form method="post" action=(address) {
                (layout::form_token(&place.visit))
                button.card type="submit" { (words) }
            }
        } @else {
            a.card href=(address) { (words) }
        }
    }
}

/// One heading: its form, and the answer once it is asked. What DNS says is asked by POST only, since a domain may come into
/// service by it.
async fn asked(place: Place) -> Result<Response, Failure> {
    let none = || Failure::Elsewhere(place.path(&MENU, &[]));
    let heading = Heading::named(place.param("heading")).ok_or_else(none)?;
    let by_form = !place.visit.form.fields().is_empty();
    let form = if by_form { &place.visit.form } else { &place.visit.query };
    let asks = if heading == Heading::Host && !place.person.is_mailbox_user() {
        by_form
    } else {
        form.has("mailbox")
    };
    let question = Question::read(heading, form, &place);
    show(&place, &question, asks, Problems::none()).await
}

/// The page of a heading, asked anew: so it shows at once what a mending did.
async fn show(
    place: &Place,
    question: &Question,
    asks: bool,
    mut problems: Problems,
) -> Result<Response, Failure> {
    let boxes = question::boxes(place).await?;
    let refused = !problems.is_none();
    let mut answer = None;
    if asks {
        match question.ask(place).await {
            Ok(explanation) => answer = Some(explanation),
            Err(failure) => problems = Problems::from_failure(&place.visit, failure, &NAMES)?,
        }
    }
    let mailbox = if answer.is_some() { mailbox(place, &question.mailbox).await? } else { None };
    let body = html! {
        p.lead { (place.say(question.heading.lead())) }
        (problems.summary(&place.say("form-see-below")))
        @if let Some(explanation) = &answer {
            (explained::shown(place, question, explanation))
            (mend::card(place, question, explanation, mailbox.as_ref(), &problems))
        }
        (question::form(place, question, boxes.as_deref(), &problems))
    };
    let title = place.say(question.heading.title());
    let response = place.page_below(&MENU, Vec::new(), title, body);
    Ok(if refused || (asks && answer.is_none()) { layout::refused(response) } else { response })
}

/// The box of this login, if it is one of this domain that the person may see.
async fn mailbox(place: &Place, login: &str) -> Result<Option<Mailbox>, Failure> {
    let request = GetMailboxRequest { address: login.to_owned() };
    let answer = match found(place.calls().mailboxes().get_mailbox(request).await) {
        Err(Failure::Field { .. } | Failure::NotPermitted) => None,
        other => other?,
    };
    Ok(answer.and_then(|answer| answer.mailbox).filter(|mailbox| mailbox.domain == place.name()))
}

/// True when the box itself is suspended, not the whole customer.
fn is_suspended(mailbox: &Mailbox) -> bool {
    mailbox.state() == ActivityState::Suspended
}

fn guide(place: &Place) -> Markup {
    let visit = &place.visit;
    let host = format!("mail.{}", place.name());
    html! {
        p { (visit.name("trouble-guide", place.name())) }
        dl {
            dt { (place.say("trouble-send")) }
            dd { (Sending::at(place).told(visit, "trouble-guide-send", &host)) }
            dt { (place.say("trouble-lock")) } dd { (place.say("trouble-guide-lock")) }
            dt { (place.say("trouble-login")) } dd { (visit.name("trouble-guide-login", place.name())) }
            dt { (place.say("trouble-host")) } dd { (visit.name("trouble-guide-host", &host)) }
        }
    }
}
