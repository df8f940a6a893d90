//! Outlook: it posts the address to `/autodiscover/autodiscover.xml`, in whatever case its version likes, and is answered with the
//! "POX" settings that Microsoft documents as MS-OXDSCLI.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{Method, StatusCode, header};

use super::{Account, Encryption, PanelState, Server, escaped, refused};
use crate::host;

const PATH: &str = "/autodiscover/autodiscover.xml";
/// Octets of a question.
const QUESTION_MAX_BYTES: usize = 64 * 1024;

/// Answers the path in any case; everything else goes on.
pub(crate) async fn any_case(State(panel): PanelState, request: Request, next: Next) -> Response {
    if !request.uri().path().eq_ignore_ascii_case(PATH) {
        return next.run(request).await;
    }
    if request.method() != Method::POST {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")]).into_response();
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, QUESTION_MAX_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let Some(address) = address_in(&String::from_utf8_lossy(&body)) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let host = host::domain(&parts.headers, &parts.uri, &panel.settings.mail_host);
    match Account::find(&panel, &host, &address).await {
        // Without an address there is nobody to set up.
        Ok(account) if account.address.is_none() => StatusCode::BAD_REQUEST.into_response(),
        Ok(account) => {
            let kind = [(header::CONTENT_TYPE, "text/xml; charset=utf-8")];
            (kind, document(&account)).into_response()
        }
        Err(failure) => refused(&failure),
    }
}

/// What stands in `EMailAddress`, with or without a prefix of its name space.
pub(super) fn address_in(question: &str) -> Option<String> {
    let (_, rest) = question.split_once("EMailAddress>")?;
    let (address, _) = rest.split_once('<')?;
    // `&amp;` last: what it gives is not read again.
    let address = address.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    Some(address.replace("&apos;", "'").replace("&amp;", "&").trim().to_owned())
}

pub(super) fn document(account: &Account) -> String {
    let host = account.host();
    let login = account.address.as_ref().map(ToString::to_string).unwrap_or_default();
    let (host, login) = (escaped(&host), escaped(&login));
    let protocol = |kind: &str, more: &str, server: &Server| {
        let (ssl, encryption) = match server.encryption {
            Encryption::Tls => ("on", "SSL"),
            Encryption::Upgraded => ("on", "TLS"),
            Encryption::None => ("off", "None"),
        };
        format!(
            "      <Protocol>\n        <Type>{kind}</Type>\n        <Server>{host}</Server>\n        <Port>{}</Port>\n        \
             <LoginName>{login}</LoginName>\n        <DomainRequired>off</DomainRequired>\n        <SPA>off</SPA>\n        \
             <SSL>{ssl}</SSL>\n        <Encryption>{encryption}</Encryption>\n        <AuthRequired>on</AuthRequired>\n\
             {more}      </Protocol>\n",
            server.port,
        )
    };
    // One of each kind: Outlook takes the first and no other.
    let best = |kind: &str, more: &str, servers: Vec<Server>| {
        servers.first().map(|server| protocol(kind, more, server)).unwrap_or_default()
    };
    let incoming = best("POP3", "", account.incoming());
    let outgoing = best(
        "SMTP",
        "        <UsePOPAuth>on</UsePOPAuth>\n        <SMTPLast>off</SMTPLast>\n",
        account.outgoing(),
    );
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006\">\n  \
         <Response xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a\">\n    \
         <Account>\n      <AccountType>email</AccountType>\n      <Action>settings</Action>\n\
         {incoming}{outgoing}    </Account>\n  </Response>\n</Autodiscover>\n"
    )
}
