//! What travels inside AUTH, of SMTP (RFC 4954) and POP3 (RFC 5034) alike: answers in base64, the PLAIN message (RFC 4616),
//! and the two questions of LOGIN. How lines are framed and what a refusal is called is the gateways' matter.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;

use crate::{
    Password, Reason,
    limits::{LOGIN_MAX_BYTES, PASSWORD_MAX_BYTES},
};

/// Mechanisms that are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// Two questions; what old mail programs speak.
    Login,
}

impl Mechanism {
    /// The mechanism of this name, in any case.
    ///
    /// # Errors
    /// [`Reason::UnknownMechanism`].
    pub fn named(name: &[u8]) -> Result<Self, Reason> {
        match () {
            () if name.eq_ignore_ascii_case(b"PLAIN") => Ok(Self::Plain),
            () if name.eq_ignore_ascii_case(b"LOGIN") => Ok(Self::Login),
            () => Err(Reason::UnknownMechanism),
        }
    }
}

/// Who wants to log in, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// As typed: one to [`LOGIN_MAX_BYTES`] octets without control characters, for it goes into logs and headers.
    pub login: String,
    /// As typed: at most [`PASSWORD_MAX_BYTES`] octets, none of them NUL.
    pub password: Password,
}

impl Credentials {
    /// What was typed, unless it is nobody's for certain.
    ///
    /// # Errors
    /// [`Reason::AuthenticationMalformed`]: no login, a control character in it, or NUL in the password;
    /// [`Reason::BadCredentials`]: longer than any that can be set, so that nobody need be asked.
    pub fn new(login: String, password: Password) -> Result<Self, Reason> {
        if !is_login(&login) || password.0.contains(&0) {
            return Err(Reason::AuthenticationMalformed);
        }
        if login.len() > LOGIN_MAX_BYTES || password.0.len() > PASSWORD_MAX_BYTES {
            return Err(Reason::BadCredentials);
        }
        Ok(Self { login, password })
    }
}

/// One answer of the client, decoded. It may hold a password: its debug form keeps it to itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer(Bytes);

impl Answer {
    /// Reads a line of its own, where `*` cancels (RFC 4954 and RFC 5034, section 4).
    ///
    /// # Errors
    /// [`Reason::AuthenticationCancelled`], or [`Reason::AuthenticationMalformed`] for what is not base64.
    pub fn read(line: &[u8]) -> Result<Self, Reason> {
        if line == b"*" { Err(Reason::AuthenticationCancelled) } else { Self::decoded(line) }
    }

    /// Reads the initial response behind AUTH, where `=` stands for an empty one (the same sections).
    ///
    /// # Errors
    /// [`Reason::AuthenticationMalformed`].
    pub fn read_initial(word: &[u8]) -> Result<Self, Reason> {
        if word == b"=" { Ok(Self(Bytes::new())) } else { Self::decoded(word) }
    }

    fn decoded(base64: &[u8]) -> Result<Self, Reason> {
        let octets = STANDARD.decode(base64).map_err(|_| Reason::AuthenticationMalformed)?;
        Ok(Self(octets.into()))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer(..)")
    }
}

/// Where an exchange stands: what the client is to answer next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// The whole PLAIN message.
    Plain,
    /// The name of LOGIN.
    LoginName,
    /// The password of this name.
    LoginPassword(String),
}

/// What an answer leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// This is asked next.
    Next(Exchange),
    /// All is there.
    Complete(Credentials),
}

impl Exchange {
    /// The begin of an exchange.
    #[must_use]
    pub fn begin(mechanism: Mechanism) -> Self {
        match mechanism {
            Mechanism::Plain => Self::Plain,
            Mechanism::Login => Self::LoginName,
        }
    }

