//! Many members at once: added in parts, with a page that tells how far that is, and afterwards what became of each line.

use std::time::Duration;

use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};
use postern_mesh::client::MeshChannel;
use postern_proto::account::v1::{
    AddListMembersRequest, AdditionState, ListMemberAdditionsRequest, MailingList, MemberAddition,
    MemberLine, MemberLineOutcome, mailing_list_service_client::MailingListServiceClient,
};
use tokio::time::timeout;
use tonic::Status;
use uuid::Uuid;

use super::{MENU, editor, list_path, members};
use crate::{
    call::Failure,
    course::{Course, Progress, State},
    form::Problems,
    layout,
    place::Place,
    wording,
};

/// As account names the field, and as the forms do.
pub(super) const NAMES: [(&str, &str); 1] = [("addresses", "addresses")];
/// Lines that one form takes, and one call.
const LINES_MAX: usize = 10_000;
const PART: usize = 1000;
/// Lines that were not taken which are told with why; all of them stand in the field.
const REASONS_SHOWN: usize = 100;
/// What is done by then is told at once; of what is not, the page tells how far it is.
const WAITED: Duration = Duration::from_secs(1);

/// Adds one address a line.
pub(super) async fn add(place: Place) -> Result<Response, Failure> {
    let list = editor::stored(&place).await?;
    let mut problems = Problems::none();
    let addresses = typed(&place, &mut problems);
    if addresses.is_empty() {
        problems.at("addresses", place.say("wording-missing"));
    }
    if problems.is_none() {
        match begin(&place, &list.address, addresses).await {
            Ok(course) => return Ok(Redirect::to(&course).into_response()),
            Err(status) => problems = Problems::from_failure(&place.visit, status.into(), &NAMES)?,
        }
    }
    let typed = place.visit.form.get("addresses");
    members::show(&place, &list, typed, &html! {}, &problems).await.map(layout::refused)
}

/// The addresses of a form.
pub(super) fn typed(place: &Place, problems: &mut Problems) -> Vec<String> {
    let addresses = place.visit.form.lines("addresses");
    if addresses.len() > LINES_MAX {
        problems.at("addresses", place.say("list-too-many-lines"));
    }
    addresses
}

/// Begins to add these; returns the address of the page that tells how far it is.
///
/// # Errors
/// When the first part of them cannot be added.
pub(super) async fn begin(place: &Place, list: &str, mut addresses: Vec<String>) -> Result<String, Status> {
    let addition_id = Uuid::new_v4().to_string();
    let first = AddListMembersRequest {
        list: list.to_owned(),
        total_count: i32::try_from(addresses.len()).unwrap_or(i32::MAX),
        addition_id: addition_id.clone(),
        addresses: addresses.drain(..addresses.len().min(PART)).collect(),
    };
    let mut lists = place.calls().lists();
    lists.add_list_members(first.clone()).await?;
    if !addresses.is_empty() {
        // Goes on when the browser has gone.
        let adding = tokio::spawn(add_rest(lists, first, addresses));
        let _ = timeout(WAITED, adding).await;
    }
    Ok(format!("{}/members/added/{addition_id}", list_path(place, list)))
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

/// The page of one addition; when it has ended, the page of the list with what became of each line.
pub(super) async fn page(place: Place) -> Result<Response, Failure> {
    let list = editor::stored(&place).await?;
    let request = ListMemberAdditionsRequest { list: list.address.clone() };
    let all = place.calls().lists().list_member_additions(request).await?.into_inner().additions;
    let addition = all.iter().find(|addition| addition.addition_id == place.param("id"));
    let addition = addition.ok_or(Failure::NotFound)?;
    let course = course(&place, &list, addition);
    if course.state == State::Running {
        let crumbs = vec![(list.address.clone(), list_path(&place, &list.address))];
        return Ok(course.page(&place, &MENU, crumbs, place.say("list-add-members")));
    }
    // What was not taken stands in the field, to be mended there.
    let left: Vec<&str> = addition.refused_lines.iter().map(|line| line.line.as_str()).collect();
    let report = html! { (course.notice(&place.visit.reader)) (course.left_out) };
    members::show(&place, &list, &left.join("\n"), &report, &Problems::none()).await
}

fn course<'c>(place: &Place, list: &MailingList, addition: &'c MemberAddition) -> Course<'c> {
    let number = |count: i32| place.visit.reader.number(count.into());
    let values = [
        ("added", number(addition.added_count).into()),
        ("known", number(addition.duplicate_count).into()),
        ("wrong", number(addition.refused_count).into()),
    ];
    let report = place.visit.texts().fill("list-report", &values);
    let state = match addition.state() {
        AdditionState::Running => State::Running,
        AdditionState::Stopped => State::Stopped,
        AdditionState::Done | AdditionState::Unspecified if addition.refused_count > 0 => State::InPart,
        AdditionState::Done | AdditionState::Unspecified => State::Done,
    };
    Course {
        state,
        progress: Progress::Pieces(addition.done_count.into(), addition.total_count.into()),
        verdict: if state == State::Stopped {
            format!("{report} {}", place.say("list-adding-stopped"))
        } else {
            report
        },
        begun: addition.begin_time.as_ref(),
        ended: None,
        facts: Vec::new(),
        left_out: refused_lines(place, addition),
        actions: html! {
            a.button href=(list_path(place, &list.address)) { (place.say("list-to-list")) }
        },
    }
}

/// The lines that were not taken, each with why.
fn refused_lines(place: &Place, addition: &MemberAddition) -> Markup {
    let told = addition.refused_lines.len().min(REASONS_SHOWN);
    let more = i64::from(addition.refused_count) - i64::try_from(told).unwrap_or(i64::MAX);
    html! {
        @if !addition.refused_lines.is_empty() {
            details.card open {
                summary { (place.say("list-report-lines")) }
                ul.plain {
                    @for line in addition.refused_lines.iter().take(REASONS_SHOWN) {
                        li.row { span { (line.line) } span.soft { (why(place, line)) } }
                    }
                    @if more > 0 { li.soft { (place.visit.reader.count("forward-more", more)) } }
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
