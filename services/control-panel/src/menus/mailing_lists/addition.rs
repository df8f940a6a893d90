//! Many members at once: added in parts, with a page that tells how far that is, and afterwards what became of each line.

use std::time::Duration;

use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};
use postern_mesh::client::MeshChannel;
use postern_proto::account::v1::{
    AddListMembersRequest, AdditionState, ListMemberAdditionsRequest, MemberAddition, MemberLine,
    MemberLineOutcome, mailing_list_service_client::MailingListServiceClient,
};
use tokio::time::timeout;
use uuid::Uuid;

use super::{MENU, editor, list_path, members};
use crate::{
    call::Failure,
    form::Problems,
    layout::{self, looking_again},
    place::Place,
    wording,
};

/// Lines that one form takes, and one call.
const LINES_MAX: usize = 10_000;
const PART: usize = 1000;
/// What is done by then is told at once; of what is not, the page tells how far it is.
const WAITED: Duration = Duration::from_secs(1);

/// Adds one address a line.
pub(super) async fn add(place: Place) -> Result<Response, Failure> {
    let form = &place.visit.form;
    let mut addresses = form.lines("addresses");
    let mut problems = Problems::none();
    if addresses.is_empty() {
        problems.at("addresses", place.say("wording-missing"));
    } else if addresses.len() > LINES_MAX {
        problems.at("addresses", place.say("list-too-many-lines"));
    }
    if !problems.is_none() {
        return not_taken(&place, &problems).await;
    }
    let list = editor::stored(&place).await?.address;
    let addition_id = Uuid::new_v4().to_string();
    let first = AddListMembersRequest {
        list: list.clone(),
        total_count: i32::try_from(addresses.len()).unwrap_or(i32::MAX),
        addition_id: addition_id.clone(),
        addresses: addresses.drain(..addresses.len().min(PART)).collect(),
    };
    let mut lists = place.calls().lists();
    if let Err(status) = lists.add_list_members(first.clone()).await {
        let problems = Problems::from_failure(&place.visit, status.into(), &[("addresses", "addresses")])?;
        return not_taken(&place, &problems).await;
    }
    if !addresses.is_empty() {
        // Goes on when the browser has gone.
        let adding = tokio::spawn(add_rest(lists, first, addresses));
        let _ = timeout(WAITED, adding).await;
    }
    let to = format!("{}/members/added/{addition_id}", list_path(&place, &list));
    Ok(Redirect::to(&to).into_response())
}

/// Part by part; where one fails, the addition has stopped.
async fn add_rest(
    mut lists: MailingListServiceClient<MeshChannel>,
    first: AddListMembersRequest,
    addresses: Vec<String>,
) {
    for part in addresses.chunks(PART) {
        let request = AddListMembersRequest { addresses: part.to_vec(), ..first.clone() };
        if let Err(status) = lists.add_list_members(request).await {
            tracing::warn!(list = first.list, error = status.message(), "the addition of members stopped");
            return;
        }
    }
}

async fn not_taken(place: &Place, problems: &Problems) -> Result<Response, Failure> {
    let typed = place.visit.form.get("addresses");
    members::show(place, typed, &html! {}, problems).await.map(layout::refused)
}

/// The page of one addition.
pub(super) async fn page(place: Place) -> Result<Response, Failure> {
    let list = editor::stored(&place).await?;
    let request = ListMemberAdditionsRequest { list: list.address.clone() };
    let all = place.calls().lists().list_member_additions(request).await?.into_inner().additions;
    let addition = all.iter().find(|addition| addition.addition_id == place.param("id"));
    let addition = addition.ok_or(Failure::NotFound)?;
    if addition.state() == AdditionState::Running {
        let crumbs = vec![(list.address.clone(), list_path(&place, &list.address))];
        let body = running(&place, addition);
        return Ok(looking_again(place.page_below(&MENU, crumbs, place.say("list-add-members"), body)));
    }
    // What was not taken stands in the field, to be mended there.
    let left: Vec<&str> = addition.refused_lines.iter().map(|line| line.line.as_str()).collect();
    members::show(&place, &left.join("\n"), &report(&place, addition), &Problems::none()).await
}

fn running(place: &Place, addition: &MemberAddition) -> Markup {
    let number = |count: i32| place.visit.reader.number(count.into());
    html! {
        div.notice role="status" { p { (place.say("list-adding-text")) } }
        section.card {
            p {
                label for="looked-at" { (place.say("import-progress")) } " "
                progress #looked-at max=(addition.total_count) value=(addition.done_count) {}
                " " (place.visit.texts().fill("layout-used-of", &[
                    ("used", number(addition.done_count).into()), ("all", number(addition.total_count).into()),
                ]))
            }
        }
    }
}

/// What became of the lines.
fn report(place: &Place, addition: &MemberAddition) -> Markup {
    let number = |count: i32| place.visit.reader.number(count.into());
    let values = [
        ("added", number(addition.added_count).into()),
        ("known", number(addition.duplicate_count).into()),
        ("wrong", number(addition.refused_count).into()),
    ];
    let class = match addition.state() {
        AdditionState::Stopped => "notice bad",
        _ if addition.refused_count > 0 => "notice warn",
        _ => "notice good",
    };
    html! {
        div class=(class) role="status" {
            div {
                p { (place.visit.texts().fill("list-report", &values)) }
                @if addition.state() == AdditionState::Stopped { p { (place.say("list-adding-stopped")) } }
            }
        }
        @if !addition.refused_lines.is_empty() {
            details.card open {
                summary { (place.say("list-report-lines")) }
                ul.plain {
                    @for line in &addition.refused_lines {
                        li.row { span { (line.line) } span.soft { (why(place, line)) } }
                    }
                }
            }
        }
    }
}

fn why(place: &Place, line: &MemberLine) -> String {
    match line.outcome() {
        MemberLineOutcome::OverLimit => place.say("list-line-over-limit"),
        _ => wording::spoken(place.visit.texts(), &line.reason),
    }
}
