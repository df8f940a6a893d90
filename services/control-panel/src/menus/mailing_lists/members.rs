//! The page of a list: its members, many at once in, some out.

use axum::response::Response;
use maud::{Markup, html};
use postern_proto::account::v1::{
    AddListMembersRequest, ListListMembersRequest, ListListMembersResponse, ListMember, MailingList,
    MemberLine, MemberLineOutcome, MemberOrigin, RemoveListMembersRequest,
};

use super::{MENU, editor, list_path, posting};
use crate::{
    call::Failure,
    form::{Field, Problems},
    layout::{self, said::Said},
    place::Place,
    wording,
};

/// Members on one page.
const PAGE_SIZE: i32 = 100;
/// Lines that one call takes.
const LINES_MAX: usize = 10_000;
/// Members whose removal can be undone by the button of the next page: their addresses travel in a cookie.
const UNDOABLE_MAX: usize = 20;

pub(super) async fn page(place: Place) -> Result<Response, Failure> {
    show(&place, "", None, &Problems::none()).await
}

/// Adds one address a line and reports on each.
pub(super) async fn add(place: Place) -> Result<Response, Failure> {
    let form = &place.visit.form;
    let addresses = form.lines("addresses");
    let mut problems = Problems::none();
    if addresses.is_empty() {
        problems.at("addresses", place.say("wording-missing"));
    } else if addresses.len() > LINES_MAX {
        problems.at("addresses", place.say("list-too-many-lines"));
    }
    if !problems.is_none() {
        return show(&place, form.get("addresses"), None, &problems).await.map(layout::refused);
    }
    let request = AddListMembersRequest { list: editor::stored(&place).await?.address, addresses };
    match place.calls().lists().add_list_members(request).await {
        Ok(answer) => {
            let report = answer.into_inner().lines;
            // What was not taken stays in the field, to be mended there.
            let left: Vec<&str> =
                report.iter().filter(|line| is_wrong(line)).map(|line| line.line.as_str()).collect();
            show(&place, &left.join("\n"), Some(&report), &Problems::none()).await
        }
        Err(status) => {
            let problems =
                Problems::from_failure(&place.visit, status.into(), &[("addresses", "addresses")])?;
            show(&place, form.get("addresses"), None, &problems).await.map(layout::refused)
        }
    }
}

pub(super) async fn remove(place: Place) -> Result<Response, Failure> {
    let list = editor::stored(&place).await?.address;
    let addresses: Vec<String> = place.visit.form.all("member").map(str::to_owned).collect();
    let path = list_path(&place, &list);
    if addresses.is_empty() {
        return Ok(place.visit.done(&path, &Said::new("list-none-ticked")));
    }
    let request = RemoveListMembersRequest { list, addresses: addresses.clone() };
    let removed = place.calls().lists().remove_list_members(request).await?.into_inner().removed_count;
    let said = Said::new("list-members-removed")
        .with("count", &place.visit.reader.count("list-member-count", removed.into()));
    let said = if addresses.len() <= UNDOABLE_MAX {
        said.undo(format!("{path}/members/add-again"), &[("addresses", &addresses.join("\n"))])
    } else {
        said
    };
    Ok(place.visit.done(&path, &said))
}

/// Undoes a removal.
pub(super) async fn add_again(place: Place) -> Result<Response, Failure> {
    let list = editor::stored(&place).await?.address;
    let path = list_path(&place, &list);
    let request = AddListMembersRequest { list, addresses: place.visit.form.lines("addresses") };
    let added = place.calls().lists().add_list_members(request).await?.into_inner().added_count;
    let count = place.visit.reader.count("list-member-count", added.into());
    Ok(place.visit.done(&path, &Said::new("list-members-back").with("count", &count)))
}

async fn show(
    place: &Place,
    typed: &str,
    report: Option<&[MemberLine]>,
    problems: &Problems,
) -> Result<Response, Failure> {
    let list = editor::stored(place).await?;
    let request = ListListMembersRequest {
        list: list.address.clone(),
        page_size: PAGE_SIZE,
        page_token: place.visit.query.get("page").to_owned(),
    };
    let members = place.calls().lists().list_list_members(request).await?.into_inner();
    let path = list_path(place, &list.address);
    let body = html! {
        (facts(place, &list))
        @if let Some(report) = report { (reported(place, report)) }
        section.card {
            h2 { (place.say("list-add-members")) }
            (problems.summary(&place.say("form-see-below")))
            form method="post" action={ (path) "/members" } {
                (layout::form_token(&place.visit))
                (Field::new("addresses", place.say("list-field-members")).hint(place.say("list-field-members-hint"))
                    .value(typed).problem(problems).required().area(4))
                div.actions { button.primary type="submit" { (place.say("list-add-members")) } }
            }
        }
        (member_table(place, &list, &members))
        section.card {
            h2 { (place.say("list-remove")) }
            p { (place.say("list-remove-hint")) }
            div.actions { a.button.danger href={ (path) "/remove" } { (place.say("list-remove-this")) } }
        }
    };
    Ok(place.page(&MENU, list.address.clone(), body))
}

