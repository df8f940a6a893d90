//! What travels inside AUTH: base64 lines and the PLAIN message (RFC 4954, RFC 4616).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use postern_mail::{Reason, limits::PASSWORD_MAX_BYTES};

/// Login as typed, octets: an address, or a customer login.
const LOGIN_MAX_BYTES: usize = 320;

/// Challenge of LOGIN that asks for the name.
pub const CHALLENGE_USERNAME: &str = "VXNlcm5hbWU6";
/// Challenge of LOGIN that asks for the password.
pub const CHALLENGE_PASSWORD: &str = "UGFzc3dvcmQ6";

/// Mechanisms that are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// The old one that many programs still use.
    Login,
}

/// Login and password as typed. Its debug form keeps the password to itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Not yet looked at by anybody.
    pub login: String,
    /// Octets as typed.
    pub password: Vec<u8>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("login", &self.login).finish_non_exhaustive()
    }
}

/// Decodes one answer of the client. `*` cancels (RFC 4954 section 4).
///
/// # Errors
/// [`Reason::AuthenticationCancelled`], [`Reason::AuthenticationMalformed`].
pub fn decode(line: &[u8]) -> Result<Vec<u8>, Reason> {
    if line == b"*" {
        return Err(Reason::AuthenticationCancelled);
    }
    STANDARD.decode(line).map_err(|_| Reason::AuthenticationMalformed)
}

/// Decodes the initial response on the AUTH line, where `=` stands for an empty one (RFC 4954 section 4).
///
/// # Errors
/// [`Reason::AuthenticationMalformed`].
pub fn decode_initial(word: &[u8]) -> Result<Vec<u8>, Reason> {
    if word == b"=" {
        Ok(Vec::new())
    } else {
        STANDARD.decode(word).map_err(|_| Reason::AuthenticationMalformed)
    }
}

/// Takes a PLAIN message apart: `[authzid] NUL authcid NUL passwd` (RFC 4616 section 2).
///
/// # Errors
/// [`Reason::AuthenticationMalformed`]; [`Reason::BadCredentials`] when somebody wants to act as somebody else.
pub fn plain(message: &[u8]) -> Result<Credentials, Reason> {
    let mut parts = message.split(|octet| *octet == 0);
    let (Some(acts_as), Some(login), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Reason::AuthenticationMalformed);
    };
    if !acts_as.is_empty() && acts_as != login {
        return Err(Reason::BadCredentials);
    }
    Ok(Credentials { login: login_name(login)?, password: typed_password(password)? })
}

/// The login as text.
///
/// # Errors
/// [`Reason::AuthenticationMalformed`] when empty, too long, not UTF-8, or with control characters.
pub fn login_name(octets: &[u8]) -> Result<String, Reason> {
    match std::str::from_utf8(octets) {
        Ok(login) if (1..=LOGIN_MAX_BYTES).contains(&login.len()) && !login.chars().any(char::is_control) => {
            Ok(login.to_owned())
        }
        _ => Err(Reason::AuthenticationMalformed),
    }
}

/// The password as octets.
///
/// # Errors
/// [`Reason::AuthenticationMalformed`] when empty, too long, or with a NUL.
pub fn typed_password(octets: &[u8]) -> Result<Vec<u8>, Reason> {
    if octets.is_empty() || octets.len() > PASSWORD_MAX_BYTES || octets.contains(&0) {
        return Err(Reason::AuthenticationMalformed);
    }
    Ok(octets.to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn s_81_answers() {
        assert_eq!(decode(b"*"), Err(Reason::AuthenticationCancelled));
        assert_eq!(decode(b"YQ=="), Ok(b"a".to_vec()));
        assert_eq!(decode(b""), Ok(Vec::new()));
        assert_eq!(decode_initial(b"="), Ok(Vec::new()));
        for bad in [&b"a"[..], b"YQ", b"Y Q==", b"YQ==YQ==", b"\xff\xff\xff\xff", b"="] {
            assert_eq!(decode(bad), Err(Reason::AuthenticationMalformed), "{bad:?}");
        }
    }

    #[test]
    fn plain_messages() {
        let good = Credentials { login: "u@x.test".into(), password: b" p:%".to_vec() };
        assert_eq!(plain(b"\0u@x.test\0 p:%"), Ok(good.clone()));
        assert_eq!(plain(b"u@x.test\0u@x.test\0 p:%"), Ok(good));
        assert_eq!(plain(b"other\0u@x.test\0p"), Err(Reason::BadCredentials));
        for bad in [&b""[..], b"\0", b"\0u", b"\0u\0", b"\0\0p", b"\0u\0p\0", b"\0u\r\nx\0p", b"\0\xff\0p"] {
            assert_eq!(plain(bad), Err(Reason::AuthenticationMalformed), "{bad:?}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let shown = format!("{:?}", plain(b"\0u\0secret"));
        assert!(!shown.contains("secret") && !shown.contains("115, 101"), "{shown}");
    }
    proptest! {
        #[test]
        fn what_is_typed_is_what_is_read(
            login in "\\PC{1,60}",
            password in prop::collection::vec(1u8.., 1..80),
            acts_as_itself: bool,
        ) {
            let acts_as = if acts_as_itself { login.as_str() } else { "" };
            let message = [acts_as.as_bytes(), b"\0", login.as_bytes(), b"\0", &password].concat();
            let line = STANDARD.encode(&message);
            let octets = decode(line.as_bytes());
            prop_assert_eq!(&octets, &Ok(message));
            prop_assert_eq!(decode_initial(line.as_bytes()), octets.clone());
            let good = Credentials { login: login.clone(), password: password.clone() };
            prop_assert_eq!(octets.and_then(|octets| plain(&octets)), Ok(good));
            prop_assert_eq!(login_name(login.as_bytes()), Ok(login));
            prop_assert_eq!(typed_password(&password), Ok(password));
        }

        #[test]
        fn any_answer_is_read_in_one_form_or_refused(
            answer in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..60),
                prop::collection::vec(prop::sample::select(b"AHUAcA=*+/ \0".to_vec()), 0..20),
                prop::collection::vec(any::<u8>(), 0..60).prop_map(|octets| STANDARD.encode(octets).into_bytes()),
            ],
        ) {
            if let Ok(octets) = decode(&answer) {
                prop_assert_eq!(STANDARD.encode(&octets).into_bytes(), answer.clone());
                if let Ok(credentials) = plain(&octets) {
                    prop_assert!(!credentials.login.is_empty() && !credentials.login.chars().any(char::is_control));
                    prop_assert!(!credentials.password.is_empty() && !credentials.password.contains(&0));
                    prop_assert!(octets.ends_with(&[credentials.login.as_bytes(), b"\0", &credentials.password].concat()));
                }
            }
        }
    }
}
