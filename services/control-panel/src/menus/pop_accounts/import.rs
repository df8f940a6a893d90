//! Mail of another house into a box: a file is sent, its messages are imported while it comes, and a page tells how that goes,
//! whoever looks and however often.

mod course;
mod pipe;
pub(crate) mod places;

use axum::response::{IntoResponse as _, Redirect, Response};
use http::StatusCode;
use maud::{Markup, html};
use postern_mesh::mail_file::{BEGIN_BYTES, Kind};
use postern_proto::{
    account::v1::Mailbox,
    delivery::v1::{ImportCourse, ListImportsRequest},
};
use uuid::Uuid;

use self::places::Busy;
use super::{MENU, account, box_path};
use crate::{
    call::Failure,
    layout,
    place::Place,
    upload::{FILE_FIELD, Upload},
};

pub(super) use course::page as course;

/// In the query: the file did not come to its end.
const BROKEN: &str = "broken";

/// Reads and sees, but imports nothing.
pub(super) fn may(place: &Place) -> bool {
    place.may("delivery.v1.BoxService/ImportMessages")
}

/// The page. The script comes back to it with `broken` when the line broke before there was an answer.
pub(super) async fn page(place: Place) -> Result<Response, Failure> {
    let mailbox = account::mailbox(&place).await?;
    let problem = place.visit.query.has(BROKEN).then_some("import-broken");
    show(&place, &mailbox, problem).await
}

/// Takes a file. The answer comes when all of it was looked at; meanwhile the page of its course tells how far it is.
pub(super) async fn take(mut place: Place, mut upload: Upload) -> Result<Response, Failure> {
    let mailbox = account::mailbox(&place).await?;
    let turn = match place.visit.panel.imports.take(&place.person.caller) {
        Ok(turn) => turn,
        Err(busy) => {
            let problem = match busy {
                Busy::All => "import-busy",
                Busy::Customer => "import-busy-customer",
                Busy::Person => "import-busy-person",
            };
            upload.drain().await;
            place.renew().await?;
            let mut page = show(&place, &mailbox, Some(problem)).await?;
            *page.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            return Ok(page);
        }
    };
    let begin = upload.begin(BEGIN_BYTES, |begin| Kind::of(begin).is_some()).await.unwrap_or_default();
    let Some(kind) = Kind::of(&begin) else {
        let problem = if begin.is_empty() { "import-no-file" } else { "import-no-mbox" };
        upload.drain().await;
        place.renew().await?;
        return Ok(layout::refused(show(&place, &mailbox, Some(problem)).await?));
    };
    let import_id = Uuid::new_v4();
    let mail = pipe::Mail { mailbox_id: mailbox.mailbox_id, import_id, kind, begin, upload };
    let piped = pipe::through(place.calls().boxes(), mail, turn).await;
    if piped.is_empty {
        place.renew().await?;
        return Ok(layout::refused(show(&place, &mailbox, Some("import-no-mail")).await?));
    }
    let import_id = import_id.to_string();
    if let Err(failure) = piped.answer
        && !is_known(&mut place, &mailbox, &import_id).await?
    {
        return Err(failure);
    }
    // What became of it, well or not, stands in its course.
    let to = format!("{}/import/{import_id}", box_path(&place, &mailbox.login));
    Ok(Redirect::to(&to).into_response())
}

/// Whether delivery has begun this import. Nobody can be asked when the session has ended meanwhile: then its course is the page
/// to sign in for.
async fn is_known(place: &mut Place, mailbox: &Mailbox, import_id: &str) -> Result<bool, Failure> {
    match place.renew().await {
        Err(Failure::SessionEnded) => Ok(true),
        Err(failure) => Err(failure),
        Ok(()) => Ok(imports(place, mailbox).await?.iter().any(|import| import.import_id == import_id)),
    }
}

async fn imports(place: &Place, mailbox: &Mailbox) -> Result<Vec<ImportCourse>, Failure> {
    let request = ListImportsRequest { mailbox_id: mailbox.mailbox_id };
    Ok(place.calls().boxes().list_imports(request).await?.into_inner().imports)
}

async fn show(place: &Place, mailbox: &Mailbox, problem: Option<&str>) -> Result<Response, Failure> {
    let imports = imports(place, mailbox).await?;
    let visit = &place.visit;
    let body = html! {
        p.lead { (visit.name("import-lead", &mailbox.login)) }
        section.card {
            form.upload method="post" enctype="multipart/form-data" action={ (box_path(place, &mailbox.login)) "/import" }
                data-broken={ (box_path(place, &mailbox.login)) "/import?" (BROKEN) "=yes" } {
                (layout::form_token(visit))
                div.field {
                    label for=(FILE_FIELD) { (place.say("import-file")) }
                    input type="file" id=(FILE_FIELD) name=(FILE_FIELD) required accept=".mbox,.mbx,.zip,.tar,.tgz,.gz,application/mbox,application/zip,application/gzip,application/x-tar"
                        aria-invalid=[problem.map(|_| "true")] aria-describedby="file-hint file-problem";
                    @if let Some(problem) = problem { p.problem #file-problem { (place.say(problem)) } }
                    p.hint #file-hint { (place.say("import-file-hint")) }
                }
                div.field.sending hidden {
                    label for="sent" { (place.say("import-sending")) }
                    progress #sent max="1" {}
                }
                div.actions {
                    button.primary type="submit" { (place.say("import-begin")) }
                    a.button href=(box_path(place, &mailbox.login)) { (place.say("form-cancel")) }
                }
            }
        }
        (list(place, mailbox, &imports))
    };
    let crumbs = vec![(mailbox.login.clone(), box_path(place, &mailbox.login))];
    Ok(place.page_below(&MENU, crumbs, place.say("import-title"), body))
}

/// The imports of the last weeks, each with the way to its course.
fn list(place: &Place, mailbox: &Mailbox, imports: &[ImportCourse]) -> Markup {
    let columns = ["import-column-file", "course-begun", "course-state", "import-column-count"];
    let reader = &place.visit.reader;
    html! {
        @if !imports.is_empty() {
            section {
                h2 { (place.say("import-before")) }
                table.list {
                    thead { tr { @for key in columns { th scope="col" { (place.say(key)) } } } }
                    tbody {
                        @for import in imports {
                            tr {
                                th scope="row" data-label=(place.say(columns[0])) {
                                    a href={ (box_path(place, &mailbox.login)) "/import/" (import.import_id) } { (named(place, import)) }
                                }
                                td data-label=(place.say(columns[1])) { (reader.moment_or(import.begin_time.as_ref(), "–")) }
                                td data-label=(place.say(columns[2])) { (course::state(import).badge(reader)) }
                                td data-label=(place.say(columns[3])) { (reader.number(import.imported_count)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn named(place: &Place, import: &ImportCourse) -> String {
    if import.file_name.is_empty() { place.say("import-nameless") } else { import.file_name.clone() }
}
