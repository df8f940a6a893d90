//! What can be done about a trouble from here: one button for each, and the page is asked anew after it.

use axum::response::Response;
use maud::{Markup, html};
use postern_mesh::identity::Role;
use postern_proto::{
    account::v1::{
        ActivityState, Customer, Mailbox, SetMailboxPasswordRequest, UpdateCustomerRequest,
        UpdateMailboxRequest,
    },
    auth::v1::{Explanation, Verdict},
    delivery::v1::ReleaseLockRequest,
    google::FieldMask,
};

use super::{
    MENU, NAMES,
    explained::decided_by,
    is_suspended, mailbox,
    question::{Heading, Question},
    show,
};
use crate::{
    call::Failure,
    form::{self, Form, Problems},
    layout::{self, said::Said},
    menus::{domain, pop_accounts, set_up},
    new_password,
    place::Place,
    router::OWN_PASSWORD,
};

/// The button, or the small form, that mends what the explanation found; nothing where nobody can mend it from here.
pub(super) fn card(
    place: &Place,
    question: &Question,
    explanation: &Explanation,
    mailbox: Option<&Mailbox>,
    problems: &Problems,
) -> Markup {
    let deed = match (decided_by(explanation), mailbox) {
        ("lock-free", Some(_)) => button(place, question, "release", "pop-release"),
        ("may-try-now", Some(mailbox)) => new_password(place, question, mailbox, problems),
        ("", Some(mailbox)) if question.heading == Heading::Login => {
            new_password(place, question, mailbox, problems)
        }
        ("", _) if question.heading == Heading::Host && !explanation.next_step.is_empty() => html! {
            p { (place.say("trouble-mend-records")) }
            (link(format!("{}#dns", place.path(&domain::MENU, &[])), &place.say(domain::MENU.title)))
        },
        ("login-known", None) => new_box(place, &question.mailbox, problems),
        ("not-suspended", Some(_)) if place.person.caller.role == Role::Operator => {
            button(place, question, "resume", "trouble-mend-resume")
        }
        ("recipient-place", _) => recipient(place, question, explanation),
        ("may-relay" | "own-address" | "grants-allowed" | "client-seen", _) => {
            let below = ["box", question.mailbox.as_str()];
            let below: &[&str] = if mailbox.is_some() { &below } else { &[] };
            link(place.path(&set_up::MENU, below), &place.say("trouble-mend-set-up"))
        }
        (name, _) if name.starts_with("domain-") || name.starts_with("dns-") => verify(place),
        _ if question.heading == Heading::Host && explanation.verdict() != Verdict::Works => verify(place),
        _ => return html! {},
    };
    html! { section.card.mend { h2 { (place.say("trouble-mend")) } (deed) } }
}

fn link(address: String, text: &str) -> Markup {
    html! { div.actions { a.button.primary href=(address) { (text) } } }
}

fn button(place: &Place, question: &Question, deed: &str, text: &str) -> Markup {
    let address = place.path(&MENU, &["mend", deed]);
    html! {
        div.actions { (layout::button(&place.visit, &address, &place.say(text), "primary", &question.fields())) }
    }
}

/// DNS is asked now, and the page that answers shows each record that is missing.
fn verify(place: &Place) -> Markup {
    if place.person.is_mailbox_user() {
        return html! { p { (place.say("trouble-mend-owner")) } };
    }
    let address = place.path(&domain::MENU, &["verify"]);
    html! { div.actions { (layout::button(&place.visit, &address, &place.say("domain-verify"), "primary", &[])) } }
}

fn new_password(place: &Place, question: &Question, mailbox: &Mailbox, problems: &Problems) -> Markup {
    if mailbox.default_box {
        // The default box has the password of its customer.
        return if place.person.caller.role == Role::Customer {
            link(OWN_PASSWORD.to_owned(), &place.say("password-title"))
        } else {
            html! { p { (place.say("trouble-mend-default-box")) } }
        };
    }
    if !place.may("account.v1.MailboxService/SetMailboxPassword") {
        return html! { p { (place.say("layout-looks-only")) } };
    }
    html! {
        form method="post" action=(place.path(&MENU, &["mend", "password"])) {
            (layout::form_token(&place.visit))
            @for (name, value) in question.fields() { input type="hidden" name=(name) value=(value); }
            (new_password::fields(&place.visit, problems))
            div.actions { button.primary type="submit" { (place.say("pop-set-password")) } }
        }
    }
}

