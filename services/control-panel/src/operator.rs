//! What staff see: all customers and domains, the queue, who has boxes open, who may send, who did what, and how the services are.
//! Operators change; support sees, and helps where its rights go. To everybody else there is no such page.

mod audit;
mod customer;
mod customers;
mod domains;
mod grants;
mod health;
mod limits;
mod locks;
mod queue;
mod security;

use std::sync::Arc;

use axum::{
    Router,
    extract::FromRequestParts,
    response::{IntoResponse as _, Redirect, Response},
    routing::{get, post},
};
use http::{StatusCode, request::Parts};
use maud::{Markup, html};
use postern_mesh::identity::Role;

use crate::{
    Panel,
    call::{Calls, Failure},
    form::Problems,
    layout::{self, Frame, Page},
    place::{Somebody, segment},
    session::Person,
    visit::Visit,
};

/// Where staff begin.
pub(crate) const OPERATOR: &str = "/controlpanel/operator";

/// A menu of the operator view.
pub(crate) struct Desk {
    /// In addresses.
    pub(crate) name: &'static str,
    /// Key of its title.
    pub(crate) title: &'static str,
    pub(crate) icon: &'static str,
    /// What each thing in it is for.
    pub(crate) guide: fn(&Visit) -> Markup,
}

/// All of them, in the order of the side. The first is where staff arrive.
pub(crate) static ALL: [&Desk; 7] = [
    &customers::DESK,
    &domains::DESK,
    &queue::DESK,
    &locks::DESK,
    &grants::DESK,
    &audit::DESK,
    &health::DESK,
];

pub(crate) fn routes() -> Router<Arc<Panel>> {
    let at = |below: &str| format!("{OPERATOR}/{below}");
    Router::new()
        .route(OPERATOR, get(async |_: Staff| Redirect::to(&path(&customers::DESK, &[])).into_response()))
        .route(&at("customers"), get(customers::list))
        .route(&at("customers/new"), get(customers::new_page).post(customers::create))
        .route(&at("customers/of/{login}"), get(customer::page))
        .route(&at("customers/of/{login}/state"), post(customer::set_state))
        .route(&at("customers/of/{login}/password"), post(customer::set_password))
        .route(&at("customers/of/{login}/domain"), post(customer::add_domain))
        .route(&at("customers/of/{login}/limits"), post(customer::set_limits))
        .route(&at("customers/of/{login}/second-factor"), post(security::reset))
        .route(&at("customers/of/{login}/sessions"), post(security::end_sessions))
        .route(&at("domains"), get(domains::list))
        .route(&at("queue"), get(queue::list).post(queue::act))
        .route(&at("locks"), get(locks::list).post(locks::release))
        .route(&at("grants"), get(grants::list).post(grants::revoke))
        .route(&at("audit"), get(audit::list))
        .route(&at("health"), get(health::page))
}

/// Address of a desk, or of a page below it.
pub(crate) fn path(desk: &Desk, below: &[&str]) -> String {
    let mut path = format!("{OPERATOR}/{}", desk.name);
    for part in below {
        path.push('/');
        path.push_str(&segment(part));
    }
    path
}

/// A page of one of the staff.
pub(crate) struct Staff {
    pub(crate) visit: Arc<Visit>,
    person: Person,
}

impl<S: Send + Sync> FromRequestParts<S> for Staff {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Somebody { visit, person } = Somebody::from_request_parts(parts, state).await?;
        if person.is_staff() { Ok(Self { visit, person }) } else { Err(Failure::NotFound) }
    }
}

impl Staff {
    fn calls(&self) -> &Calls {
        &self.person.calls
    }

    /// True for operators; support may look.
    fn may_change(&self) -> bool {
        self.person.caller.role == Role::Operator
    }

    fn say(&self, key: &str) -> String {
        self.visit.say(key)
    }

    fn page(&self, desk: &Desk, title: String, body: Markup) -> Response {
        let desk_title = self.say(desk.title);
        let crumbs = if title == desk_title { Vec::new() } else { vec![(desk_title, path(desk, &[]))] };
        let guide = Some((desk.guide)(&self.visit));
        let page = Page { title, crumbs, body, guide, status: StatusCode::OK };
        layout::page(&Frame::Desk(&self.visit, desk), page)
    }
}

/// A page with a search: not taken where something is wrong with it.
fn searched(response: Response, problems: &Problems) -> Response {
    if problems.is_none() { response } else { layout::refused(response) }
}

/// Head of a table: keys of its columns.
fn head(staff: &Staff, columns: &[&str]) -> Markup {
    html! { thead { tr { @for key in columns { th scope="col" { (staff.say(key)) } } } } }
}

/// A filter of a list: its fields, and the way back to all of it.
fn filter(staff: &Staff, desk: &Desk, fields: &Markup) -> Markup {
    html! {
        form.card.filters method="get" action=(path(desk, &[])) {
            div.fields { (fields) }
            div.actions {
                button type="submit" { (staff.say("activity-filter")) }
                a.button href=(path(desk, &[])) { (staff.say("activity-all")) }
            }
        }
    }
}

#[cfg(test)]
mod tests;
