//! A line to a command (RFC 1939 section 3, RFC 2449, RFC 5034). Pure; knows nothing of states.

use bytes::Bytes;
use postern_mail::{
    Password, Reason,
    sasl::{Answer, Mechanism},
};

use crate::maildrop::MessageNumber;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Who wants to log in.
    User(String),
    /// The password, verbatim after the one separating space (P-22).
    Pass(Password),
    /// AUTH alone: which mechanisms are there (P-25).
    AuthList,
    /// AUTH with its initial response, if there is one.
    Auth(Mechanism, Option<Answer>),
    /// What can you do (RFC 2449 section 5).
    Capa,
    /// Begin TLS (RFC 2595 section 4).
    Stls,
    /// UTF-8 is understood (RFC 6856 section 2.1).
    Utf8,
    /// Count and octets.
    Stat,
    /// Sizes of one or all.
    List(Option<MessageNumber>),
    /// Unique ids of one or all.
    Uidl(Option<MessageNumber>),
    /// A whole message.
    Retr(MessageNumber),
    /// Headers, the blank line, and so many lines of the body. 0 is a number here, not "none".
    Top(MessageNumber, u64),
    /// Mark deleted.
    Dele(MessageNumber),
    /// Unmark all.
    Rset,
    /// Nothing.
    Noop,
    /// Delete what is marked, and go.
    Quit,
}

impl Command {
    /// Reads a line without its end.
    ///
    /// # Errors
    /// A control character (P-06), no such command, or wrong arguments.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, Reason> {
        if line.iter().any(u8::is_ascii_control) {
            return Err(Reason::BadCharacter);
        }
        let (keyword, rest) = match memchr::memchr(b' ', line) {
            Some(space) => (&line[..space], Some(&line[space + 1..])),
            None => (line, None),
        };
        let is = |name: &str| keyword.eq_ignore_ascii_case(name.as_bytes());
        // What people type first stands first; keywords are case-insensitive (RFC 1939 section 3).
        match () {
            () if is("RETR") => one_number(rest).map(Self::Retr),
            () if is("DELE") => one_number(rest).map(Self::Dele),
            () if is("USER") => user(rest),
            () if is("PASS") => pass(rest),
            () if is("STAT") => alone(rest, Self::Stat),
            () if is("LIST") => number_or_all(rest).map(Self::List),
            () if is("UIDL") => number_or_all(rest).map(Self::Uidl),
            () if is("TOP") => top(rest),
            () if is("QUIT") => alone(rest, Self::Quit),
            () if is("CAPA") => alone(rest, Self::Capa),
            () if is("AUTH") => auth(rest),
            () if is("NOOP") => alone(rest, Self::Noop),
            () if is("RSET") => alone(rest, Self::Rset),
            () if is("STLS") => alone(rest, Self::Stls),
            () if is("UTF8") => alone(rest, Self::Utf8),
            () => Err(Reason::UnknownCommand),
        }
    }
}

/// Arguments that are words; spaces behind them are forgiven.
fn words(rest: Option<&[u8]>) -> impl Iterator<Item = &[u8]> {
    rest.unwrap_or_default().split(|octet| *octet == b' ').filter(|word| !word.is_empty())
}

fn alone(rest: Option<&[u8]>, command: Command) -> Result<Command, Reason> {
    if words(rest).next().is_some() { Err(Reason::BadArguments) } else { Ok(command) }
}

/// Digits only: no sign, no blank, nothing that does not fit (P-61).
fn number<N: std::str::FromStr>(word: &[u8]) -> Result<N, Reason> {
    if !word.iter().all(u8::is_ascii_digit) {
        return Err(Reason::BadArguments);
    }
    let text = std::str::from_utf8(word).map_err(|_| Reason::BadArguments)?;
    text.parse().map_err(|_| Reason::BadArguments)
}

fn message_number(word: &[u8]) -> Result<MessageNumber, Reason> {
    MessageNumber::new(number(word)?).ok_or(Reason::BadArguments)
}

fn number_or_all(rest: Option<&[u8]>) -> Result<Option<MessageNumber>, Reason> {
    let mut words = words(rest);
    let number = words.next().map(message_number).transpose()?;
    if words.next().is_some() { Err(Reason::BadArguments) } else { Ok(number) }
}

fn one_number(rest: Option<&[u8]>) -> Result<MessageNumber, Reason> {
    number_or_all(rest)?.ok_or(Reason::BadArguments)
}

fn top(rest: Option<&[u8]>) -> Result<Command, Reason> {
    let mut words = words(rest);
    let (Some(message), Some(lines), None) = (words.next(), words.next(), words.next()) else {
        return Err(Reason::BadArguments);
    };
    Ok(Command::Top(message_number(message)?, number(lines)?))
}

fn user(rest: Option<&[u8]>) -> Result<Command, Reason> {
    let name = std::str::from_utf8(rest.unwrap_or_default()).map_err(|_| Reason::BadArguments)?;
    if name.is_empty() { Err(Reason::BadArguments) } else { Ok(Command::User(name.to_owned())) }
}

