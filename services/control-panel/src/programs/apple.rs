//! Apple's programs: a configuration profile that sets up one account and asks for its password when it is installed.

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode, Uri, header};
use ring::digest;
use uuid::Builder;

use super::{Account, Encryption, PanelState, Server, escaped, refused};

pub(super) async fn file(State(panel): PanelState, headers: HeaderMap, uri: Uri) -> Response {
    match Account::asked(&panel, &headers, &uri).await {
        Ok(account) => match document(&account) {
            Some(text) => {
                let kind = [
                    (header::CONTENT_TYPE, "application/x-apple-aspen-config"),
                    (header::CONTENT_DISPOSITION, "attachment; filename=\"mail.mobileconfig\""),
                ];
                (kind, text).into_response()
            }
            None => StatusCode::BAD_REQUEST.into_response(),
        },
        Err(failure) => refused(&failure),
    }
}

/// `None`: a profile is for one address, and there is none.
pub(super) fn document(account: &Account) -> Option<String> {
    let address = account.address.as_ref()?.to_string();
    let (incoming, outgoing) = (account.incoming(), account.outgoing());
    let (incoming, outgoing) = (incoming.first()?, outgoing.first()?);
    let mut mail = String::new();
    let mut text = |key: &str, value: &str| {
        mail += &format!("      <key>{key}</key>\n      <string>{}</string>\n", escaped(value));
    };
    text("PayloadType", "com.apple.mail.managed");
    text("PayloadIdentifier", &format!("postern.mail.{}", number("account", &address)));
    text("PayloadUUID", &number("account", &address));
    text("PayloadDisplayName", &address);
    text("EmailAccountType", "EmailTypePOP");
    text("EmailAccountDescription", &address);
    text("EmailAddress", &address);
    for (kind, user) in [("IncomingMailServer", &address), ("OutgoingMailServer", &address)] {
        text(&format!("{kind}Authentication"), "EmailAuthPassword");
        text(&format!("{kind}HostName"), &account.host());
        text(&format!("{kind}Username"), user);
    }
    mail += &port("IncomingMailServer", incoming);
    mail += &port("OutgoingMailServer", outgoing);
    mail += "      <key>OutgoingPasswordSameAsIncomingPassword</key>\n      <true/>\n      \
             <key>PayloadVersion</key>\n      <integer>1</integer>\n";
    let (name, own) = (escaped(&address), number("profile", &address));
    Some(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
         \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\">\n<dict>\n  \
         <key>PayloadContent</key>\n  <array>\n    <dict>\n{mail}    </dict>\n  </array>\n  \
         <key>PayloadDisplayName</key>\n  <string>{name}</string>\n  \
         <key>PayloadIdentifier</key>\n  <string>postern.profile.{own}</string>\n  \
         <key>PayloadType</key>\n  <string>Configuration</string>\n  \
         <key>PayloadUUID</key>\n  <string>{own}</string>\n  \
         <key>PayloadVersion</key>\n  <integer>1</integer>\n</dict>\n</plist>\n"
    ))
}

fn port(kind: &str, server: &Server) -> String {
    let tls = if server.encryption == Encryption::None { "false" } else { "true" };
    format!(
        "      <key>{kind}PortNumber</key>\n      <integer>{}</integer>\n      <key>{kind}UseSSL</key>\n      <{tls}/>\n",
        server.port
    )
}

/// The same for the same address each time: a profile that is installed again takes the place of the one before.
fn number(of: &str, address: &str) -> String {
    let hash = digest::digest(&digest::SHA256, format!("{of} {address}").as_bytes());
    let mut octets = [0; 16];
    octets.iter_mut().zip(hash.as_ref()).for_each(|(octet, from)| *octet = *from);
    Builder::from_custom_bytes(octets).into_uuid().to_string()
}
