//! Answers within AUTH: what is taken is what was sent, in one form only, and nobody's password is shown.

#![no_main]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use libfuzzer_sys::fuzz_target;
use postern_mail::{
    limits,
    sasl::{Answer, Credentials, Exchange, Progress},
};

fuzz_target!(|line: &[u8]| {
    // The octets as they are, and as base64 of something.
    answer(line);
    answer(STANDARD.encode(line).as_bytes());
});

fn answer(line: &[u8]) {
    let Ok(read) = Answer::read(line) else { return };
    let octets = STANDARD.decode(line).expect("base64");
    assert_eq!(STANDARD.encode(&octets).as_bytes(), line, "one form only");
    assert_eq!(Answer::read_initial(line), Ok(read.clone()));
    assert_eq!(format!("{read:?}"), "Answer(..)", "a password is never shown");
    if let Ok(progress) = Exchange::Plain.answer(read.clone()) {
        let credentials = complete(progress);
        let sent = [credentials.login.as_bytes(), b"\0", &credentials.password.0].concat();
        assert!(octets.ends_with(&sent), "nothing is lost");
    }
    if let Ok(progress) = Exchange::LoginName.answer(read.clone()) {
        let Progress::Next(Exchange::LoginPassword(login)) = progress else { panic!("{progress:?}") };
        assert_eq!(login.as_bytes(), octets);
        assert!(!login.is_empty() && !login.chars().any(char::is_control));
    }
    if let Ok(progress) = Exchange::LoginPassword("u".to_owned()).answer(read) {
        assert_eq!(complete(progress).password.0, octets);
    }
}

fn complete(progress: Progress) -> Credentials {
    let Progress::Complete(credentials) = progress else { panic!("{progress:?}") };
    let Credentials { login, password } = &credentials;
    assert!((1..=limits::LOGIN_MAX_BYTES).contains(&login.len()) && !login.chars().any(char::is_control));
    assert!(password.0.len() <= limits::PASSWORD_MAX_BYTES && !password.0.contains(&0));
    assert!(format!("{password:?}") == "Password(..)", "a password is never shown");
    credentials
}
