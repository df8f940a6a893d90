//! The menus of a domain, one file each. A menu has a name in addresses, a title, a guide that says what it is for, and those
//! it is for; its file has its pages.

mod activity;
mod autoresponders;
mod default_address;
mod domain;
mod forwards;
mod home;
mod mail;
mod mailing_lists;
mod pop_accounts;
mod set_up;
mod trouble;
mod undo;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{Router, response::Response};
use http::StatusCode;
use maud::{Markup, html};
use postern_mesh::identity::Role;
use postern_proto::account::v1::{Domain, DomainState, ListDomainsRequest};

pub(crate) use self::pop_accounts::Imports;
use crate::{
    Panel,
    call::Failure,
    layout::{self, Frame, Page, finding, icon},
    place::{self, Place, path_at},
    router::{DOMAINS, FRONT},
    session::Person,
    visit::Visit,
};

/// Domains on one page of their list.
const DOMAINS_SHOWN: i32 = 60;

/// A menu.
pub(crate) struct Menu {
    /// In addresses.
    pub(crate) name: &'static str,
    /// Key of its title.
    pub(crate) title: &'static str,
    pub(crate) icon: &'static str,
    /// What each thing in it is for, with the values of the domain where the reader is.
    pub(crate) guide: fn(&Place) -> Markup,
    /// Whether the user of one mailbox has it, too: for the own box.
    pub(crate) for_mailbox_users: bool,
}

impl Menu {
    /// Whether this person has it.
    pub(crate) fn is_for(&self, person: &Person) -> bool {
        match person.caller.role {
            Role::Mailbox => self.for_mailbox_users,
            Role::Customer | Role::Operator | Role::Support => true,
            Role::Service => false,
        }
    }

    /// Whether it has something to show at this domain: a second name has nothing of its own, a claim has nothing yet.
    pub(crate) fn is_at(&self, domain: &Domain) -> bool {
        let own = domain.alias_of.is_empty() && domain.state() != DomainState::Claimed;
        own || self.name == domain::MENU.name || self.name == activity::MENU.name
    }
}

/// The address of the page that is shown instead of one of a menu that has nothing to show at this domain.
pub(crate) fn instead(domain: &Domain, path: &str) -> Option<String> {
    let below = path.strip_prefix(FRONT)?.strip_prefix('/')?.split_once('/')?.1;
    let menu = ALL.iter().find(|menu| below.split('/').next() == Some(menu.name))?;
    (!menu.is_at(domain)).then(|| path_at(&domain.name, &domain::MENU, &[]))
}

/// All of them, in the order of the side. The first is where one arrives.
pub(crate) static ALL: [&Menu; 11] = [
    &home::MENU,
    &pop_accounts::MENU,
    &forwards::MENU,
    &mailing_lists::MENU,
    &autoresponders::MENU,
    &default_address::MENU,
    &domain::MENU,
    &set_up::MENU,
    &mail::MENU,
    &trouble::MENU,
    &activity::MENU,
];

/// Address of the page of the own box of a mailbox user.
pub(crate) fn own_box(login: &str) -> String {
    let domain = login.rsplit_once('@').map_or("", |(_, domain)| domain);
    path_at(domain, &pop_accounts::MENU, &["box", login])
}

/// What was typed before the `@`, or the whole address.
pub(crate) fn whole_address(place: &Place, typed: &str) -> String {
    if typed.contains('@') { typed.to_owned() } else { format!("{typed}@{}", place.name()) }
}

/// The pages of all menus.
pub(crate) fn routes() -> Router<Arc<Panel>> {
    Router::new()
        .merge(home::routes())
        .merge(pop_accounts::routes())
        .merge(forwards::routes())
        .merge(mailing_lists::routes())
        .merge(autoresponders::routes())
        .merge(default_address::routes())
        .merge(domain::routes())
        .merge(set_up::routes())
        .merge(mail::routes())
        .merge(trouble::routes())
        .merge(activity::routes())
}

/// What takes files, which only [`crate::upload::Upload`] reads.
pub(crate) fn uploads() -> Router<Arc<Panel>> {
    pop_accounts::uploads()
}

/// The domains of a customer who has several, or none, by pages.
pub(crate) async fn domain_list(visit: &Visit, person: &Person) -> Result<Response, Failure> {
    let request = ListDomainsRequest {
        page_size: DOMAINS_SHOWN,
        page_token: visit.query.get("page").to_owned(),
        prefix: finding::asked(visit),
        ..ListDomainsRequest::default()
    };
    let page = place::customer_domains(person, request).await?;
    let body = html! {
        @if page.domains.is_empty() && finding::asked(visit).is_empty() {
            (layout::empty(&visit.say("domains-none"), &visit.say("domains-none-text"), None))
        } @else {
            p.lead { (visit.say("domains-lead")) }
            (finding::search(visit, DOMAINS, &page.next_page_token))
            @if page.domains.is_empty() { @if let Some(nothing) = finding::nothing(visit) { (nothing) } }
            ul.tiles {
                @for domain in &page.domains {
                    li { a.card href=(path_at(&domain.name, ALL[0], &[])) { (icon("domain")) strong { (domain.name) } } }
                }
            }
            (finding::paging(visit, DOMAINS, &page.next_page_token))
        }
    };
    let title = visit.say("domains-title");
    let page = Page { title, crumbs: Vec::new(), body, guide: None, status: StatusCode::OK };
    Ok(layout::page(&Frame::Visit(visit), page))
}
