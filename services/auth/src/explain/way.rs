//! An explanation while it is made: the questions in their order, and the first one that ended the way. Pure.

use bytes::BytesMut;
use postern_mail::Reason;
use postern_proto::auth::v1::{Explanation, Rule, Verdict, WireAnswer};
use postern_smtp::reply::Reply;

/// What the way came to at its end.
#[derive(Debug)]
struct End {
    verdict: Verdict,
    summary: String,
    next_step: String,
}

/// The way so far.
#[derive(Debug, Default)]
pub(super) struct Way {
    rules: Vec<Rule>,
    answers: Vec<WireAnswer>,
    end: Option<End>,
}

impl Way {
    /// This question let the way go on.
    pub(super) fn passed(&mut self, name: &str, found: impl Into<String>) {
        self.rules.push(Rule { name: name.to_owned(), passed: true, found: found.into() });
    }

    /// This question ended it, unless one before did.
    pub(super) fn stopped(
        &mut self,
        name: &str,
        found: impl Into<String>,
        verdict: Verdict,
        summary: impl Into<String>,
        next_step: impl Into<String>,
    ) {
        self.rules.push(Rule { name: name.to_owned(), passed: false, found: found.into() });
        let next_step = next_step.into();
        match &mut self.end {
            // A second trouble of the same person: worth telling, not deciding.
            Some(end) => {
                if !next_step.is_empty() && !end.next_step.contains(&next_step) {
                    end.next_step = format!("{} {next_step}", end.next_step);
                }
            }
            None => self.end = Some(End { verdict, summary: summary.into(), next_step }),
        }
    }

    /// A part that is asked is away: that is an answer, too.
    pub(super) fn away(&mut self, name: &str, part: &str) {
        self.stopped(
            name,
            format!("{part} does not answer now"),
            Verdict::Later,
            "a part of the platform is away",
            "Wait a minute and try again; if it stays so, the operator must look at the platform.",
        );
    }

    /// What POP3 says, refused for this reason.
    pub(super) fn pop3(&mut self, command: &str, reason: Reason, detail: Option<&str>) {
        let said = reason.at_pop3_login();
        let text = match detail {
            Some(detail) if said == reason => said.pop3_text_with(detail),
            _ => said.pop3_text(),
        };
        self.answers.push(WireAnswer { command: format!("POP3 {command}"), answer: format!("-ERR {text}") });
    }

    /// What SMTP says.
    pub(super) fn smtp(&mut self, command: &str, reply: &Reply) {
        let mut octets = BytesMut::new();
        reply.write_to(&mut octets);
        let answer = String::from_utf8_lossy(&octets).trim_end_matches("\r\n").to_owned();
        self.answers.push(WireAnswer { command: format!("SMTP {command}"), answer });
    }

    /// The explanation; `works` and `note` are its summary and next step when nothing ended the way.
    pub(super) fn finish(self, works: impl Into<String>, note: impl Into<String>) -> Explanation {
        let end = self.end.unwrap_or_else(|| End {
            verdict: Verdict::Works,
            summary: works.into(),
            next_step: note.into(),
        });
        Explanation {
            verdict: end.verdict.into(),
            summary: end.summary,
            wire_answers: self.answers,
            rules: self.rules,
            next_step: end.next_step,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_did_not_pass_decides() {
        let mut way = Way::default();
        way.passed("one", "fine");
        way.stopped("two", "bad", Verdict::Refused, "it is bad", "Mend it.");
        way.stopped("three", "worse", Verdict::Later, "it is worse", "Mend that, too.");
        let explanation = way.finish("works", "");
        assert_eq!(explanation.verdict(), Verdict::Refused);
        assert_eq!(explanation.summary, "it is bad");
        assert_eq!(explanation.next_step, "Mend it. Mend that, too.");
        let names: Vec<_> = explanation.rules.iter().map(|rule| (rule.name.as_str(), rule.passed)).collect();
        assert_eq!(names, [("one", true), ("two", false), ("three", false)]);
    }

    #[test]
    fn answers_are_those_of_the_failure_table() {
        let mut way = Way::default();
        way.pop3("PASS", Reason::BadCredentials, None);
        way.pop3("PASS", Reason::MailboxInUse, Some("in use"));
        // A reason that POP3 has no code for must not look like a wrong password.
        way.pop3("PASS", Reason::NoSuchMailbox, Some("who?"));
        way.smtp("AUTH", &Reason::BadCredentials.into());
        way.smtp("RCPT", &Reply::recipient_ok());
        let answers: Vec<_> =
            way.finish("", "").wire_answers.into_iter().map(|a| (a.command, a.answer)).collect();
        let expected = [
            ("POP3 PASS", "-ERR [AUTH] login or password is wrong"),
            ("POP3 PASS", "-ERR [IN-USE] can't lock account: in use"),
            ("POP3 PASS", "-ERR [SYS/TEMP] temporary failure on our side, please try again later"),
            ("SMTP AUTH", "535 5.7.8 login or password is wrong"),
            ("SMTP RCPT", "250 2.1.5 recipient ok"),
        ];
        assert_eq!(answers, expected.map(|(c, a)| (c.to_owned(), a.to_owned())));
    }
}
