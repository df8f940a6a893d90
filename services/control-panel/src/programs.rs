//! Mail programs set themselves up: what Thunderbird, Outlook and Apple's programs ask for, by the host they ask or the address
//! they give. Everybody may ask, so nothing here says whether a mailbox exists, and there is never a password in it.

pub(crate) mod apple;
mod autoconfig;
pub(crate) mod autodiscover;
pub(crate) mod page;
pub(crate) mod qr;

use std::{borrow::Cow, sync::Arc};

use axum::{Router, extract::State, response::Response, routing::get};
use http::{HeaderMap, Uri};
use postern_mail::{DomainName, EmailAddress};
use postern_proto::account::v1::{LookupDomainRequest, directory_service_client::DirectoryServiceClient};

use crate::{
    Panel, PublicPorts, call::Failure, form::Form, host, mail_program::Sending, place::segment, visit::Visit,
};

/// The page with everything, for whoever has a phone in the hand.
pub(crate) const SET_UP: &str = "/controlpanel/set-up";
const APPLE: &str = "/controlpanel/set-up/apple.mobileconfig";

/// The files that programs ask for: through every door, since most of them ask without TLS first.
pub(crate) fn routes() -> Router<Arc<Panel>> {
    Router::new()
        .route("/mail/config-v1.1.xml", get(autoconfig::file))
        .route("/.well-known/autoconfig/mail/config-v1.1.xml", get(autoconfig::file))
        .route(APPLE, get(apple::file))
}

/// Address of the page with everything for one login, as a phone reaches it.
pub(crate) fn set_up_address(visit: &Visit, domain: &str, login: &str) -> String {
    let scheme = if visit.secure { "https" } else { "http" };
    let port = visit.port.map(|port| format!(":{port}")).unwrap_or_default();
    format!("{scheme}://mail.{domain}{port}{SET_UP}?emailaddress={}", segment(login))
}

/// Path of Apple's profile for one address.
pub(crate) fn apple_path(login: &str) -> String {
    format!("{APPLE}?emailaddress={}", segment(login))
}

/// What a program is told.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) domain: DomainName,
    /// `None`: it did not say for whom.
    pub(crate) address: Option<EmailAddress>,
    pub(crate) sending: Sending,
    ports: PublicPorts,
    /// The mail doors have TLS.
    tls: bool,
}

/// A server as a program is told of it.
struct Server {
    port: u16,
    encryption: Encryption,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encryption {
    /// From the first octet.
    Tls,
    /// After STLS or STARTTLS.
    Upgraded,
    None,
}

impl Account {
    /// That of an address, else of the host that was asked.
    ///
    /// # Errors
    /// When the domain is not hosted here, or account does not say.
    pub(crate) async fn find(panel: &Panel, host: &DomainName, typed: &str) -> Result<Self, Failure> {
        let address = typed.trim().parse::<EmailAddress>().ok();
        let domain = address.as_ref().map_or_else(|| host.clone(), |address| address.domain().clone());
        let request = LookupDomainRequest { name: domain.to_string() };
        let mut directory = DirectoryServiceClient::new(panel.upstreams.account.clone());
        let known = directory.lookup_domain(request).await.map_err(Failure::from)?.into_inner();
        let known = known.domain.ok_or(Failure::NotFound)?;
        let sending = Sending::of(panel, known.auth_only, known.grant_ttl_seconds);
        Ok(Self { domain, address, sending, ports: panel.settings.ports(), tls: panel.tls })
    }

    async fn asked(panel: &Panel, headers: &HeaderMap, uri: &Uri) -> Result<Self, Failure> {
        let query = Form::read(&uri.query().unwrap_or_default().to_owned().into()).unwrap_or_default();
        let host = host::domain(headers, uri, &panel.settings.mail_host);
        Self::find(panel, &host, query.get("emailaddress")).await
    }

    pub(crate) fn host(&self) -> String {
        self.domain.mail_host()
    }

    /// The best door first.
    fn incoming(&self) -> Vec<Server> {
        self.servers(self.ports.pop3s, self.ports.pop3)
    }

    fn outgoing(&self) -> Vec<Server> {
        self.servers(self.ports.smtps, self.ports.submission)
    }

    fn servers(&self, tls: u16, plain: u16) -> Vec<Server> {
        if self.tls {
            vec![
                Server { port: tls, encryption: Encryption::Tls },
                Server { port: plain, encryption: Encryption::Upgraded },
            ]
        } else {
            vec![Server { port: plain, encryption: Encryption::None }]
        }
    }
}

/// Text as the content of an XML element or attribute. What is put in are addresses and names, which have no characters that XML
/// cannot hold.
fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&apos;"),
            letter => safe.push(letter),
        }
    }
    Cow::Owned(safe)
}

/// What programs that are no browsers get of a failure: its code.
fn refused(failure: &Failure) -> Response {
    axum::response::IntoResponse::into_response(failure.status())
}

type PanelState = State<Arc<Panel>>;

#[cfg(test)]
mod tests;
