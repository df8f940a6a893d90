//! Where a page stands: a person, a domain, and what the person has besides.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{FromRequestParts, Path},
    response::Response,
};
use http::{StatusCode, request::Parts};
use maud::{Markup, html};
use postern_mail::EmailAddress;
use postern_mesh::identity::Role;
use postern_proto::account::v1::{
    Domain, GetDomainRequest, ListDomainsRequest, ListDomainsResponse, LookupDomainRequest,
    directory_service_client::DirectoryServiceClient,
};

use crate::{
    Panel,
    call::{Calls, Failure},
    layout::{self, Frame, Page},
    menus::{self, Menu},
    router::FRONT,
    session::{self, Person},
    visit::Visit,
};

/// Domains that are asked for with each page of a customer: what the chooser shows, and one more.
const CHOOSER_PAGE: i32 = layout::CHOOSER_MAX as i32 + 1;

/// A page of somebody who is signed in, at one domain.
pub(crate) struct Place {
    pub(crate) visit: Arc<Visit>,
    pub(crate) person: Person,
    /// Of a mailbox user only its name and what lets its mail programs send are known.
    pub(crate) domain: Domain,
    /// Those that can be chosen at once, and one more where there are more.
    pub(crate) domains: Vec<Domain>,
    params: HashMap<String, String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Place {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Somebody { visit, person } = Somebody::from_request_parts(parts, state).await?;
        let Path(params) = Path::<HashMap<String, String>>::from_request_parts(parts, state)
            .await
            .map_err(|_| Failure::NotFound)?;
        let wanted = params.get("domain").cloned().unwrap_or_default();
        let (domain, domains) = domains(&visit.panel, &person, &wanted).await?;
        if let Some(address) = menus::instead(&domain, parts.uri.path()) {
            return Err(Failure::Elsewhere(address));
        }
        Ok(Self { visit, person, domain, domains, params })
    }
}

/// Somebody who is signed in, wherever.
pub(crate) struct Somebody {
    pub(crate) visit: Arc<Visit>,
    pub(crate) person: Person,
}

impl<S: Send + Sync> FromRequestParts<S> for Somebody {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        let visit = parts.extensions.get::<Arc<Visit>>().cloned().ok_or(Failure::Away)?;
        let person = visit.person.clone().ok_or(Failure::SessionEnded)?;
        Ok(Self { visit, person })
    }
}

/// The domain that is wanted, and those that the person may choose from at once.
async fn domains(panel: &Panel, person: &Person, wanted: &str) -> Result<(Domain, Vec<Domain>), Failure> {
    match person.caller.role {
        Role::Mailbox => {
            let own = person.caller.subject.parse::<EmailAddress>().map_err(|_| Failure::NotPermitted)?;
            if own.domain().as_str() != wanted {
                return Err(Failure::NotFound);
            }
            let mut directory = DirectoryServiceClient::new(panel.upstreams.account.clone());
            let request = LookupDomainRequest { name: wanted.to_owned() };
            let known = directory.lookup_domain(request).await.map_err(Failure::from)?.into_inner();
            let known = known.domain.ok_or(Failure::NotFound)?;
            let domain = Domain {
                name: wanted.to_owned(),
                grant_ttl_seconds: known.grant_ttl_seconds,
                auth_only: known.auth_only,
                ..Domain::default()
            };
            Ok((domain.clone(), vec![domain]))
        }
        Role::Customer => {
            let first = ListDomainsRequest { page_size: CHOOSER_PAGE, ..ListDomainsRequest::default() };
            let first = customer_domains(person, first).await?.domains;
            // Most customers have few: one question is enough.
            let domain = match first.iter().find(|domain| domain.name == wanted) {
                Some(domain) => domain.clone(),
                None => one(person, wanted).await?,
            };
            Ok((domain, first))
        }
        Role::Operator | Role::Support => {
            let domain = one(person, wanted).await?;
            Ok((domain.clone(), vec![domain]))
        }
        Role::Service => Err(Failure::NotPermitted),
    }
}

