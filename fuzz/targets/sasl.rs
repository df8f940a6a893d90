//! Answers within AUTH, of both protocols: what is taken is what was sent, and both gateways take the same.

#![no_main]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use libfuzzer_sys::fuzz_target;
use postern_smtp::sasl as smtp;

#[path = "../../services/pop3-gateway/src"]
mod gateway {
    pub mod command;
    pub mod maildrop;
    pub mod sasl;
}
use gateway::{command, maildrop, sasl};

fuzz_target!(|answer: &[u8]| {
    if let Ok(octets) = smtp::decode(answer) {
        assert_eq!(STANDARD.encode(&octets).as_bytes(), answer, "one form only");
        assert_eq!(smtp::decode_initial(answer), Ok(octets));
    }
    // The octets as they are, and as base64 of something.
    both(answer);
    both(STANDARD.encode(answer).as_bytes());
});

fn both(answer: &[u8]) {
    let pop3 = sasl::plain(answer);
    let octets = smtp::decode_initial(answer);
    let by_smtp = octets.clone().and_then(|octets| smtp::plain(&octets));
    if let Ok(credentials) = &by_smtp {
        let pop3 = pop3.as_ref().expect("what SMTP takes POP3 takes");
        assert_eq!((&pop3.login, &pop3.password.0[..]), (&credentials.login, &credentials.password[..]));
        assert!(!credentials.login.chars().any(char::is_control) && !credentials.password.contains(&0));
    }
    if let (Ok(credentials), Ok(octets)) = (&pop3, &octets) {
        let sent = [credentials.login.as_bytes(), b"\0", &credentials.password.0].concat();
        assert!(octets.ends_with(&sent), "nothing is lost");
        assert!(!credentials.login.chars().any(char::is_control) && !credentials.password.0.contains(&0));
        assert!(!format!("{credentials:?}").contains("Password(b"), "a password is never shown");
    }
    if let Ok(name) = sasl::login_name(answer) {
        assert!(!name.is_empty() && !name.chars().any(char::is_control));
    }
    if let Ok(password) = sasl::login_password(answer) {
        assert_eq!(octets.as_deref(), Ok(&password.0[..]));
    }
}
