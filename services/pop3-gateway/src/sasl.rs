//! SASL answers to credentials: PLAIN (RFC 4616) and LOGIN (two prompts). Pure.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use postern_mail::Reason;

use crate::command::Password;

/// Who wants to log in, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// As typed.
    pub(crate) login: String,
    /// As typed.
    pub(crate) password: Password,
}

/// Prompt for the login name (base64 of `Username:`).
pub(crate) const LOGIN_PROMPT_NAME: &str = "VXNlcm5hbWU6";
/// Prompt for the password (base64 of `Password:`).
pub(crate) const LOGIN_PROMPT_PASSWORD: &str = "UGFzc3dvcmQ6";

/// Reads the answer of PLAIN: `authzid NUL authcid NUL password`.
///
/// # Errors
/// [`Reason::AuthenticationMalformed`], or [`Reason::BadCredentials`] when one asks to act as somebody else.
pub(crate) fn plain(answer: &[u8]) -> Result<Credentials, Reason> {
    let octets = decoded(answer)?;
    let mut parts = octets.split(|octet| *octet == 0);
    let (Some(authzid), Some(authcid), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Reason::AuthenticationMalformed);
    };
    let login = name(authcid)?;
    if !authzid.is_empty() && authzid != authcid {
        return Err(Reason::BadCredentials);
    }
    Ok(Credentials { login, password: Password(octets.slice_ref(password)) })
}

/// Reads the name of LOGIN.
///
/// # Errors
/// [`Reason::AuthenticationMalformed`].
pub(crate) fn login_name(answer: &[u8]) -> Result<String, Reason> {
    name(&decoded(answer)?)
}

/// Reads the password of LOGIN.
///
/// # Errors
/// [`Reason::AuthenticationMalformed`].
pub(crate) fn login_password(answer: &[u8]) -> Result<Password, Reason> {
    let password = decoded(answer)?;
    if password.contains(&0) { Err(Reason::AuthenticationMalformed) } else { Ok(Password(password)) }
}

fn decoded(answer: &[u8]) -> Result<Bytes, Reason> {
    // `=` stands for an empty answer (RFC 5034 section 4).
    if answer == b"=" {
        return Ok(Bytes::new());
    }
    STANDARD.decode(answer).map(Bytes::from).map_err(|_| Reason::AuthenticationMalformed)
}

/// A name goes into logs and headers: no control character gets past here (P-26).
fn name(octets: &[u8]) -> Result<String, Reason> {
    let name = std::str::from_utf8(octets).map_err(|_| Reason::AuthenticationMalformed)?;
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(Reason::AuthenticationMalformed);
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(octets: &[u8]) -> Vec<u8> {
        STANDARD.encode(octets).into_bytes()
    }

    #[test]
    fn p_26_plain() {
        let good =
            Credentials { login: "u@x.test".to_owned(), password: Password(Bytes::from_static(b"p w\xff")) };
        assert_eq!(plain(&encoded(b"\0u@x.test\0p w\xff")), Ok(good.clone()));
        assert_eq!(plain(&encoded(b"u@x.test\0u@x.test\0p w\xff")), Ok(good));
        for (answer, reason) in [
            (encoded(b"other\0u@x.test\0p"), Reason::BadCredentials),
            (encoded(b"\0\0p"), Reason::AuthenticationMalformed),
            (encoded(b"\0u"), Reason::AuthenticationMalformed),
            (encoded(b"\0u\0p\0"), Reason::AuthenticationMalformed),
            (encoded(b"\0u\r\nQUIT\0p"), Reason::AuthenticationMalformed),
            (encoded(b"\0\xff\0p"), Reason::AuthenticationMalformed),
            (b"=".to_vec(), Reason::AuthenticationMalformed),
            (b"".to_vec(), Reason::AuthenticationMalformed),
            (b"!!!".to_vec(), Reason::AuthenticationMalformed),
            (b"AHUAcA".to_vec(), Reason::AuthenticationMalformed),
        ] {
            assert_eq!(plain(&answer), Err(reason), "{}", String::from_utf8_lossy(&answer));
        }
    }

    #[test]
    fn login_takes_name_then_password() {
        assert_eq!(login_name(&encoded(b"user")), Ok("user".to_owned()));
        assert_eq!(login_name(b"="), Err(Reason::AuthenticationMalformed));
        assert_eq!(login_password(b"="), Ok(Password(Bytes::new())));
        assert_eq!(login_password(&encoded(b"a\0b")), Err(Reason::AuthenticationMalformed));
        assert_eq!(STANDARD.encode("Username:"), LOGIN_PROMPT_NAME);
        assert_eq!(STANDARD.encode("Password:"), LOGIN_PROMPT_PASSWORD);
    }
    proptest! {
        #[test]
        fn what_is_typed_is_what_is_read(
            login in "\\PC{1,60}",
            password in prop::collection::vec(1u8.., 0..80),
            acts_as_itself: bool,
        ) {
            let acts_as = if acts_as_itself { login.as_str() } else { "" };
            let answer = encoded(&[acts_as.as_bytes(), b"\0", login.as_bytes(), b"\0", &password].concat());
            let password = Password(Bytes::from(password));
            let good = Credentials { login: login.clone(), password: password.clone() };
            prop_assert_eq!(plain(&answer), Ok(good));
            prop_assert_eq!(login_name(&encoded(login.as_bytes())), Ok(login));
            prop_assert_eq!(login_password(&encoded(&password.0)), Ok(password));
        }

        #[test]
        fn any_answer_is_read_or_refused(
            answer in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..60),
                prop::collection::vec(prop::sample::select(b"AHUAcA=*+/ \0".to_vec()), 0..20),
                prop::collection::vec(any::<u8>(), 0..60).prop_map(|octets| encoded(&octets)),
            ],
        ) {
            if let Ok(Credentials { login, password }) = plain(&answer) {
                prop_assert!(!login.is_empty() && !login.chars().any(char::is_control));
                prop_assert!(!password.0.contains(&0));
                let octets = STANDARD.decode(&answer);
                let sent = [login.as_bytes(), b"\0", &password.0].concat();
                prop_assert!(octets.is_ok_and(|octets| octets.ends_with(&sent)));
            }
            if let Ok(name) = login_name(&answer) {
                prop_assert!(!name.is_empty() && !name.chars().any(char::is_control));
            }
            if let Ok(password) = login_password(&answer) {
                prop_assert!(!password.0.contains(&0));
            }
        }
    }
}