fn facts(place: &Place, list: &MailingList) -> Markup {
    let path = list_path(place, &list.address);
    html! {
        section.card {
            dl.facts {
                @if !list.description.is_empty() {
                    dt { (place.say("list-field-description")) } dd { (list.description) }
                }
                dt { (place.say("list-members")) } dd { (place.visit.reader.number(list.member_count.into())) }
                dt { (place.say("list-field-posting")) } dd { (posting(place, list.posting())) }
                dt { (place.say("list-field-owner")) } dd { (list.owner) }
                @if !list.subject_prefix.is_empty() {
                    dt { (place.say("list-field-prefix")) } dd { code { (list.subject_prefix) } }
                }
                @if !list.listserv.is_empty() {
                    dt { (place.say("list-field-listserv")) } dd { (list.listserv) }
                }
            }
            div.actions { a.button href={ (path) "/settings" } { (place.say("list-settings")) } }
        }
    }
}

fn member_table(place: &Place, list: &MailingList, members: &ListListMembersResponse) -> Markup {
    let path = list_path(place, &list.address);
    html! {
        section {
            h2 { (place.say("list-members")) }
            @if members.members.is_empty() {
                (layout::empty(&place.say("list-no-members"), &place.say("list-no-members-text"), None))
            } @else {
                form method="post" action={ (path) "/members/remove" } {
                    (layout::form_token(&place.visit))
                    table.list {
                        thead {
                            tr {
                                th scope="col" { (place.say("list-column-member")) }
                                th scope="col" { (place.say("list-column-origin")) }
                                th scope="col" { (place.say("list-column-since")) }
                                th scope="col" { (place.say("list-column-posts")) }
                            }
                        }
                        tbody { @for member in &members.members { (member_row(place, &path, member)) } }
                    }
                    div.actions { button.danger type="submit" { (place.say("list-remove-ticked")) } }
                }
            }
            (layout::paging(&place.visit, &path, &members.next_page_token))
        }
    }
}

fn member_row(place: &Place, path: &str, member: &ListMember) -> Markup {
    let origin = match member.origin() {
        MemberOrigin::Subscribed => place.say("list-origin-subscribed"),
        MemberOrigin::Added | MemberOrigin::Unspecified => place.say("list-origin-added"),
    };
    html! {
        tr {
            th scope="row" data-label=(place.say("list-column-member")) {
                label.choice {
                    input type="checkbox" name="member" value=(member.address);
                    span { (member.address) }
                }
            }
            td data-label=(place.say("list-column-origin")) { (origin) }
            td data-label=(place.say("list-column-since")) {
                (place.visit.reader.moment_or(member.create_time.as_ref(), "–"))
            }
            td data-label=(place.say("list-column-posts")) { (posts(place, path, member)) }
        }
    }
}

/// Whether the member gets posts; who is suspended gets them again by a button.
fn posts(place: &Place, path: &str, member: &ListMember) -> Markup {
    html! {
        @match &member.suspend_time {
            None => span.badge.good { (place.say("list-posts-sent")) },
            Some(since) => {
                div.stack {
                    span.badge.bad { (place.say("list-posts-suspended")) }
                    small { (place.say("list-posts-why")) " " (place.visit.reader.moment(since)) }
                    div {
                        button type="submit" formaction={ (path) "/members/resume" } name="resumed" value=(member.address) {
                            (place.say("list-posts-resume"))
                        }
                    }
                }
            }
        }
    }
}

/// Posts again for a member whose copies came back: adding the address again forgives what was.
pub(super) async fn resume(place: Place) -> Result<Response, Failure> {
    let list = editor::stored(&place).await?.address;
    let path = list_path(&place, &list);
    let member = place.visit.form.get("resumed").to_owned();
    let request = AddListMembersRequest { list, addresses: vec![member.clone()] };
    place.calls().lists().add_list_members(request).await?;
    Ok(place.visit.done(&path, &Said::new("list-posts-resumed").with("name", &member)))
}

fn is_wrong(line: &MemberLine) -> bool {
    matches!(line.outcome(), MemberLineOutcome::Invalid | MemberLineOutcome::OverLimit)
}

/// What became of each line.
fn reported(place: &Place, report: &[MemberLine]) -> Markup {
    let count = |outcome| {
        let lines = report.iter().filter(|line| line.outcome() == outcome).count();
        place.visit.reader.number(i64::try_from(lines).unwrap_or(i64::MAX))
    };
    let wrong = report.iter().any(is_wrong);
    let values = [
        ("added", count(MemberLineOutcome::Added).into()),
        ("known", count(MemberLineOutcome::Duplicate).into()),
        (
            "wrong",
            place.visit.reader.number(report.iter().filter(|line| is_wrong(line)).count() as i64).into(),
        ),
    ];
    html! {
        div class=(if wrong { "notice warn" } else { "notice good" }) role="status" {
            p { (place.visit.texts().fill("list-report", &values)) }
        }
        @if report.iter().any(|line| line.outcome() != MemberLineOutcome::Added) {
            details.card open[wrong] {
                summary { (place.say("list-report-lines")) }
                ul.plain {
                    @for line in report.iter().filter(|line| line.outcome() != MemberLineOutcome::Added) {
                        li.row { span { (line.line) } span.soft { (why(place, line)) } }
                    }
                }
            }
        }
    }
}

fn why(place: &Place, line: &MemberLine) -> String {
    match line.outcome() {
        MemberLineOutcome::Duplicate => place.say("list-line-known"),
        MemberLineOutcome::OverLimit => place.say("list-line-over-limit"),
        _ => wording::spoken(place.visit.texts(), &line.reason),
    }
}
