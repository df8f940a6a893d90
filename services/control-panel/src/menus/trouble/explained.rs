//! An answer: what it comes to, what to do, the exact words of the servers, and the questions that led there.

use maud::{Markup, html};
use postern_proto::auth::v1::{Explanation, Rule, Verdict};

use super::question::{Heading, Question};
use crate::place::Place;

/// Rules by name, and what each asks.
const RULES: [(&str, &str); 22] = [
    ("login-form", "trouble-rule-login-form"),
    ("login-known", "trouble-rule-login-known"),
    ("may-try-now", "trouble-rule-may-try-now"),
    ("domain-known", "trouble-rule-domain-known"),
    ("domain-live", "trouble-rule-domain-live"),
    ("not-suspended", "trouble-rule-not-suspended"),
    ("lock-free", "trouble-rule-lock-free"),
    ("recipient-place", "trouble-rule-recipient-place"),
    ("may-relay", "trouble-rule-may-relay"),
    ("sender-permitted", "trouble-rule-sender-permitted"),
    ("budget-left", "trouble-rule-budget-left"),
    ("own-address", "trouble-rule-own-address"),
    ("grants-allowed", "trouble-rule-grants-allowed"),
    ("client-seen", "trouble-rule-client-seen"),
    ("dns-asked", "trouble-rule-dns-asked"),
    ("dns-delegation", "dns-delegation"),
    ("dns-mx", "dns-mx"),
    ("dns-mail-host", "dns-mail-host"),
    ("dns-spf", "dns-spf"),
    ("dns-dkim", "dns-dkim"),
    ("dns-dmarc", "dns-dmarc"),
    ("dns-claim", "dns-claim"),
];

/// What it means for the reader that this rule did not pass, and what to do. Of a rule without one the words of the service
/// are shown.
const NEXT: [(&str, &str); 11] = [
    ("login-form", "trouble-next-login-form"),
    ("login-known", "trouble-next-login-known"),
    ("domain-live", "trouble-next-domain-live"),
    ("not-suspended", "trouble-next-not-suspended"),
    ("lock-free", "trouble-next-lock-free"),
    ("may-relay", "trouble-next-may-relay"),
    ("sender-permitted", "trouble-next-sender-permitted"),
    ("budget-left", "trouble-next-budget-left"),
    ("own-address", "trouble-next-logs-in"),
    ("grants-allowed", "trouble-next-logs-in"),
    ("client-seen", "trouble-next-client-seen"),
];

/// The rule that ended the way; empty when it works.
pub(super) fn decided_by(explanation: &Explanation) -> &str {
    explanation.rules.iter().find(|rule| !rule.passed).map_or("", |rule| rule.name.as_str())
}

pub(super) fn shown(place: &Place, question: &Question, explanation: &Explanation) -> Markup {
    let (class, verdict) = match explanation.verdict() {
        Verdict::Works => ("notice good", "trouble-works"),
        Verdict::Later => ("notice warn", "trouble-later"),
        Verdict::Refused | Verdict::Unspecified => ("notice bad", "trouble-refused"),
    };
    html! {
        div class=(class) role="status" {
            div {
                p { strong { (place.say(verdict)) } }
                p { (next_step(place, question, explanation)) }
            }
        }
        div.cards.wide {
            (wire(place, explanation))
            section.card {
                h2 { (place.say("trouble-rules")) }
                ol.rules {
                    @for rule in &explanation.rules {
                        li.row {
                            span {
                                strong { (rule_title(place, &rule.name)) } br;
                                small lang="en" { (rule.found) }
                            }
                            (badge(place, rule))
                        }
                    }
                }
            }
        }
    }
}

/// The exact words; where it works and no server was asked, there are none to be missed.
fn wire(place: &Place, explanation: &Explanation) -> Markup {
    let answers = &explanation.wire_answers;
    html! {
        @if !answers.is_empty() || explanation.verdict() != Verdict::Works {
            section.card {
                h2 { (place.say("trouble-wire")) }
                @if answers.is_empty() { p { (place.say("trouble-wire-none")) } }
                dl.facts.over { @for answer in answers { dt { (answer.command) } dd { code { (answer.answer) } } } }
            }
        }
    }
}

/// A record that does not stand in the way need not be as it should be.
fn badge(place: &Place, rule: &Rule) -> Markup {
    let (class, key) = match (rule.passed, rule.name.starts_with("dns-")) {
        (true, false) => ("badge good", "trouble-rule-passed"),
        (true, true) => ("badge", "trouble-rule-no-obstacle"),
        (false, _) => ("badge bad", "trouble-rule-stopped"),
    };
    html! { span class=(class) { (place.say(key)) } }
}

fn rule_title(place: &Place, name: &str) -> String {
    text_of(&RULES, name).map_or_else(|| name.to_owned(), |key| place.say(key))
}

fn text_of(table: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == name).map(|(_, key)| *key)
}

fn next_step(place: &Place, question: &Question, explanation: &Explanation) -> Markup {
    let decided_by = decided_by(explanation);
    if decided_by.is_empty() {
        let key = match question.heading {
            Heading::Send => "trouble-works-send",
            Heading::Lock => "trouble-works-lock",
            Heading::Login => "trouble-works-login",
            Heading::Host => "trouble-works-host",
        };
        return html! { (place.visit.name(key, &format!("mail.{}", place.name()))) };
    }
    if let Some((key, count)) = (decided_by == "may-try-now").then(|| wait(&explanation.next_step)).flatten()
    {
        let time = place.visit.reader.count(key, count);
        return html! { (place.visit.texts().fill("trouble-next-wait", &[("time", time.into())])) };
    }
    match text_of(&NEXT, decided_by) {
        Some(key) => html! { (place.visit.name(key, &format!("mail.{}", place.name()))) },
        None => html! { span lang="en" { (explanation.summary) ". " (explanation.next_step) } },
    }
}

/// How long somebody must wait, from the words of the service: key of the unit, and how many.
fn wait(words: &str) -> Option<(&'static str, i64)> {
    let mut words = words.strip_prefix("Wait ")?.split(' ');
    let count = words.next()?;
    match words.next()? {
        "second" | "and" => Some(("span-seconds", 1)),
        "seconds" => Some(("span-seconds", count.parse().ok()?)),
        "minutes" => Some(("span-minutes", count.parse().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_read_as_the_service_says_it() {
        assert_eq!(wait("Wait 40 seconds and try again."), Some(("span-seconds", 40)));
        assert_eq!(wait("Wait a second and try again."), Some(("span-seconds", 1)));
        assert_eq!(wait("Wait 9 minutes and try again."), Some(("span-minutes", 9)));
        assert_eq!(wait("Log in again."), None);
        assert_eq!(wait("Wait many seconds"), None);
    }
}
