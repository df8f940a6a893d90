//! One autoresponder: made, changed, removed, brought back.

use axum::response::Response;
use jiff::{Timestamp, civil::DateTime};
use maud::{Markup, html};
use postern_proto::{
    account::v1::{
        Autoresponder, DeleteAutoresponderRequest, GetAutoresponderRequest, UpdateAutoresponderRequest,
    },
    google::{FieldMask, Timestamp as Moment},
};

use super::{MENU, answer_path, state};
use crate::{
    call::{Failure, found},
    form::{Field, Form, Problems},
    layout::{self, said::Said},
    menus::{undo, whole_address},
    place::Place,
};

/// As account names the fields, and as the form does.
const NAMES: [(&str, &str); 6] = [
    ("autoresponder.address", "local"),
    ("autoresponder.subject", "subject"),
    ("autoresponder.text", "text"),
    ("autoresponder.start_time", "start"),
    ("autoresponder.end_time", "end"),
    ("autoresponder.interval_seconds", "interval"),
];
/// What the form may show less exactly than it is stored: the path and the field.
const FINER: [(&str, &str); 4] =
    [("text", "text"), ("start_time", "start"), ("end_time", "end"), ("interval_seconds", "interval")];
/// Pauses to choose from, seconds.
const INTERVALS: [(&str, &str); 5] = [
    ("3600", "answer-interval-hour"),
    ("86400", "answer-interval-day"),
    ("259200", "answer-interval-days"),
    ("604800", "answer-interval-week"),
    ("2592000", "answer-interval-month"),
];
const USUAL_INTERVAL: &str = "604800";
/// As a browser gives and takes a day and time.
const MOMENT_FORM: &str = "%Y-%m-%dT%H:%M";

pub(super) async fn new_page(place: Place) -> Result<Response, Failure> {
    place.must("account.v1.AutoresponderService/UpdateAutoresponder")?;
    Ok(show(&place, None, &Form::default(), &Problems::none()))
}

pub(super) async fn create(place: Place) -> Result<Response, Failure> {
    let form = &place.visit.form;
    let address = whole_address(&place, form.trimmed("local"));
    // One that is there already is changed on its own page only.
    if let Ok(Some(_)) = at(&place, &address).await {
        let mut problems = Problems::none();
        problems.at("local", place.visit.name("answer-there-already", &address));
        return Ok(layout::refused(show(&place, None, form, &problems)));
    }
    match save(&place, &address, None).await? {
        Ok(address) => {
            let said = Said::new("answer-created").with("name", &address);
            let own = place.person.is_mailbox_user();
            let to = if own { answer_path(&place, &address) } else { place.path(&MENU, &[]) };
            Ok(place.visit.done(&to, &said))
        }
        Err(problems) => Ok(layout::refused(show(&place, None, form, &problems))),
    }
}

pub(super) async fn page(place: Place) -> Result<Response, Failure> {
    let stored = stored(&place).await?;
    let form = match &stored {
        Some(answer) => shown(&place, answer),
        None if place.person.is_mailbox_user() => {
            Form::of(vec![("local".to_owned(), place.param("name").to_owned())])
        }
        None => return Err(Failure::NotFound),
    };
    Ok(show(&place, stored.as_ref(), &form, &Problems::none()))
}

pub(super) async fn change(place: Place) -> Result<Response, Failure> {
    let form = &place.visit.form;
    let address = place.param("name").to_owned();
    let before = stored(&place).await?.ok_or(Failure::NotFound)?;
    match save(&place, &address, Some(&before)).await? {
        Ok(address) => {
            let said = Said::new("answer-changed").with("name", &address);
            Ok(place.visit.done(&answer_path(&place, &address), &said))
        }
        Err(problems) => {
            let now = stored(&place).await?.ok_or(Failure::NotFound)?;
            let problems = problems.beside(&place.visit, shown(&place, &now));
            Ok(layout::refused(show(&place, Some(&now), form, &problems)))
        }
    }
}

