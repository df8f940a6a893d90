//! AUTHORIZATION: passwords, AUTH, STLS and UTF8.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use postern_mail::Password;

use super::*;

fn credentials(login: &str, password: &str) -> Effect {
    let password = Password(Bytes::copy_from_slice(password.as_bytes()));
    Effect::Authenticate(Credentials { login: login.to_owned(), password })
}

#[test]
fn p_20_p_28_wrong_order() {
    assert!(Table::new().line("PASS secret").starts_with("-ERR bad sequence"));
    let mut table = Table::open(&[]);
    for line in ["USER x", "PASS y", "AUTH", "AUTH PLAIN", "STLS"] {
        assert!(table.line(line).starts_with("-ERR bad sequence"), "{line}");
    }
    // PASS twice: the user is forgotten after a failure.
    let mut table = Table::new();
    table.attempt(Reason::BadCredentials);
    assert!(table.line("PASS again").starts_with("-ERR bad sequence"));
}

#[test]
fn p_21_p_22_user_tells_nothing_and_passwords_are_verbatim() {
    let mut table = Table::new();
    assert_eq!(table.line("USER known@homepage.test"), table.line("USER unknown@homepage.test"));
    assert_eq!(table.effect("PASS  a:% b "), credentials("unknown@homepage.test", " a:% b "));
}

#[test]
fn p_23_p_24_wrong_passwords() {
    let mut table = Table::new();
    for _ in 0..2 {
        let (effect, said) = table.attempt(Reason::BadCredentials);
        assert_eq!((effect, said.as_str()), (Effect::Continue, "-ERR [AUTH] login or password is wrong\r\n"));
    }
    let (effect, said) = table.attempt(Reason::BadCredentials);
    assert_eq!(effect, hangup(Outcome::TooManyErrors));
    assert!(said.starts_with("-ERR [AUTH] "), "{said}");
}

/// Only auth knows, and says so only to the right password: the client is not asked for it again and again (decision 99).
#[test]
fn p_23_p_43_a_suspended_box_is_told_to_who_has_its_password() {
    let mut table = Table::new();
    for _ in 0..5 {
        let (effect, said) = table.attempt(Reason::AccountSuspended);
        assert_eq!(effect, Effect::Continue, "no failure of the client's");
        assert!(said.starts_with("-ERR [SYS/PERM] disconnected by administrator"), "{said}");
    }
}

#[test]
fn p_24_the_count_survives_tls() {
    let mut table = Table::new();
    table.attempt(Reason::BadCredentials);
    table.attempt(Reason::BadCredentials);
    assert_eq!(table.effect("STLS"), Effect::StartTls);
    table.event(Event::TlsStarted);
    table.said();
    assert_eq!(table.attempt(Reason::BadCredentials).0, hangup(Outcome::TooManyErrors));
}

#[test]
fn a_password_that_cannot_be_right_is_wrong_without_asking() {
    let mut table = Table::new();
    let answer = STANDARD.encode([b"\0u@x.test\0".to_vec(), vec![b'x'; 1025]].concat());
    table.line("AUTH PLAIN");
    assert!(table.line(&answer).starts_with("-ERR [AUTH] "));
}

#[test]
fn p_25_auth_alone_lists() {
    assert_eq!(Table::new().line("AUTH"), "+OK mechanisms follow\r\nPLAIN\r\nLOGIN\r\n.\r\n");
}

#[test]
fn p_26_auth_plain() {
    let good = STANDARD.encode("\0user@homepage.test\0secret");
    let wanted = credentials("user@homepage.test", "secret");
    assert_eq!(Table::new().effect(&format!("AUTH PLAIN {good}")), wanted);
    let mut table = Table::new();
    assert_eq!(table.line("AUTH PLAIN"), "+ \r\n");
    assert_eq!(table.session.line_limit(), 12_288);
    assert_eq!(table.effect(&good), wanted);

    let other = STANDARD.encode("admin\0user@homepage.test\0secret");
    let forged = STANDARD.encode("\0user\r\nQUIT\0secret");
    for (answer, said) in [
        ("*", "-ERR authentication cancelled\r\n"),
        ("=", "-ERR authentication data cannot be decoded\r\n"),
        ("%%%", "-ERR authentication data cannot be decoded\r\n"),
        (&forged, "-ERR authentication data cannot be decoded\r\n"),
        (&other, "-ERR [AUTH] login or password is wrong\r\n"),
    ] {
        let mut table = Table::new();
        table.line("AUTH PLAIN");
        assert_eq!(table.line(answer), said, "{answer}");
        assert_eq!(table.line("USER x"), "+OK send PASS\r\n", "back in AUTHORIZATION");
    }
}

