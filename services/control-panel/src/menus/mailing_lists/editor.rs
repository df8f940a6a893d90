//! What a list is like: made, changed, removed, brought back.

use axum::response::Response;
use maud::{Markup, html};
use postern_proto::{
    account::v1::{
        CreateMailingListRequest, DeleteMailingListRequest, GetMailingListRequest, ListPosting, ListReplies,
        MailingList, UpdateMailingListRequest,
    },
    google::FieldMask,
};

use super::{MENU, addition, list_path, members};
use crate::{
    call::Failure,
    form::{self, Field, Form, Problems},
    layout::{self, said::Said},
    menus::{undo, whole_address},
    place::Place,
};

/// As account names the fields, and as the form does.
const NAMES: [(&str, &str); 6] = [
    ("list.address", "local"),
    ("list.subject_prefix", "prefix"),
    ("list.owner", "owner"),
    ("list.description", "description"),
    ("list.message_max_bytes", "largest"),
    ("list.listserv", "listserv"),
];
/// What a change names.
const PATHS: [&str; 7] =
    ["posting", "replies", "subject_prefix", "owner", "description", LARGEST, "listserv"];
/// Shown in whole kilobytes, so it is left as it is stored unless it is touched.
const LARGEST: &str = "message_max_bytes";
/// Octets of the unit in which the largest post is typed.
const KILOBYTE: i64 = 1000;

pub(super) async fn new_page(place: Place) -> Result<Response, Failure> {
    place.must("account.v1.MailingListService/CreateMailingList")?;
    let form = Form::of(vec![("posting".to_owned(), "members".to_owned())]);
    Ok(show(&place, None, &form, &Problems::none()))
}

pub(super) async fn create(place: Place) -> Result<Response, Failure> {
    let form = &place.visit.form;
    let mut problems = Problems::none();
    let address = whole_address(&place, form.trimmed("local"));
    let list = MailingList { address, ..typed(&place, form, &mut problems) };
    let members = addition::typed(&place, &mut problems);
    if !problems.is_none() {
        return Ok(layout::refused(show(&place, None, form, &problems)));
    }
    let request = CreateMailingListRequest { list: Some(list), request_id: form.request_id() };
    match place.calls().lists().create_mailing_list(request).await {
        Ok(answer) => created(&place, &answer.into_inner().list.unwrap_or_default(), members).await,
        Err(status) => {
            let problems = Problems::from_failure(&place.visit, status.into(), &NAMES)?;
            Ok(layout::refused(show(&place, None, form, &problems)))
        }
    }
}

/// A new list, and the members that came with it.
async fn created(place: &Place, list: &MailingList, members: Vec<String>) -> Result<Response, Failure> {
    if members.is_empty() {
        let said = Said::new("list-created").with("name", &list.address);
        return Ok(place.visit.done(&list_path(place, &list.address), &said));
    }
    let said = Said::new("list-created-with").with("name", &list.address);
    match addition::begin(place, &list.address, members).await {
        Ok(course) => Ok(place.visit.done(&course, &said)),
        Err(status) => {
            // The list is there; what was typed for it stands on its page, to be sent again.
            let problems = Problems::from_failure(&place.visit, status.into(), &addition::NAMES)?;
            let typed = place.visit.form.get("addresses");
            members::show(place, list, typed, &said.shown(&place.visit), &problems).await.map(layout::refused)
        }
    }
}

pub(super) async fn page(place: Place) -> Result<Response, Failure> {
    let list = stored(&place).await?;
    let form = shown(&list);
    Ok(show(&place, Some(&list), &form, &Problems::none()))
}

pub(super) async fn change(place: Place) -> Result<Response, Failure> {
    let form = &place.visit.form;
    let mut problems = Problems::none();
    let before = shown(&stored(&place).await?);
    let address = place.param("name").to_owned();
    let list = MailingList {
        address: address.clone(),
        etag: form.get("etag").to_owned(),
        ..typed(&place, form, &mut problems)
    };
    let list = Some(list);
    let problems = if problems.is_none() {
        let touched = PATHS.iter().filter(|path| **path != LARGEST || form.touches("largest", &before));
        let paths = touched.map(|path| (*path).to_owned()).collect();
        let request = UpdateMailingListRequest { list, update_mask: Some(FieldMask { paths }) };
        match place.calls().lists().update_mailing_list(request).await {
            Ok(_) => {
                let said = Said::new("list-changed").with("name", &address);
                return Ok(place.visit.done(&list_path(&place, &address), &said));
            }
            Err(status) => Problems::from_failure(&place.visit, status.into(), &NAMES)?,
        }
    } else {
        problems
    };
    let now = stored(&place).await?;
    let problems = problems.beside(&place.visit, shown(&now));
    Ok(layout::refused(show(&place, Some(&now), form, &problems)))
}