    /// What the client is asked, in base64.
    #[must_use]
    pub fn challenge(&self) -> &'static str {
        match self {
            Self::Plain => "",
            // "Username:" and "Password:".
            Self::LoginName => "VXNlcm5hbWU6",
            Self::LoginPassword(_) => "UGFzc3dvcmQ6",
        }
    }

    /// One step on.
    ///
    /// # Errors
    /// [`Reason::AuthenticationMalformed`]; [`Reason::BadCredentials`] when somebody wants to act as somebody else, or when
    /// nobody can have such a login or password.
    pub fn answer(self, Answer(octets): Answer) -> Result<Progress, Reason> {
        match self {
            Self::Plain => plain(&octets).map(Progress::Complete),
            Self::LoginName => Ok(Progress::Next(Self::LoginPassword(name(&octets)?))),
            Self::LoginPassword(login) => Credentials::new(login, Password(octets)).map(Progress::Complete),
        }
    }
}

/// Takes a PLAIN message apart: `[authzid] NUL authcid NUL passwd` (RFC 4616 section 2).
fn plain(message: &Bytes) -> Result<Credentials, Reason> {
    let mut parts = message.split(|octet| *octet == 0);
    let (Some(acts_as), Some(login), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Reason::AuthenticationMalformed);
    };
    let credentials = Credentials::new(name(login)?, Password(message.slice_ref(password)))?;
    if !acts_as.is_empty() && acts_as != login {
        return Err(Reason::BadCredentials);
    }
    Ok(credentials)
}

/// The login as text. What is none is refused before a password is asked for.
fn name(octets: &[u8]) -> Result<String, Reason> {
    match std::str::from_utf8(octets) {
        Ok(login) if is_login(login) => Ok(login.to_owned()),
        _ => Err(Reason::AuthenticationMalformed),
    }
}