#[test]
fn auth_login_prompts_twice() {
    let mut table = Table::new();
    assert_eq!(table.line("AUTH LOGIN"), "+ VXNlcm5hbWU6\r\n");
    assert_eq!(table.line(&STANDARD.encode("user@homepage.test")), "+ UGFzc3dvcmQ6\r\n");
    assert_eq!(table.effect(&STANDARD.encode("secret")), credentials("user@homepage.test", "secret"));
}

#[test]
fn p_27_p_29_what_is_not_offered() {
    let mut table = Table::new();
    assert_eq!(table.line("AUTH CRAM-MD5"), "-ERR unrecognized authentication type\r\n");
    assert!(table.line("APOP user c4c9334bac560ecc979e58001b3e22fb").starts_with("-ERR "));
    let mut table = Table::new();
    let too_long = Event::Line { line: Line::TooLong, more: false };
    assert_eq!(table.event(too_long), Effect::Continue);
    assert_eq!(table.said(), "-ERR line too long\r\n");
    table.line("AUTH PLAIN");
    assert_eq!(table.event(Event::Line { line: Line::TooLong, more: false }), Effect::Continue);
    assert_eq!(table.said(), "-ERR authentication exchange line is too long\r\n");
}

#[test]
fn p_30_without_tls_no_password_is_asked_for() {
    let mut table = Table::with(Policy { plaintext_login: false, ..OPEN_POLICY });
    let capabilities = table.line("CAPA");
    assert!(
        !capabilities.contains("USER")
            && !capabilities.contains("SASL")
            && capabilities.contains("\r\nSTLS\r\n")
    );
    for line in ["USER x", "PASS y", "AUTH PLAIN"] {
        let said = table.line(line);
        assert!(said.starts_with("-ERR encryption is required"), "{said}");
    }
    assert_eq!(table.line("AUTH"), "+OK mechanisms follow\r\n.\r\n");
    assert_eq!(table.effect("STLS"), Effect::StartTls);
    assert_eq!(table.event(Event::TlsStarted), Effect::Continue);
    table.said();
    assert!(table.line("CAPA").contains("\r\nUSER\r\nSASL PLAIN LOGIN\r\n"));
}

#[test]
fn p_30_a_domain_that_takes_no_clear_text_is_told_without_auth() {
    let mut table = Table::new();
    for _ in 0..5 {
        table.line("USER x@y.test");
        table.effect("PASS z");
        // Not the password was wrong: it is no failure of the client's.
        assert_eq!(table.authenticated(Err(Reason::EncryptionRequired)), Effect::Continue);
        let said = table.said();
        assert!(said.starts_with("-ERR encryption is required"), "{said}");
    }
}

#[test]
fn p_40_in_use_is_told_to_who_knows_the_password() {
    let mut table = Table::new();
    table.line("USER user@homepage.test");
    table.effect("PASS secret");
    assert!(matches!(table.authenticated(Ok(())), Effect::Open(_)));
    let detail = "in use since 12:03 from 203.0.113.9; it frees itself within 60 s of that session ending";
    let denial = Denial { reason: Reason::MailboxInUse, detail: Some(detail.to_owned()) };
    assert_eq!(table.event(Event::Opened(Err(denial))), Effect::Continue);
    assert_eq!(table.said(), format!("-ERR [IN-USE] can't lock account: {detail}\r\n"));
    assert!(!table.session.holds_box());
}

