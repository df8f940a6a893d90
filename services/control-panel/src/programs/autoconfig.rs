//! Thunderbird and its relatives: `config-v1.1.xml`, the format that Mozilla documents as "autoconfig".

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, Uri, header};

use super::{Account, Encryption, PanelState, Server, escaped, refused};

/// What the program puts the whole address for.
const ANY_ADDRESS: &str = "%EMAILADDRESS%";

pub(super) async fn file(State(panel): PanelState, headers: HeaderMap, uri: Uri) -> Response {
    match Account::asked(&panel, &headers, &uri).await {
        Ok(account) => {
            let kind = [(header::CONTENT_TYPE, "text/xml; charset=utf-8")];
            (kind, document(&account)).into_response()
        }
        Err(failure) => refused(&failure),
    }
}

pub(super) fn document(account: &Account) -> String {
    let (domain, host) = (account.domain.to_string(), account.host());
    let (domain, host) = (escaped(&domain), escaped(&host));
    let login = account.address.as_ref().map_or_else(|| ANY_ADDRESS.to_owned(), ToString::to_string);
    let login = escaped(&login);
    let server = |tag: &str, kind: &str, server: &Server| {
        format!(
            "    <{tag} type=\"{kind}\">\n      <hostname>{host}</hostname>\n      <port>{}</port>\n      \
             <socketType>{}</socketType>\n      <authentication>password-cleartext</authentication>\n      \
             <username>{login}</username>\n    </{tag}>\n",
            server.port,
            socket(server.encryption),
        )
    };
    let incoming = account.incoming().iter().map(|s| server("incomingServer", "pop3", s)).collect::<String>();
    let outgoing = account.outgoing().iter().map(|s| server("outgoingServer", "smtp", s)).collect::<String>();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<clientConfig version=\"1.1\">\n  <emailProvider id=\"{domain}\">\n    \
         <domain>{domain}</domain>\n    <displayName>{domain}</displayName>\n    \
         <displayShortName>{domain}</displayShortName>\n{incoming}{outgoing}  </emailProvider>\n</clientConfig>\n"
    )
}

fn socket(encryption: Encryption) -> &'static str {
    match encryption {
        Encryption::Tls => "SSL",
        Encryption::Upgraded => "STARTTLS",
        Encryption::None => "plain",
    }
}