pub(super) async fn remove(place: Place) -> Result<Response, Failure> {
    let address = stored(&place).await?.ok_or(Failure::NotFound)?.address;
    let request = DeleteAutoresponderRequest { address: address.clone() };
    let answer = place.calls().autoresponders().delete_autoresponder(request).await?.into_inner();
    let said = Said::new("answer-removed").with("name", &address);
    let said = undo::offered(said, place.path(&MENU, &["restore"]), answer.audit_id);
    // The user of one box has one and no list of them.
    let own = place.person.is_mailbox_user();
    let to = if own { answer_path(&place, &address) } else { place.path(&MENU, &[]) };
    Ok(place.visit.done(&to, &said))
}

/// Brings back what a removal took away.
pub(super) async fn restore(place: Place) -> Result<Response, Failure> {
    let name = undo::removal(&place).await?.name;
    let said = Said::new("answer-restored").with("name", &name);
    Ok(place.visit.done(&answer_path(&place, &name), &said))
}

async fn stored(place: &Place) -> Result<Option<Autoresponder>, Failure> {
    let address = place.param("name");
    if !address.ends_with(&format!("@{}", place.name())) {
        return Err(Failure::NotFound);
    }
    at(place, address).await
}

async fn at(place: &Place, address: &str) -> Result<Option<Autoresponder>, Failure> {
    let request = GetAutoresponderRequest { address: address.to_owned() };
    let answer = place.calls().autoresponders().get_autoresponder(request).await;
    Ok(found(answer)?.and_then(|answer| answer.autoresponder))
}

/// Writes what was typed, of one that is there what was touched; the inner error says what is wrong with it.
async fn save(
    place: &Place,
    address: &str,
    before: Option<&Autoresponder>,
) -> Result<Result<String, Problems>, Failure> {
    let form = &place.visit.form;
    let new = before.is_none();
    let mut problems = Problems::none();
    let autoresponder = Autoresponder {
        address: address.to_owned(),
        subject: form.trimmed("subject").to_owned(),
        text: form.get("text").to_owned(),
        start_time: moment(place, "start", &mut problems),
        end_time: moment(place, "end", &mut problems),
        interval_seconds: form.get("interval").parse().unwrap_or(0),
        etag: if new { String::new() } else { form.get("etag").to_owned() },
        ..Autoresponder::default()
    };
    if !problems.is_none() {
        return Ok(Err(problems));
    }
    let shown = before.map(|before| shown(place, before));
    let touched = |field: &str| shown.as_ref().is_none_or(|shown| form.touches(field, shown));
    // Shown without its seconds, its kind of line ends, or by what stands for nothing.
    let finer = FINER.iter().filter(|(_, field)| touched(field)).map(|(path, _)| (*path).to_owned());
    let paths = std::iter::once("subject".to_owned()).chain(finer).collect();
    let request = UpdateAutoresponderRequest {
        autoresponder: Some(autoresponder),
        update_mask: Some(FieldMask { paths }),
        allow_missing: new,
    };
    match place.calls().autoresponders().update_autoresponder(request).await {
        Ok(answer) => {
            let saved = answer.into_inner().autoresponder;
            Ok(Ok(saved.map_or_else(|| address.to_owned(), |answer| answer.address)))
        }
        Err(status) => Ok(Err(Problems::from_failure(&place.visit, status.into(), &NAMES)?)),
    }
}

/// A day and time as it was typed, in the reader's zone; empty: none.
fn moment(place: &Place, field: &'static str, problems: &mut Problems) -> Option<Moment> {
    let typed = place.visit.form.trimmed(field);
    if typed.is_empty() {
        return None;
    }
    let there = typed.parse::<DateTime>().ok();
    let there = there.and_then(|there| place.visit.reader.zone.to_timestamp(there).ok());
    if there.is_none() {
        problems.at(field, place.say("answer-moment-wrong"));
    }
    there.map(|time| Moment { seconds: time.as_second(), nanos: 0 })
}

fn typed_moment(place: &Place, moment: Option<&Moment>) -> String {
    let time = moment.and_then(|moment| Timestamp::new(moment.seconds, moment.nanos).ok());
    let there = time.map(|time| time.to_zoned_datetime(place.visit.reader.zone.clone()));
    there.map(|there| there.strftime(MOMENT_FORM).to_string()).unwrap_or_default()
}

