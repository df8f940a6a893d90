//! AUTHORIZATION: everything up to the open box (RFC 1939 section 4, RFC 5034, RFC 3206).

use postern_mail::{
    Reason,
    sasl::{Answer, Credentials, Exchange, Progress},
};

use super::{Effect, Identity, Opened, Outcome, Session, State, Step, Transaction, goodbye};
use crate::{command::Command, line::Line, output::Output};

/// So many wrong passwords end a session (P-24).
const FAILURES_MAX: u8 = 3;
/// So many bad commands before login end a session (P-10).
const BAD_COMMANDS_MAX: u8 = 3;

/// Why a box could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Denial {
    /// Row of the failure table.
    pub(crate) reason: Reason,
    /// Said after its text.
    pub(crate) detail: Option<String>,
}

/// Not logged in yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Authorization {
    user: Option<String>,
    failures: u8,
    bad_commands: u8,
}

impl Authorization {
    pub(super) fn without_user(self) -> Self {
        Self { user: None, ..self }
    }

    /// A command that was wrong in itself or at this place.
    fn bad(mut self, reason: Reason, out: &mut Output) -> Step {
        self.bad_commands += 1;
        if self.bad_commands >= BAD_COMMANDS_MAX {
            out.refuse(Reason::TooManyErrors);
            return (State::Ended, Effect::Hangup { release: None, outcome: Outcome::TooManyErrors });
        }
        out.refuse(reason);
        (State::Authorization(self), Effect::Continue)
    }

    /// Login and password are there, or cannot be right.
    fn attempt(self, credentials: Result<Credentials, Reason>, out: &mut Output) -> Step {
        match credentials {
            Ok(credentials) => {
                (State::Authenticating(self.without_user()), Effect::Authenticate(credentials))
            }
            Err(Reason::BadCredentials) => {
                self.without_user().authenticated(Err(Reason::BadCredentials), out)
            }
            Err(reason) => self.bad(reason, out),
        }
    }

    pub(super) fn authenticated(mut self, answer: Result<Identity, Reason>, out: &mut Output) -> Step {
        let reason = match answer {
            Ok(identity) => return (State::Opening(self, identity.clone()), Effect::Open(identity)),
            Err(reason) => reason.at_pop3_login(),
        };
        if reason == Reason::BadCredentials {
            self.failures += 1;
        }
        if self.failures >= FAILURES_MAX || reason == Reason::TooManyFailures {
            out.refuse(Reason::TooManyFailures);
            return (State::Ended, Effect::Hangup { release: None, outcome: Outcome::TooManyErrors });
        }
        out.refuse(reason);
        (State::Authorization(self), Effect::Continue)
    }

    pub(super) fn opened(self, identity: Identity, answer: Result<Opened, Denial>, out: &mut Output) -> Step {
        match answer {
            Ok(opened) => {
                let open = Transaction::new(identity, opened);
                out.ok(format_args!(
                    "{} messages, {} octets",
                    open.maildrop.count(),
                    open.maildrop.total_bytes()
                ));
                (State::Transaction(Box::new(open)), Effect::Continue)
            }
            Err(denial) => {
                match (denial.reason.at_pop3_login(), &denial.detail) {
                    (reason, Some(detail)) if reason == denial.reason => out.refuse_with(reason, detail),
                    (reason, _) => out.refuse(reason),
                }
                (State::Authorization(self), Effect::Continue)
            }
        }
    }
}

impl Session {
    pub(super) fn authorization(
        &mut self,
        login: Authorization,
        line: Line,
        more: bool,
        out: &mut Output,
    ) -> Step {
        let command = match line {
            Line::Text(text) => Command::parse(&text),
            Line::TooLong | Line::Endless => Err(Reason::LineTooLong),
        };
        match command {
            Ok(Command::Quit) => goodbye(out),
            Ok(Command::Capa) => {
                self.capabilities(out);
                (State::Authorization(login), Effect::Continue)
            }
            Ok(Command::AuthList) => {
                out.ok("mechanisms follow");
                if self.may_log_in() {
                    out.line("PLAIN");
                    out.line("LOGIN");
                }
                out.line(".");
                (State::Authorization(login), Effect::Continue)
            }
            Ok(Command::Stls) => self.start_tls(login, more, out),
            Ok(Command::Utf8) => {
                self.utf8 = true;
                out.ok("UTF-8 in headers");
                (State::Authorization(login), Effect::Continue)
            }
            Ok(Command::User(_) | Command::Pass(_) | Command::Auth(..)) if !self.may_log_in() => {
                out.refuse(Reason::EncryptionRequired);
                (State::Authorization(login), Effect::Continue)
            }
            Ok(Command::User(name)) => {
                // The same for everybody; the verdict falls at PASS (P-21).
                out.ok("send PASS");
                (State::Authorization(Authorization { user: Some(name), ..login }), Effect::Continue)
            }
            // Who says that it speaks UTF-8 has no other password (P-102).
            Ok(Command::Pass(password)) if self.utf8 && std::str::from_utf8(&password.0).is_err() => {
                login.bad(Reason::BadArguments, out)
            }
            Ok(Command::Pass(password)) => match login.user.clone() {
                Some(name) => login.attempt(Credentials::new(name, password), out),
                None => login.bad(Reason::BadSequence, out),
            },
            Ok(Command::Auth(mechanism, initial)) => {
                let exchange = Exchange::begin(mechanism);
                match initial {
                    Some(answer) => answered(login, exchange, answer, out),
                    None => challenged(login, exchange, out),
                }
            }
            Ok(_) => login.bad(Reason::BadSequence, out),
            Err(reason) => login.bad(reason, out),
        }
    }

    /// STLS of RFC 2595 section 4.
    fn start_tls(&self, login: Authorization, more: bool, out: &mut Output) -> Step {
        if !self.may_start_tls() {
            let reason = if self.tls || self.utf8 { Reason::BadSequence } else { Reason::NotImplemented };
            return login.bad(reason, out);
        }
        if more {
            // What was sent behind STLS in plain text could have been put there by anybody (P-92).
            out.refuse(Reason::Unsynchronized);
            return (State::Ended, Effect::Hangup { release: None, outcome: Outcome::TlsFailed });
        }
        out.ok("begin TLS");
        (State::StartingTls(login), Effect::StartTls)
    }
}

/// A line within an exchange of AUTH (RFC 5034 section 4).
pub(super) fn sasl_line(login: Authorization, exchange: Exchange, line: Line, out: &mut Output) -> Step {
    let answer = match line {
        Line::Text(text) => Answer::read(&text),
        Line::TooLong | Line::Endless => Err(Reason::SaslLineTooLong),
    };
    match answer {
        Ok(answer) => answered(login, exchange, answer, out),
        // No mistake of the client's.
        Err(Reason::AuthenticationCancelled) => {
            out.refuse(Reason::AuthenticationCancelled);
            (State::Authorization(login), Effect::Continue)
        }
        Err(reason) => login.bad(reason, out),
    }
}

fn answered(login: Authorization, exchange: Exchange, answer: Answer, out: &mut Output) -> Step {
    match exchange.answer(answer) {
        Ok(Progress::Next(exchange)) => challenged(login, exchange, out),
        Ok(Progress::Complete(credentials)) => login.attempt(Ok(credentials), out),
        Err(reason) => login.attempt(Err(reason), out),
    }
}

fn challenged(login: Authorization, exchange: Exchange, out: &mut Output) -> Step {
    out.line(format_args!("+ {}", exchange.challenge()));
    (State::Sasl(login, exchange), Effect::Continue)
}