pub(super) async fn remove_page(place: Place) -> Result<Response, Failure> {
    place.must("account.v1.MailingListService/DeleteMailingList")?;
    let list = stored(&place).await?;
    let body = html! {
        div.card.danger {
            p { (place.visit.name("list-remove-ask", &list.address)) }
            p { (place.visit.reader.count("list-remove-members", list.member_count.into())) }
            form method="post" action={ (list_path(&place, &list.address)) "/remove" } {
                (layout::form_token(&place.visit))
                div.actions {
                    button.danger type="submit" { (place.say("list-remove-this")) }
                    a.button href=(list_path(&place, &list.address)) { (place.say("form-cancel")) }
                }
            }
        }
    };
    let crumbs = vec![(list.address.clone(), list_path(&place, &list.address))];
    Ok(place.page_below(&MENU, crumbs, place.say("list-remove"), body))
}

pub(super) async fn remove(place: Place) -> Result<Response, Failure> {
    let list = stored(&place).await?;
    let request = DeleteMailingListRequest { address: list.address.clone() };
    let answer = place.calls().lists().delete_mailing_list(request).await?.into_inner();
    let said = if answer.referring_addresses.is_empty() {
        Said::new("list-removed").with("name", &list.address)
    } else {
        let names = answer.referring_addresses.iter().take(6).cloned().collect::<Vec<_>>().join(", ");
        Said::new("list-removed-referred").with("name", &list.address).with("names", &names)
    };
    let said = undo::offered(said, place.path(&MENU, &["restore"]), answer.audit_id);
    Ok(place.visit.done(&place.path(&MENU, &[]), &said))
}

/// Brings back what a removal took away: the list with its members.
pub(super) async fn restore(place: Place) -> Result<Response, Failure> {
    let name = undo::removal(&place).await?.name;
    let said = Said::new("list-restored").with("name", &name);
    Ok(place.visit.done(&list_path(&place, &name), &said))
}

/// The list of the page: one of this domain.
pub(super) async fn stored(place: &Place) -> Result<MailingList, Failure> {
    let request = GetMailingListRequest { address: place.param("name").to_owned() };
    let list = match place.calls().lists().get_mailing_list(request).await.map_err(Failure::from) {
        // What is no address in an address of a page does not exist.
        Err(Failure::Field { .. }) => return Err(Failure::NotFound),
        other => other?.into_inner().list.ok_or(Failure::NotFound)?,
    };
    if list.domain == place.name() { Ok(list) } else { Err(Failure::NotFound) }
}

fn typed(place: &Place, form: &Form, problems: &mut Problems) -> MailingList {
    let posting = match form.get("posting") {
        "anyone" => ListPosting::Anyone,
        "owner" => ListPosting::Owner,
        _ => ListPosting::Members,
    };
    let replies = if form.get("replies") == "list" { ListReplies::List } else { ListReplies::Author };
    let message_max_bytes = match form.trimmed("largest") {
        "" => 0,
        typed => {
            let kilobytes = typed.parse::<i64>().ok().filter(|kilobytes| *kilobytes > 0);
            kilobytes.and_then(|kilobytes| kilobytes.checked_mul(KILOBYTE)).unwrap_or_else(|| {
                problems.at("largest", place.say("list-largest-wrong"));
                0
            })
        }
    };
    MailingList {
        posting: posting.into(),
        replies: replies.into(),
        subject_prefix: form.trimmed("prefix").to_owned(),
        owner: form.trimmed("owner").to_owned(),
        description: form.trimmed("description").to_owned(),
        message_max_bytes,
        listserv: form.trimmed("listserv").to_owned(),
        ..MailingList::default()
    }
}

