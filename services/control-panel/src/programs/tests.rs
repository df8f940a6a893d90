//! The files are what their formats say, for every kind of address, and hold no secret.

use super::*;

fn account(address: Option<&str>, tls: bool) -> Account {
    Account {
        domain: "homepage.test".parse().expect("a domain"),
        address: address.map(|address| address.parse().expect("an address")),
        sending: Sending::AfterCheck(1800),
        ports: PublicPorts { pop3: 110, pop3s: 995, submission: 587, smtps: 465, https: 443 },
        tls,
    }
}

/// Elements are closed in their order, and outside of them there is no `<`. Enough of a parser for what we write.
fn well_formed(document: &str) {
    let mut open = Vec::new();
    for piece in document.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').expect("a tag ends");
        assert!(!text.contains('>'), "{text}");
        for reference in text.split('&').skip(1) {
            assert!(
                ["amp;", "lt;", "gt;", "quot;", "apos;"].iter().any(|known| reference.starts_with(known)),
                "{text}"
            );
        }
        if tag.starts_with(['?', '!']) || tag.ends_with('/') {
            continue;
        }
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{document}"),
            None => open.push(tag.split(' ').next().unwrap_or_default()),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

/// What stands in the first element of this name after a text.
fn after<'d>(document: &'d str, begin: &str, tag: &str) -> &'d str {
    let (_, rest) = document.split_once(begin).expect(begin);
    let (_, rest) = rest.split_once(&format!("<{tag}>")).expect(tag);
    rest.split('<').next().unwrap_or_default()
}

#[test]
fn thunderbird_gets_every_door_the_best_one_first() {
    let document = autoconfig::document(&account(None, true));
    well_formed(&document);
    let incoming: Vec<_> = document.match_indices("<incomingServer type=\"pop3\">").collect();
    let outgoing: Vec<_> = document.match_indices("<outgoingServer type=\"smtp\">").collect();
    assert_eq!((incoming.len(), outgoing.len()), (2, 2));
    assert_eq!(after(&document, "incomingServer", "port"), "995");
    assert_eq!(after(&document, "incomingServer", "socketType"), "SSL");
    assert_eq!(after(&document, "incomingServer", "hostname"), "mail.homepage.test");
    assert_eq!(after(&document, "incomingServer", "username"), "%EMAILADDRESS%");
    assert_eq!(after(&document, "outgoingServer", "port"), "465");
    assert!(document.contains("<port>587</port>\n      <socketType>STARTTLS</socketType>"));
    let plain = autoconfig::document(&account(Some("anna@homepage.test"), false));
    assert_eq!(after(&plain, "incomingServer", "socketType"), "plain");
    assert_eq!(after(&plain, "incomingServer", "port"), "110");
    assert_eq!(after(&plain, "outgoingServer", "username"), "anna@homepage.test");
}

#[test]
fn outlook_gets_one_server_of_each_kind() {
    let document = autodiscover::document(&account(Some("anna@homepage.test"), true));
    well_formed(&document);
    assert_eq!(document.matches("<Protocol>").count(), 2);
    assert_eq!(after(&document, "<Type>POP3", "Port"), "995");
    assert_eq!(after(&document, "<Type>SMTP", "Port"), "465");
    assert_eq!(after(&document, "<Type>SMTP", "LoginName"), "anna@homepage.test");
    assert_eq!(after(&document, "<Type>SMTP", "Encryption"), "SSL");
    let plain = autodiscover::document(&account(Some("anna@homepage.test"), false));
    assert_eq!(after(&plain, "<Type>POP3", "SSL"), "off");
}

#[test]
fn the_question_of_outlook_is_read() {
    for (question, expected) in [
        ("<Request><EMailAddress>anna@homepage.test</EMailAddress></Request>", Some("anna@homepage.test")),
        ("<a:EMailAddress> b&amp;c@homepage.test </a:EMailAddress>", Some("b&c@homepage.test")),
        ("<EMailAddress>&amp;lt;</EMailAddress>", Some("&lt;")),
        ("<EMailAddress>never ends", None),
        ("", None),
    ] {
        assert_eq!(autodiscover::address_in(question).as_deref(), expected, "{question}");
    }
}

#[test]
fn apple_gets_a_profile_that_replaces_the_one_before() {
    let document = apple::document(&account(Some("anna@homepage.test"), true)).expect("a profile");
    well_formed(&document);
    for told in [
        "<string>EmailTypePOP</string>",
        "<key>IncomingMailServerPortNumber</key>\n      <integer>995</integer>",
        "<key>OutgoingMailServerPortNumber</key>\n      <integer>465</integer>",
        "<key>IncomingMailServerUseSSL</key>\n      <true/>",
    ] {
        assert!(document.contains(told), "{told}");
    }
    assert_eq!(Some(document.clone()), apple::document(&account(Some("anna@homepage.test"), true)));
    assert_ne!(Some(document), apple::document(&account(Some("bob@homepage.test"), true)));
    assert_eq!(apple::document(&account(None, true)), None, "for one address only");
}

#[test]
fn hostile_addresses_are_text_and_no_file_holds_a_password() {
    for address in ["\"<script>&'\"@homepage.test", "a&b'c@homepage.test", "\"]]>\"@homepage.test"] {
        // One that is no address at all here goes into no file.
        if address.parse::<EmailAddress>().is_err() {
            continue;
        }
        let account = account(Some(address), true);
        for document in [
            autoconfig::document(&account),
            autodiscover::document(&account),
            apple::document(&account).expect("a profile"),
        ] {
            well_formed(&document);
            assert!(!document.contains("<script") && !document.contains("]]>"), "{document}");
            assert!(document.contains(&*escaped(address)), "{document}");
            let small = document.to_lowercase();
            assert!(!small.contains("<password>") && !small.contains("<key>incomingpassword</key>"));
        }
    }
    assert_eq!(escaped("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&apos;");
    assert!("a&b'c@homepage.test".parse::<EmailAddress>().is_ok(), "the loop has seen one");
}

#[test]
fn a_code_is_a_drawing_with_white_around_it() {
    let drawn = qr::code("https://mail.homepage.test/controlpanel/set-up", "a <label>").into_string();
    assert!(drawn.starts_with("<svg class=\"qr\" role=\"img\" aria-label=\"a &lt;label&gt;\""), "{drawn}");
    assert!(drawn.contains("M4,4h1v1h-1z") && !drawn.contains("M3,"), "the corner is dark, the edge is not");
    assert_eq!(qr::code(&"x".repeat(5000), "").into_string(), "", "too long for a code");
}