/// The argument is the rest of the line, spaces included (RFC 1939 section 7, PASS).
fn pass(rest: Option<&[u8]>) -> Result<Command, Reason> {
    let password = rest.ok_or(Reason::BadArguments)?;
    Ok(Command::Pass(Password(Bytes::copy_from_slice(password))))
}

fn auth(rest: Option<&[u8]>) -> Result<Command, Reason> {
    let mut words = words(rest);
    let Some(name) = words.next() else { return Ok(Command::AuthList) };
    let mechanism = Mechanism::named(name)?;
    let initial = words.next();
    if words.next().is_some() {
        return Err(Reason::BadArguments);
    }
    Ok(Command::Auth(mechanism, initial.map(Answer::read_initial).transpose()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn n(number: u32) -> MessageNumber {
        MessageNumber::new(number).unwrap()
    }

    fn password(text: &[u8]) -> Password {
        Password(Bytes::copy_from_slice(text))
    }

    #[test]
    fn p_02_good_lines() {
        let max = n(u32::MAX);
        for (line, command) in [
            (&b"noop"[..], Command::Noop),
            (b"NoOp ", Command::Noop),
            (b"USER user@homepage.test", Command::User("user@homepage.test".to_owned())),
            (b"user a b", Command::User("a b".to_owned())),
            (b"PASS ", Command::Pass(password(b""))),
            (b"PASS  a b ", Command::Pass(password(b" a b "))),
            (b"PASS a:%\xe9\xff", Command::Pass(password(b"a:%\xe9\xff"))),
            (b"AUTH", Command::AuthList),
            (b"AUTH plain", Command::Auth(Mechanism::Plain, None)),
            (b"AUTH PLAIN =", Command::Auth(Mechanism::Plain, Some(Answer::read_initial(b"=").unwrap()))),
            (b"AUTH Login", Command::Auth(Mechanism::Login, None)),
            (b"CAPA", Command::Capa),
            (b"STLS", Command::Stls),
            (b"utf8", Command::Utf8),
            (b"STAT", Command::Stat),
            (b"LIST", Command::List(None)),
            (b"LIST ", Command::List(None)),
            (b"LIST 4294967295", Command::List(Some(max))),
            (b"UIDL 1", Command::Uidl(Some(n(1)))),
            (b"RETR 007", Command::Retr(n(7))),
            (b"TOP 1 0", Command::Top(n(1), 0)),
            (b"TOP 1 18446744073709551615", Command::Top(n(1), u64::MAX)),
            (b"DELE 2", Command::Dele(n(2))),
            (b"RSET", Command::Rset),
            (b"QUIT", Command::Quit),
        ] {
            assert_eq!(Command::parse(line), Ok(command), "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn p_03_p_61_p_66_p_74_bad_lines() {
        for (line, reason) in [
            (&b""[..], Reason::UnknownCommand),
            (b" NOOP", Reason::UnknownCommand),
            (b"LAST", Reason::UnknownCommand),
            (b"XTND XMIT", Reason::UnknownCommand),
            (b"APOP user c4c9334bac560ecc979e58001b3e22fb", Reason::UnknownCommand),
            (b"UTF8 USER", Reason::BadArguments),
            (b"LANG", Reason::UnknownCommand),
            (b"NOOP\0", Reason::BadCharacter),
            (b"NO\rOP", Reason::BadCharacter),
            (b"PASS a\tb", Reason::BadCharacter),
            (b"NOOP x", Reason::BadArguments),
            (b"QUIT now", Reason::BadArguments),
            (b"STLS x", Reason::BadArguments),
            (b"USER", Reason::BadArguments),
            (b"USER ", Reason::BadArguments),
            (b"USER \xff", Reason::BadArguments),
            (b"PASS", Reason::BadArguments),
            (b"LIST 0", Reason::BadArguments),
            (b"LIST -1", Reason::BadArguments),
            (b"LIST +1", Reason::BadArguments),
            (b"LIST 99999999999999999999", Reason::BadArguments),
            (b"LIST 1x", Reason::BadArguments),
            (b"LIST 1 2", Reason::BadArguments),
            (b"RETR", Reason::BadArguments),
            (b"DELE x", Reason::BadArguments),
            (b"TOP", Reason::BadArguments),
            (b"TOP 1", Reason::BadArguments),
            (b"TOP 1 -1", Reason::BadArguments),
            (b"TOP 1xyz 2", Reason::BadArguments),
            (b"TOP 1 2xyz", Reason::BadArguments),
            (b"TOP 1 2 3", Reason::BadArguments),
            (b"AUTH CRAM-MD5", Reason::UnknownMechanism),
            (b"AUTH PLAIN a b", Reason::BadArguments),
            (b"AUTH PLAIN %%%", Reason::AuthenticationMalformed),
        ] {
            assert_eq!(Command::parse(line), Err(reason), "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let shown = format!("{:?}", Command::parse(b"PASS canary"));
        assert!(!shown.contains("canary"), "{shown}");
    }

    proptest! {
        #[test]
        fn no_line_panics(line in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Command::parse(&line);
        }
    }
}