/// The domain of this name, if the person may see it.
async fn one(person: &Person, wanted: &str) -> Result<Domain, Failure> {
    let request = GetDomainRequest { name: wanted.to_owned() };
    match person.calls.domains().get_domain(request).await.map_err(Failure::from) {
        // What is no domain name in an address of a page does not exist.
        Err(Failure::Field { .. }) => Err(Failure::NotFound),
        other => other?.into_inner().domain.ok_or(Failure::NotFound),
    }
}

/// A page of the domains of the customer that this person acts for, ordered by name.
pub(crate) async fn customer_domains(
    person: &Person,
    page: ListDomainsRequest,
) -> Result<ListDomainsResponse, Failure> {
    let request = ListDomainsRequest { customer: person.caller.customer.clone(), ..page };
    Ok(person.calls.domains().list_domains(request).await?.into_inner())
}

impl Place {
    pub(crate) fn calls(&self) -> &Calls {
        &self.person.calls
    }

    /// Asks anew who this is: the calls of a page are good for a minute, and something longer lies between.
    ///
    /// # Errors
    /// When the session has ended meanwhile, or auth does not answer.
    pub(crate) async fn renew(&mut self) -> Result<(), Failure> {
        let person = session::person(&self.visit.panel, self.person.token.clone()).await?;
        self.person = person.ok_or(Failure::SessionEnded)?;
        Ok(())
    }

    /// As [`Person::may`].
    pub(crate) fn may(&self, call: &str) -> bool {
        self.person.may(call)
    }

    /// For pages that are a form and nothing else.
    ///
    /// # Errors
    /// When this person may not make the call that the form leads to.
    pub(crate) fn must(&self, call: &str) -> Result<(), Failure> {
        if self.may(call) { Ok(()) } else { Err(Failure::NotPermitted) }
    }

    /// What changes something, for whoever may make this call; to others a word that they only look.
    pub(crate) fn only_with(&self, call: &str, what: &Markup) -> Markup {
        html! {
            @if self.may(call) { (what) } @else { p.hint { (self.say("layout-looks-only")) } }
        }
    }

    /// Name of the domain.
    pub(crate) fn name(&self) -> &str {
        &self.domain.name
    }

    /// What stands for `{name}` in the address of the page.
    pub(crate) fn param(&self, name: &str) -> &str {
        self.params.get(name).map_or("", String::as_str)
    }

    /// A text without anything to put in.
    pub(crate) fn say(&self, key: &str) -> String {
        self.visit.say(key)
    }

    /// Address of a menu, or of a page in it, for this domain.
    pub(crate) fn path(&self, menu: &Menu, below: &[&str]) -> String {
        path_at(&self.domain.name, menu, below)
    }

    /// A page of a menu with its guide.
    pub(crate) fn page(&self, menu: &Menu, title: String, body: Markup) -> Response {
        self.page_below(menu, Vec::new(), title, body)
    }

    /// A page below a menu: the names and addresses of those above it, without the menu itself.
    pub(crate) fn page_below(
        &self,
        menu: &Menu,
        mut crumbs: Vec<(String, String)>,
        title: String,
        body: Markup,
    ) -> Response {
        let (menu_title, top) = (self.say(menu.title), self.path(menu, &[]));
        // Nothing stands above the page of the menu itself, whatever its title.
        let here = self.visit.address.split('?').next();
        if title != menu_title && here != Some(&*top) {
            crumbs.insert(0, (menu_title, top));
        }
        let page = Page { title, crumbs, body, guide: Some((menu.guide)(self)), status: StatusCode::OK };
        layout::page(&Frame::Place(self, menu), page)
    }
}

/// Address of a menu of a domain.
pub(crate) fn path_at(domain: &str, menu: &Menu, below: &[&str]) -> String {
    let mut path = format!("{FRONT}/{domain}/{}", menu.name);
    for part in below {
        path.push('/');
        path.push_str(&segment(part));
    }
    path
}

/// A name as a part of an address.
pub(crate) fn segment(name: &str) -> String {
    const SAFE: percent_encoding::AsciiSet =
        percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'@').remove(b'~');
    percent_encoding::utf8_percent_encode(name, &SAFE).to_string()
}

#[cfg(test)]
impl Place {
    /// Where somebody stands at a domain, for tests.
    pub(crate) fn at(visit: Arc<Visit>, person: Person, domain: Domain) -> Self {
        Self { visit, person, domains: vec![domain.clone()], domain, params: HashMap::new() }
    }
}
