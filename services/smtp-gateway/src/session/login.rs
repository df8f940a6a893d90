//! AUTH within a session (RFC 4954): PLAIN and LOGIN, on the doors of mail programs.

use postern_mail::{
    Reason,
    sasl::{Answer, Exchange, Mechanism, Progress},
};
use postern_smtp::reply::Reply;

use super::{Effects, Login, Next, Phase, Question, RelayRight, Session, reply};

/// Failed logins after which a session ends (S-83).
const LOGIN_FAILURES_MAX: u32 = 3;

impl Session {
    /// RFC 4954 section 4: not in plain text where that is not allowed.
    pub(super) fn login_is_offered(&self) -> bool {
        self.profile.door.is_submission() && (self.tls.is_some() || self.profile.plaintext_login)
    }

    pub(super) fn auth(&mut self, mechanism: Mechanism, initial: Option<Answer>) -> Effects {
        // RFC 4954 section 4: after EHLO, once a session, not within a transaction.
        if self.hello.is_none() || self.login.is_some() || !matches!(self.phase, Phase::Ready) {
            return self.refuse(Reason::BadSequence);
        }
        if !self.login_is_offered() {
            return self.refuse(Reason::EncryptionRequired);
        }
        let exchange = Exchange::begin(mechanism);
        match initial {
            Some(answer) => self.exchange(exchange, answer),
            None => self.challenge(exchange),
        }
    }

    pub(super) fn sasl_line(&mut self, line: &[u8]) -> Effects {
        match std::mem::replace(&mut self.phase, Phase::Ready) {
            Phase::Exchange(exchange) => match Answer::read(line) {
                Ok(answer) => self.exchange(exchange, answer),
                Err(reason) => self.refuse(reason),
            },
            phase => {
                self.phase = phase;
                self.refuse(Reason::BadSequence)
            }
        }
    }

    pub(super) fn sasl_line_too_long(&mut self) -> Effects {
        if let Phase::Exchange(_) = self.phase {
            self.phase = Phase::Ready;
        }
        self.refuse(Reason::SaslLineTooLong)
    }

    fn challenge(&mut self, exchange: Exchange) -> Effects {
        let challenge = Reply::challenge(exchange.challenge());
        self.phase = Phase::Exchange(exchange);
        reply(challenge, Next::SaslLine)
    }

    fn exchange(&mut self, exchange: Exchange, answer: Answer) -> Effects {
        match exchange.answer(answer) {
            Ok(Progress::Next(exchange)) => self.challenge(exchange),
            Ok(Progress::Complete(credentials)) => {
                self.phase = Phase::CheckingLogin;
                let clear_text = self.tls.is_none() && self.profile.plaintext_by_domain;
                let question = Question::Login { credentials, clear_text };
                Effects { replies: Vec::new(), next: Next::Ask(question) }
            }
            Err(reason @ Reason::BadCredentials) => self.login_failed(reason),
            Err(reason) => self.refuse(reason),
        }
    }

    pub(super) fn login_answered(&mut self, answer: Result<Login, Reason>) -> Effects {
        if !matches!(self.phase, Phase::CheckingLogin) {
            return self.refuse(Reason::BadSequence);
        }
        self.phase = Phase::Ready;
        match answer {
            Ok(login) => {
                self.keep_right(&login.right());
                self.login = Some(login);
                reply(Reply::authenticated(), Next::Command)
            }
            // Whoever goes on while logins are put off is asked for no more often than one who guesses.
            Err(reason @ (Reason::BadCredentials | Reason::LoginThrottled)) => self.login_failed(reason),
            Err(reason) => self.fail(&reason.into()),
        }
    }

    fn login_failed(&mut self, reason: Reason) -> Effects {
        self.login_failures += 1;
        if self.login_failures >= LOGIN_FAILURES_MAX {
            return self.close(Reason::TooManyFailures);
        }
        reply(reason.into(), Next::Command)
    }
}

impl Login {
    /// What this login lets through.
    #[must_use]
    pub(crate) fn right(&self) -> RelayRight {
        RelayRight {
            login: self.login.clone(),
            mailbox_id: self.mailbox_id,
            customer: self.customer.clone(),
            authenticated: true,
        }
    }
}
