//! Which boxes are open now, from where, and ending a session.

use axum::response::Response;
use futures_util::future::join_all;
use maud::{Markup, html};
use postern_proto::{
    account::v1::LookupMailboxRequest,
    delivery::v1::{ListLocksRequest, Lock, ReleaseLockRequest},
};

use super::{Desk, Staff, head, path};
use crate::{
    call::Failure,
    layout::{self, button, finding, said::Said},
    visit::Visit,
};

pub(super) static DESK: Desk = Desk { name: "locks", title: "operator-locks", icon: "box", guide };

/// Locks on one page.
const PAGE_SIZE: i32 = 50;
const COLUMNS: [&str; 5] =
    ["operator-mailbox", "pop-lock-from", "pop-lock-since", "operator-gateway", "layout-action"];

pub(super) async fn list(staff: Staff) -> Result<Response, Failure> {
    let request =
        ListLocksRequest { page_size: PAGE_SIZE, page_token: staff.visit.query.get("page").to_owned() };
    let page = staff.calls().locks().list_locks(request).await?.into_inner();
    let names = join_all(page.locks.iter().map(|lock| name(&staff, lock.mailbox_id))).await;
    let body = html! {
        p.lead { (staff.say("operator-locks-lead")) }
        @if page.locks.is_empty() {
            (layout::empty(&staff.say("operator-locks-none"), &staff.say("operator-locks-none-text"), None))
        } @else {
            table.list {
                (head(&staff, &COLUMNS))
                tbody { @for (lock, name) in page.locks.iter().zip(&names) { (row(&staff, lock, name)) } }
            }
        }
        (finding::paging(&staff.visit, &path(&DESK, &[]), &page.next_page_token))
    };
    Ok(staff.page(&DESK, staff.say(DESK.title), body))
}

/// Address of a box; its number for whom the directory does not answer.
async fn name(staff: &Staff, mailbox_id: i64) -> String {
    let found = staff.calls().directory().lookup_mailbox(LookupMailboxRequest { mailbox_id }).await;
    let known = found.ok().and_then(|answer| answer.into_inner().mailbox);
    known.map_or_else(|| mailbox_id.to_string(), |mailbox| mailbox.address)
}

fn row(staff: &Staff, lock: &Lock, name: &str) -> Markup {
    let id = lock.mailbox_id.to_string();
    html! {
        tr {
            th scope="row" data-label=(staff.say(COLUMNS[0])) { (layout::address(name)) }
            td data-label=(staff.say(COLUMNS[1])) { code { (lock.peer_ip) } }
            td data-label=(staff.say(COLUMNS[2])) { (staff.visit.reader.moment_or(lock.since_time.as_ref(), "–")) }
            td data-label=(staff.say(COLUMNS[3])) { (lock.gateway) }
            td data-label=(staff.say(COLUMNS[4])) {
                (button(&staff.visit, &path(&DESK, &[]), &staff.say("pop-release"), "",
                    &[("mailbox-id", &id), ("name", name)]))
            }
        }
    }
}

pub(super) async fn release(staff: Staff) -> Result<Response, Failure> {
    let form = &staff.visit.form;
    let mailbox_id = form.get("mailbox-id").parse().map_err(|_| Failure::BadForm)?;
    let released = staff.calls().locks().release_lock(ReleaseLockRequest { mailbox_id }).await;
    match released.map_err(Failure::from) {
        // Whoever had it has gone meanwhile: it is as was wanted.
        Ok(_) | Err(Failure::NotFound) => {
            let said = Said::new("pop-released").with("name", form.get("name"));
            Ok(staff.visit.done(&path(&DESK, &[]), &said))
        }
        Err(failure) => Err(failure),
    }
}

fn guide(visit: &Visit) -> Markup {
    html! {
        p { (visit.say("operator-locks-guide")) }
        dl {
            dt { (visit.say("pop-release")) } dd { (visit.say("operator-locks-guide-release")) }
            dt { (visit.say("operator-gateway")) } dd { (visit.say("operator-locks-guide-gateway")) }
        }
    }
}
