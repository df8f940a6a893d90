//! Which computers may send now because they checked their mail, and ending that.

use axum::response::Response;
use maud::{Markup, html};
use postern_proto::auth::v1::{Grant, ListGrantsRequest, RevokeGrantRequest};

use super::{Desk, Staff, filter, head, path, searched};
use crate::{
    call::Failure,
    form::{Field, Problems},
    layout::{self, button, said::Said},
    mail_program,
    visit::Visit,
};

pub(super) static DESK: Desk = Desk { name: "grants", title: "operator-grants", icon: "security", guide };

/// Grants on one page.
const PAGE_SIZE: i32 = 50;
const FILTERS: [&str; 2] = ["login", "client"];
const COLUMNS: [&str; 5] =
    ["pop-lock-from", "pop-column-login", "operator-grant-since", "operator-grant-until", "layout-action"];

pub(super) async fn list(staff: Staff) -> Result<Response, Failure> {
    let query = &staff.visit.query;
    let request = ListGrantsRequest {
        login: query.trimmed("login").to_owned(),
        peer_ip: query.trimmed("client").to_owned(),
        page_size: PAGE_SIZE,
        page_token: query.get("page").to_owned(),
    };
    let answer = staff.calls().relay().list_grants(request).await;
    let names = [("login", "login"), ("peer_ip", "client")];
    let (page, problems) = Problems::of_search(&staff.visit, answer, &names)?;
    let fields = html! {
        (Field::new("login", staff.say("pop-column-login")).value(query.get("login")).problem(&problems).text())
        (Field::new("client", staff.say("trouble-field-client")).value(query.get("client")).problem(&problems).text())
    };
    let body = html! {
        p.lead { (staff.say("operator-grants-lead")) }
        (filter(&staff, &DESK, &fields))
        @if page.grants.is_empty() && problems.is_none() {
            (layout::empty(&staff.say("operator-grants-none"), &staff.say("operator-grants-none-text"), None))
        } @else if !page.grants.is_empty() {
            table.list {
                (head(&staff, &COLUMNS))
                tbody { @for grant in &page.grants { (row(&staff, grant)) } }
            }
        }
        (layout::next_page(&staff.visit, &path(&DESK, &[]), &FILTERS, &page.next_page_token))
    };
    Ok(searched(staff.page(&DESK, staff.say(DESK.title), body), &problems))
}

fn row(staff: &Staff, grant: &Grant) -> Markup {
    let reader = &staff.visit.reader;
    html! {
        tr {
            th scope="row" data-label=(staff.say(COLUMNS[0])) { code { (grant.client) } }
            td data-label=(staff.say(COLUMNS[1])) { (layout::address(&grant.login)) }
            td data-label=(staff.say(COLUMNS[2])) { (reader.moment_or(grant.issue_time.as_ref(), "–")) }
            td data-label=(staff.say(COLUMNS[3])) { (reader.moment_or(grant.expire_time.as_ref(), "–")) }
            td data-label=(staff.say(COLUMNS[4])) {
                (button(&staff.visit, &path(&DESK, &[]), &staff.say("pop-revoke"), "",
                    &[("login", &grant.login), ("client", &grant.client)]))
            }
        }
    }
}

pub(super) async fn revoke(staff: Staff) -> Result<Response, Failure> {
    let form = &staff.visit.form;
    let client = form.get("client");
    // An IPv6 grant is that of a /64; the call takes an address of it.
    let peer_ip = client.split('/').next().unwrap_or_default().to_owned();
    if peer_ip.is_empty() {
        // Without a client all grants of the login would go.
        return Err(Failure::BadForm);
    }
    let request = RevokeGrantRequest { login: form.get("login").to_owned(), peer_ip };
    staff.calls().relay().revoke_grant(request).await?;
    let said = Said::new("pop-revoked").with("name", client);
    Ok(staff.visit.done(&path(&DESK, &[]), &said))
}

fn guide(visit: &Visit) -> Markup {
    let time = mail_program::usual_time(visit);
    html! {
        p { (visit.texts().fill("operator-grants-guide", &[("time", time.into())])) }
        dl {
            dt { (visit.say("pop-revoke")) } dd { (visit.say("operator-grants-guide-revoke")) }
            dt { "IPv6" } dd { (visit.say("operator-grants-guide-six")) }
        }
    }
}