fn shown(place: &Place, answer: &Autoresponder) -> Form {
    let interval = if answer.interval_seconds == 0 {
        USUAL_INTERVAL.to_owned()
    } else {
        answer.interval_seconds.to_string()
    };
    let fields = [
        ("subject", answer.subject.clone()),
        ("text", answer.text.replace("\r\n", "\n")),
        ("start", typed_moment(place, answer.start_time.as_ref())),
        ("end", typed_moment(place, answer.end_time.as_ref())),
        ("interval", interval),
    ];
    Form::of(fields.map(|(name, value)| (name.to_owned(), value)).to_vec())
}

fn show(place: &Place, stored: Option<&Autoresponder>, form: &Form, problems: &Problems) -> Response {
    let visit = &place.visit;
    let own = place.person.is_mailbox_user();
    let action = match stored {
        Some(answer) => answer_path(place, &answer.address),
        None => place.path(&MENU, &["new"]),
    };
    let body = html! {
        (problems.summary(&place.say("form-see-below")))
        form.card method="post" action=(action) {
            (layout::form_token(visit))
            @match stored {
                Some(answer) => {
                    input type="hidden" name="etag" value=(answer.etag);
                    dl.facts {
                        dt { (place.say("answer-column-address")) } dd { code { (answer.address) } }
                        dt { (place.say("answer-column-state")) } dd { (state(place, answer)) }
                    }
                }
                None if own => {
                    input type="hidden" name="local" value=(form.get("local"));
                    dl.facts { dt { (place.say("answer-column-address")) } dd { code { (form.get("local")) } } }
                }
                None => (Field::new("local", place.say("answer-field-address"))
                    .hint(place.say("answer-field-address-hint")).value(form.get("local"))
                    .suffix(format!("@{}", place.name())).problem(problems).required().text()),
            }
            (fields(place, form, problems))
            (place.only_with("account.v1.AutoresponderService/UpdateAutoresponder", &html! { div.actions {
                button.primary type="submit" {
                    @if stored.is_some() { (place.say("form-save")) } @else { (place.say("answer-create")) }
                }
                @if !own { a.button href=(place.path(&MENU, &[])) { (place.say("form-cancel")) } }
            } }))
        }
        @if let Some(answer) = stored.filter(|_| place.may("account.v1.AutoresponderService/DeleteAutoresponder")) {
            section.card {
                h2 { (place.say("answer-remove")) }
                p { (place.say("answer-remove-hint")) }
                div.actions {
                    (layout::button(visit, &format!("{}/remove", answer_path(place, &answer.address)),
                        &place.say("answer-remove-this"), "danger", &[]))
                }
            }
        }
    };
    let title = stored.map_or_else(|| place.say("answer-new"), |answer| answer.address.clone());
    place.page(&MENU, title, body)
}

fn fields(place: &Place, form: &Form, problems: &Problems) -> Markup {
    let mut intervals: Vec<(&str, String)> =
        INTERVALS.iter().map(|(seconds, key)| (*seconds, place.say(key))).collect();
    let interval = if form.get("interval").is_empty() { USUAL_INTERVAL } else { form.get("interval") };
    if !INTERVALS.iter().any(|(seconds, _)| *seconds == interval) {
        // Set by another tool.
        let hours = interval.parse::<i64>().unwrap_or(0) / 3600;
        intervals.push((interval, place.visit.reader.count("answer-interval-hours", hours)));
    }
    let zone_hint = place.visit.name("answer-field-zone-hint", &layout::zone_name(&place.visit));
    html! {
        (Field::new("subject", place.say("answer-field-subject")).hint(place.say("answer-field-subject-hint"))
            .value(form.get("subject")).problem(problems).required().text())
        (Field::new("text", place.say("answer-field-text")).hint(place.say("answer-field-text-hint"))
            .value(form.get("text")).problem(problems).required().area(8))
        div.pair {
            (Field::new("start", place.say("answer-field-start")).hint(place.say("answer-field-start-hint"))
                .value(form.get("start")).problem(problems).moment())
            (Field::new("end", place.say("answer-field-end")).hint(zone_hint)
                .value(form.get("end")).problem(problems).moment())
        }
        (Field::new("interval", place.say("answer-field-interval")).hint(place.say("answer-field-interval-hint"))
            .value(interval).problem(problems).select(&intervals))
    }
}