fn shown(list: &MailingList) -> Form {
    let posting = match list.posting() {
        ListPosting::Anyone => "anyone",
        ListPosting::Owner => "owner",
        ListPosting::Members | ListPosting::Unspecified => "members",
    };
    let replies = if list.replies() == ListReplies::List { "list" } else { "author" };
    let largest = match list.message_max_bytes {
        0 => String::new(),
        bytes => (bytes / KILOBYTE).max(1).to_string(),
    };
    let fields = [
        ("posting", posting),
        ("replies", replies),
        ("prefix", &list.subject_prefix),
        ("owner", &list.owner),
        ("description", &list.description),
        ("largest", &largest),
        ("listserv", &list.listserv),
    ];
    Form::of(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec())
}

fn show(place: &Place, stored: Option<&MailingList>, form: &Form, problems: &Problems) -> Response {
    let (action, back) = match stored {
        Some(list) => {
            (format!("{}/settings", list_path(place, &list.address)), list_path(place, &list.address))
        }
        None => (place.path(&MENU, &["new"]), place.path(&MENU, &[])),
    };
    let body = html! {
        (problems.summary(&place.say("form-see-below")))
        form.card method="post" action=(action) {
            (layout::form_token(&place.visit))
            @match stored {
                Some(list) => input type="hidden" name="etag" value=(list.etag);,
                None => {
                    (form::request_id(form))
                    (Field::new("local", place.say("list-field-address")).hint(place.say("list-field-address-hint"))
                        .value(form.get("local")).suffix(format!("@{}", place.name())).problem(problems).required().text())
                }
            }
            (fields(place, form, problems))
            @if stored.is_none() {
                (Field::new("addresses", place.say("list-members")).hint(place.say("list-field-members-new-hint"))
                    .value(form.get("addresses")).problem(problems).area(4))
            }
            (place.only_with("account.v1.MailingListService/UpdateMailingList", &html! { div.actions {
                button.primary type="submit" {
                    @if stored.is_some() { (place.say("form-save")) } @else { (place.say("list-create")) }
                }
                a.button href=(back) { (place.say("form-cancel")) }
            } }))
        }
    };
    match stored {
        Some(list) => {
            let crumbs = vec![(list.address.clone(), list_path(place, &list.address))];
            place.page_below(&MENU, crumbs, place.say("list-settings"), body)
        }
        None => place.page(&MENU, place.say("list-new"), body),
    }
}

fn fields(place: &Place, form: &Form, problems: &Problems) -> Markup {
    let choice = |value, text: &str, explanation: &str| (value, place.say(text), place.say(explanation));
    let posting = [
        choice("members", "list-posting-members", "list-posting-members-text"),
        choice("anyone", "list-posting-anyone", "list-posting-anyone-text"),
        choice("owner", "list-posting-owner", "list-posting-owner-text"),
    ];
    let replies = [
        choice("author", "list-replies-author", "list-replies-author-text"),
        choice("list", "list-replies-list", "list-replies-list-text"),
    ];
    let replied = if form.get("replies").is_empty() { "author" } else { form.get("replies") };
    let owner_hint = place.visit.name("list-field-owner-hint", place.name());
    html! {
        (Field::new("description", place.say("list-field-description")).hint(place.say("list-field-description-hint"))
            .value(form.get("description")).problem(problems).text())
        (Field::new("posting", place.say("list-field-posting")).value(form.get("posting")).problem(problems)
            .radio(&posting))
        (Field::new("replies", place.say("list-field-replies")).value(replied).problem(problems).radio(&replies))
        (Field::new("prefix", place.say("list-field-prefix")).hint(place.say("list-field-prefix-hint"))
            .value(form.get("prefix")).problem(problems).text())
        (Field::new("owner", place.say("list-field-owner")).hint(owner_hint).value(form.get("owner"))
            .problem(problems).text())
        (Field::new("largest", place.say("list-field-largest")).hint(place.say("list-field-largest-hint"))
            .value(form.get("largest")).suffix("kB".to_owned()).problem(problems).number())
        (Field::new("listserv", place.say("list-field-listserv")).hint(place.say("list-field-listserv-hint"))
            .value(form.get("listserv")).problem(problems).text())
    }
}