#[test]
fn p_41_p_42_p_43_r0_what_a_login_may_hear() {
    for reason in Reason::ALL {
        let said = Table::new().attempt(*reason).1;
        let permanent = said.starts_with("-ERR [AUTH]") || said.starts_with("-ERR [SYS/PERM]");
        // P-30: the password was not looked at.
        let coded = said.starts_with("-ERR [") || *reason == Reason::EncryptionRequired;
        assert!(coded, "without a code it would be a wrong password: {said}");
        let typed = [
            Reason::BadCredentials,
            Reason::AccountSuspended,
            Reason::TooManyFailures,
            Reason::MailboxRemoved,
            Reason::MessageDamaged,
        ];
        assert_eq!(permanent, typed.contains(reason), "{reason:?}: {said}");
    }
    assert!(Table::new().attempt(Reason::LoginThrottled).1.starts_with("-ERR [LOGIN-DELAY] "));
    assert!(Table::new().attempt(Reason::Unavailable).1.starts_with("-ERR [SYS/TEMP] "));
}

#[test]
fn p_42_a_part_that_is_away_is_no_wrong_password() {
    let mut table = Table::new();
    for _ in 0..10 {
        assert_eq!(table.attempt(Reason::Unavailable).0, Effect::Continue);
    }
}

#[test]
fn p_100_utf8_before_login_only() {
    let mut table = Table::new();
    assert!(!table.session.takes_utf8());
    assert!(table.line("UTF8 USER").starts_with("-ERR "), "with an argument");
    assert!(!table.session.takes_utf8());
    for _ in 0..2 {
        assert_eq!(table.line("utf8"), "+OK UTF-8 in headers\r\n");
        assert!(table.session.takes_utf8());
    }
    table.attempt(Reason::BadCredentials);
    assert!(table.session.takes_utf8(), "a wrong password changes nothing");
    let mut table = Table::open(&[1]);
    assert!(table.line("UTF8").starts_with("-ERR "), "in TRANSACTION");
    assert!(!table.session.takes_utf8());
}

#[test]
fn p_102_behind_utf8_no_stls_and_no_password_in_other_octets() {
    let mut table = Table::new();
    table.line("UTF8");
    assert!(table.line("STLS").starts_with("-ERR "));
    assert!(!table.line("CAPA").contains("STLS"), "and it is not offered");
    table.line("USER user@homepage.test");
    let pass =
        |octets: &'static [u8]| Event::Line { line: Line::Text(Bytes::from_static(octets)), more: false };
    assert_eq!(table.event(pass(b"PASS \xe9\xff")), Effect::Continue);
    assert!(table.said().starts_with("-ERR "));
    assert_eq!(table.event(pass(b"USER \xff")), hangup(Outcome::TooManyErrors), "the third bad command");
    let mut table = Table::new();
    table.line("UTF8");
    table.line("USER user@homepage.test");
    assert_eq!(table.effect("PASS p\u{e4}ss"), credentials("user@homepage.test", "p\u{e4}ss"));
}

#[test]
fn p_91_p_93_stls() {
    let mut table = Table::new();
    table.line("USER x");
    assert!(table.line("STLS now").starts_with("-ERR "));
    assert_eq!(table.effect("STLS"), Effect::StartTls);
    assert_eq!(table.said(), "+OK begin TLS\r\n");
    table.event(Event::TlsStarted);
    assert!(table.line("PASS y").starts_with("-ERR bad sequence"), "USER is forgotten");
    let mut table = Table::new();
    table.effect("STLS");
    table.event(Event::TlsStarted);
    table.said();
    assert!(table.line("STLS").starts_with("-ERR "), "not twice");
    assert!(!table.line("CAPA").contains("STLS"));
    let mut none = Table::with(Policy { stls: false, ..OPEN_POLICY });
    assert_eq!(none.line("STLS"), "-ERR command not implemented\r\n");
}

#[test]
fn p_92_what_is_sent_behind_stls_is_never_read() {
    let mut table = Table::new();
    let line = Line::Text(Bytes::from_static(b"STLS"));
    assert_eq!(table.event(Event::Line { line, more: true }), hangup(Outcome::TlsFailed));
    assert!(table.said().starts_with("-ERR "));
}