/// The box that somebody thought there was.
fn new_box(place: &Place, login: &str, problems: &Problems) -> Markup {
    let may_make = place.may("account.v1.MailboxService/CreateMailbox");
    let local = login.strip_suffix(&format!("@{}", place.name())).filter(|_| may_make);
    let Some(local) = local else {
        return html! { p { (place.say("trouble-mend-login")) } };
    };
    html! {
        p { (place.visit.name("trouble-mend-new-box", login)) }
        form method="post" action=(place.path(&pop_accounts::MENU, &["new"])) {
            (layout::form_token(&place.visit))
            (form::request_id(&Form::default()))
            input type="hidden" name="local" value=(local);
            input type="hidden" name="quota-kind" value="plan";
            (new_password::fields(&place.visit, problems))
            div.actions { button.primary type="submit" { (place.say("pop-create")) } }
        }
    }
}

/// The recipient is one of ours: its box is full, or there is none.
fn recipient(place: &Place, question: &Question, explanation: &Explanation) -> Markup {
    let own = question.recipient.ends_with(&format!("@{}", place.name())) && !place.person.is_mailbox_user();
    let full = explanation.wire_answers.iter().any(|answer| answer.answer.starts_with("452"));
    if !own {
        return html! { p { (place.say("trouble-mend-recipient")) } };
    }
    if full {
        let address = place.path(&pop_accounts::MENU, &["box", &question.recipient]);
        return link(address, &place.say("trouble-mend-full"));
    }
    new_box(place, &question.recipient, &Problems::none())
}

/// What every mending begins with: the question that it came from, and the box that it is about.
async fn begun(place: &Place) -> Result<(Question, Mailbox), Failure> {
    let form = &place.visit.form;
    let heading = Heading::named(form.get("heading")).ok_or(Failure::BadForm)?;
    let question = Question::read(heading, form, place);
    let mailbox = mailbox(place, &question.mailbox).await?.ok_or(Failure::NotFound)?;
    Ok((question, mailbox))
}

pub(super) async fn release(place: Place) -> Result<Response, Failure> {
    let (question, mailbox) = begun(&place).await?;
    let request = ReleaseLockRequest { mailbox_id: mailbox.mailbox_id };
    match place.calls().locks().release_lock(request).await.map_err(Failure::from) {
        // Whoever had it has gone meanwhile: it is as was wanted.
        Ok(_) | Err(Failure::NotFound) => {
            let said = Said::new("pop-released").with("name", &mailbox.login);
            Ok(place.visit.done(&question.path(&place), &said))
        }
        Err(failure) => Err(failure),
    }
}

pub(super) async fn password(place: Place) -> Result<Response, Failure> {
    let (question, mailbox) = begun(&place).await?;
    let mut problems = Problems::none();
    let password = Some(new_password::typed(&place.visit, &mut problems).await?);
    if !problems.is_none() {
        return show(&place, &question, true, problems).await;
    }
    let visit = &place.visit;
    let request = SetMailboxPasswordRequest { address: mailbox.login.clone(), password };
    match place.calls().mailboxes().set_mailbox_password(request).await {
        Ok(_) => {
            let said = Said::new("pop-password-changed").with("name", &mailbox.login);
            Ok(new_password::done(visit, || visit.done(&question.path(&place), &said)).await)
        }
        Err(status) => {
            let problems = Problems::from_failure(&place.visit, status.into(), &NAMES)?;
            show(&place, &question, true, problems).await
        }
    }
}

/// Operators only, as account decides: ends the suspension that stands in the way, of the box or of the whole customer.
pub(super) async fn resume(place: Place) -> Result<Response, Failure> {
    let (question, mailbox) = begun(&place).await?;
    let update_mask = Some(FieldMask { paths: vec!["state".to_owned()] });
    let state = ActivityState::Active.into();
    let name = if is_suspended(&mailbox) {
        let changed = Mailbox { address: mailbox.login.clone(), state, ..Mailbox::default() };
        let request = UpdateMailboxRequest { mailbox: Some(changed), update_mask };
        place.calls().mailboxes().update_mailbox(request).await?;
        mailbox.login
    } else {
        let login = place.domain.customer.clone();
        let customer = Some(Customer { login: login.clone(), state, ..Customer::default() });
        place.calls().customers().update_customer(UpdateCustomerRequest { customer, update_mask }).await?;
        login
    };
    let said = Said::new("trouble-resumed").with("name", &name);
    Ok(place.visit.done(&question.path(&place), &said))
}