fn is_login(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn credentials(login: &str, password: &[u8]) -> Credentials {
        Credentials { login: login.to_owned(), password: Password(Bytes::copy_from_slice(password)) }
    }

    fn answer(octets: &[u8]) -> Answer {
        Answer(Bytes::copy_from_slice(octets))
    }

    fn plain(octets: &[u8]) -> Result<Credentials, Reason> {
        super::plain(&Bytes::copy_from_slice(octets))
    }

    #[test]
    fn p_26_s_81_answers() {
        assert_eq!(Answer::read(b"*"), Err(Reason::AuthenticationCancelled));
        assert_eq!(Answer::read(b"YQ=="), Ok(answer(b"a")));
        assert_eq!(Answer::read(b""), Ok(answer(b"")));
        assert_eq!(Answer::read_initial(b"="), Ok(answer(b"")));
        assert_eq!(Answer::read_initial(b"*"), Err(Reason::AuthenticationMalformed));
        for bad in [&b"a"[..], b"YQ", b"Y Q==", b"YQ==YQ==", b"\xff\xff\xff\xff", b"=", b"!!!"] {
            assert_eq!(Answer::read(bad), Err(Reason::AuthenticationMalformed), "{bad:?}");
        }
    }

    #[test]
    fn p_26_s_81_plain_messages() {
        let good = credentials("u@x.test", b" p:%\xff");
        assert_eq!(plain(b"\0u@x.test\0 p:%\xff"), Ok(good.clone()));
        assert_eq!(plain(b"u@x.test\0u@x.test\0 p:%\xff"), Ok(good));
        // Whoever checks passwords says of the empty one that it is wrong.
        assert_eq!(plain(b"\0u\0"), Ok(credentials("u", b"")));
        assert_eq!(plain(b"other\0u@x.test\0p"), Err(Reason::BadCredentials));
        for bad in
            [&b""[..], b"\0", b"\0u", b"\0\0p", b"\0u\0p\0", b"\0u\r\nQUIT\0p", b"\0\xff\0p", b"x\0\0p"]
        {
            assert_eq!(plain(bad), Err(Reason::AuthenticationMalformed), "{bad:?}");
        }
    }

    #[test]
    fn login_asks_for_name_then_password() {
        assert_eq!(Mechanism::named(b"plain"), Ok(Mechanism::Plain));
        assert_eq!(Mechanism::named(b"CRAM-MD5"), Err(Reason::UnknownMechanism));
        let exchange = Exchange::begin(Mechanism::named(b"Login").expect("offered"));
        assert_eq!(STANDARD.decode(exchange.challenge()), Ok(b"Username:".to_vec()));
        for bad in [&b""[..], b"u\n", b"\xff", b"u\0"] {
            assert_eq!(exchange.clone().answer(answer(bad)), Err(Reason::AuthenticationMalformed), "{bad:?}");
        }
        let Ok(Progress::Next(exchange)) = exchange.answer(answer(b"user")) else { panic!("no question") };
        assert_eq!(STANDARD.decode(exchange.challenge()), Ok(b"Password:".to_vec()));
        assert_eq!(exchange.clone().answer(answer(b"a\0b")), Err(Reason::AuthenticationMalformed));
        assert_eq!(exchange.answer(answer(b"a b")), Ok(Progress::Complete(credentials("user", b"a b"))));
    }

    #[test]
    fn what_nobody_can_have_is_wrong_without_asking() {
        let login = |octets| Credentials::new("x".repeat(octets), Password(Bytes::new())).map(|_| ());
        assert_eq!(login(LOGIN_MAX_BYTES), Ok(()));
        assert_eq!(login(LOGIN_MAX_BYTES + 1), Err(Reason::BadCredentials));
        let password = |octets| Credentials::new("u".into(), Password(vec![b'x'; octets].into())).map(|_| ());
        assert_eq!(password(PASSWORD_MAX_BYTES), Ok(()));
        assert_eq!(password(PASSWORD_MAX_BYTES + 1), Err(Reason::BadCredentials));
    }

    #[test]
    fn a_password_is_never_shown() {
        let shown = format!("{:?} {:?}", plain(b"\0u\0secret"), answer(b"\0u\0secret"));
        assert!(!shown.contains("secret") && !shown.contains("115, 101"), "{shown}");
    }

    proptest! {
        #[test]
        fn what_is_typed_is_what_is_read(
            login in "\\PC{1,60}",
            password in prop::collection::vec(1u8.., 0..80),
            acts_as_itself: bool,
        ) {
            let acts_as = if acts_as_itself { login.as_str() } else { "" };
            let message = [acts_as.as_bytes(), b"\0", login.as_bytes(), b"\0", &password].concat();
            let line = STANDARD.encode(&message);
            let read = Answer::read(line.as_bytes());
            prop_assert_eq!(&read, &Ok(answer(&message)));
            prop_assert_eq!(&read, &Answer::read_initial(line.as_bytes()));
            let good = Ok(Progress::Complete(credentials(&login, &password)));
            prop_assert_eq!(read.and_then(|answer| Exchange::Plain.answer(answer)), good.clone());
            let asked = Exchange::LoginName.answer(answer(login.as_bytes()));
            prop_assert_eq!(&asked, &Ok(Progress::Next(Exchange::LoginPassword(login.clone()))));
            prop_assert_eq!(Exchange::LoginPassword(login).answer(answer(&password)), good);
        }

        #[test]
        fn any_answer_is_read_in_one_form_or_refused(
            line in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..60),
                prop::collection::vec(prop::sample::select(b"AHUAcA=*+/ \0".to_vec()), 0..20),
                prop::collection::vec(any::<u8>(), 0..60).prop_map(|octets| STANDARD.encode(octets).into_bytes()),
            ],
        ) {
            if let Ok(Answer(octets)) = Answer::read(&line) {
                prop_assert_eq!(STANDARD.encode(&octets).into_bytes(), line);
                if let Ok(Credentials { login, password }) = plain(&octets) {
                    prop_assert!(!login.is_empty() && !login.chars().any(char::is_control));
                    prop_assert!(!password.0.contains(&0));
                    prop_assert!(octets.ends_with(&[login.as_bytes(), b"\0", &password.0].concat()));
                }
            }
        }
    }
}
