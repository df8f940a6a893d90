//! App passwords of a box: one for each mail program, for fetching or for sending, shown once.

use axum::response::Response;
use maud::{Markup, html};
use postern_proto::{
    account::v1::{
        AppPassword, AppProtocol, CreateAppPasswordRequest, DeleteAppPasswordRequest,
        ListAppPasswordsRequest, Mailbox,
    },
    auth::v1::{AppPasswordUse, GetLoginHistoryRequest},
};

use super::{MENU, account, box_path};
use crate::{
    call::Failure,
    form::{Field, Form, Problems},
    layout::{self, button, said::Said},
    once,
    place::Place,
};

/// As account names the fields, and as the form does.
const NAMES: [(&str, &str); 1] = [("display_name", "name")];
/// What one opens, as the form has it.
const PROTOCOLS: [(&str, AppProtocol, &str); 2] =
    [("pop3", AppProtocol::Pop3, "login-pop3"), ("smtp", AppProtocol::Smtp, "login-smtp")];

pub(super) async fn page(place: Place) -> Result<Response, Failure> {
    let mailbox = account::mailbox(&place).await?;
    show(&place, &mailbox, &Form::default(), &Problems::none()).await
}

/// Makes one, and leads to the page that shows it once.
pub(super) async fn create(place: Place) -> Result<Response, Failure> {
    let mailbox = account::mailbox(&place).await?;
    if !place.visit.may_give_password() {
        return Err(Failure::NeedsTls);
    }
    let form = &place.visit.form;
    let protocol = PROTOCOLS.iter().find(|(name, ..)| *name == form.get("protocol"));
    let request = CreateAppPasswordRequest {
        mailbox: mailbox.login.clone(),
        protocol: protocol.map_or(AppProtocol::Unspecified, |(_, protocol, _)| *protocol).into(),
        display_name: form.trimmed("name").to_owned(),
    };
    match place.calls().app_passwords().create_app_password(request).await {
        Ok(made) => {
            let secret = made.into_inner().secret;
            once::lead_to(&place.visit, &place.person, &path(&place, &mailbox, ""), &secret)
        }
        Err(status) => {
            let problems = Problems::from_failure(&place.visit, status.into(), &NAMES)?;
            Ok(layout::refused(show(&place, &mailbox, form, &problems).await?))
        }
    }
}

pub(super) async fn remove(place: Place) -> Result<Response, Failure> {
    let mailbox = account::mailbox(&place).await?;
    let app_password_id = place.visit.form.get("id").parse().map_err(|_| Failure::BadForm)?;
    let request = DeleteAppPasswordRequest { mailbox: mailbox.login.clone(), app_password_id };
    place.calls().app_passwords().delete_app_password(request).await?;
    let said = Said::new("app-removed").with("name", place.visit.form.get("name"));
    Ok(place.visit.done(&path(&place, &mailbox, ""), &said))
}

fn path(place: &Place, mailbox: &Mailbox, below: &str) -> String {
    format!("{}/app-passwords{below}", box_path(place, &mailbox.login))
}

async fn show(
    place: &Place,
    mailbox: &Mailbox,
    typed: &Form,
    problems: &Problems,
) -> Result<Response, Failure> {
    let (mut passwords, mut logins) = (place.calls().app_passwords(), place.calls().logins());
    let (all, history) = tokio::join!(
        passwords.list_app_passwords(ListAppPasswordsRequest { mailbox: mailbox.login.clone() }),
        logins.get_login_history(GetLoginHistoryRequest { login: mailbox.login.clone() }),
    );
    let all = all?.into_inner().app_passwords;
    // While auth is away the list stands without them.
    let uses = history.map(|answer| answer.into_inner().app_passwords).unwrap_or_default();
    let body = html! {
        p.lead { (place.visit.name("app-lead", &mailbox.login)) }
        (problems.summary(&place.say("form-see-below")))
        @if let Some(secret) = &place.visit.once { (new(place, mailbox, secret)) }
        @if all.is_empty() {
            (layout::empty(&place.say("app-empty"), &place.say("app-empty-text"), None))
        } @else {
            (table(place, mailbox, &all, &uses))
        }
        (place.only_with("account.v1.AppPasswordService/CreateAppPassword", &form(place, mailbox, typed, problems)))
    };
    let crumbs = vec![(mailbox.login.clone(), box_path(place, &mailbox.login))];
    Ok(place.page_below(&MENU, crumbs, place.say("app-title"), body))
}

fn new(place: &Place, mailbox: &Mailbox, secret: &str) -> Markup {
    html! {
        section.card role="status" {
            h2 { (place.say("app-made")) }
            dl.facts {
                dt { (place.say("pop-column-login")) } dd { (layout::copyable(&place.visit, &mailbox.login)) }
                dt { (place.say("front-password")) } dd { (layout::copyable(&place.visit, secret)) }
            }
            p { (place.say("app-made-text")) }
        }
    }
}

fn table(place: &Place, mailbox: &Mailbox, all: &[AppPassword], uses: &[AppPasswordUse]) -> Markup {
    let columns =
        ["app-column-name", "app-column-for", "app-column-made", "app-column-used", "layout-action"];
    html! {
        table.list {
            thead { tr { @for key in columns { th scope="col" { (place.say(key)) } } } }
            tbody { @for one in all { (row(place, mailbox, one, uses, &columns)) } }
        }
    }
}

fn row(
    place: &Place,
    mailbox: &Mailbox,
    one: &AppPassword,
    uses: &[AppPasswordUse],
    columns: &[&str; 5],
) -> Markup {
    let reader = &place.visit.reader;
    let protocol = PROTOCOLS.iter().find(|(_, protocol, _)| *protocol == one.protocol());
    let used = uses.iter().find(|known| known.app_password_id == one.app_password_id);
    let id = one.app_password_id.to_string();
    let fields = [("id", id.as_str()), ("name", one.display_name.as_str())];
    html! {
        tr {
            th scope="row" data-label=(place.say(columns[0])) { (one.display_name) }
            td data-label=(place.say(columns[1])) { (protocol.map_or_else(String::new, |(.., key)| place.say(key))) }
            td data-label=(place.say(columns[2])) { (reader.moment_or(one.create_time.as_ref(), "–")) }
            td data-label=(place.say(columns[3])) {
                @match used {
                    Some(used) => span { (reader.moment_or(used.time.as_ref(), "–")) ", " code { (used.peer_ip) } },
                    None => span.soft { (place.say("app-unused")) },
                }
            }
            td data-label=(place.say(columns[4])) {
                @if place.may("account.v1.AppPasswordService/DeleteAppPassword") {
                    (button(&place.visit, &path(place, mailbox, "/remove"), &place.say("app-remove"), "", &fields))
                }
            }
        }
    }
}

fn form(place: &Place, mailbox: &Mailbox, typed: &Form, problems: &Problems) -> Markup {
    let choices: Vec<_> = PROTOCOLS.iter().map(|(name, _, key)| (*name, place.say(key))).collect();
    html! {
        section.card {
            h2 { (place.say("app-new")) }
            form method="post" action=(path(place, mailbox, "")) {
                (layout::form_token(&place.visit))
                (Field::new("name", place.say("app-field-name")).hint(place.say("app-field-name-hint"))
                    .value(typed.get("name")).problem(problems).required().text())
                (Field::new("protocol", place.say("app-field-for")).value(typed.get("protocol")).select(&choices))
                div.actions { button.primary type="submit" { (place.say("app-create")) } }
            }
        }
    }
}
