//! The story of one message: accepted from whom, for whom, what was tried, and how it ended.

use axum::response::Response;
use maud::{Markup, html};
use postern_proto::delivery::v1::{GetTraceRequest, MailDirection, TraceEntry};

use super::{MENU, sender, state};
use crate::{call::Failure, layout, place::Place};

/// Hexadecimal digits of the number of a message.
const NUMBER_CHARS: usize = 32;

pub(super) async fn page(place: Place) -> Result<Response, Failure> {
    let queue_id = place.param("id").to_owned();
    // What is no number is not there, as what is somebody else's.
    if number_in(&queue_id).as_ref() != Some(&queue_id) {
        return Err(Failure::NotFound);
    }
    let entries = entries(&place, &queue_id).await?;
    let Some(first) = entries.first() else { return Err(Failure::NotFound) };
    let body = html! {
        p.lead { (place.say("mail-story-lead")) }
        section.card {
            dl.facts {
                dt { (place.say("mail-story-id")) } dd { (layout::copyable(&place.visit, &queue_id)) }
                dt { (place.say("mail-column-time")) } dd { (place.visit.reader.moment_or(first.accept_time.as_ref(), "–")) }
                dt { (place.say("mail-column-sender")) } dd { (sender(&place, first)) }
                @if !first.login.is_empty() { dt { (place.say("mail-story-login")) } dd { (first.login) } }
                @if !first.peer_ip.is_empty() { dt { (place.say("mail-story-peer")) } dd { (first.peer_ip) } }
                dt { (place.say("mail-column-size")) } dd { (place.visit.reader.size(first.size_bytes)) }
            }
        }
        @for entry in &entries { (recipient(&place, entry)) }
    };
    Ok(place.page_below(&MENU, Vec::new(), place.say("mail-story-title"), body))
}

/// The number of a message in what was typed or copied: out of the reply to a mail program, a `Received:` line or a report.
pub(super) fn number_in(text: &str) -> Option<String> {
    let mut words = text.split(|c: char| !c.is_ascii_hexdigit());
    words.find(|word| word.len() == NUMBER_CHARS).map(str::to_ascii_lowercase)
}

/// What became of this message, as far as this person may know.
async fn entries(place: &Place, queue_id: &str) -> Result<Vec<TraceEntry>, Failure> {
    let request = GetTraceRequest { queue_id: queue_id.to_owned() };
    Ok(place.calls().traces().get_trace(request).await?.into_inner().entries)
}

/// Where the story of a message stands that somebody has the number of; `None`: there is none, or it is not this person's.
pub(super) async fn of_number(place: &Place, typed: &str) -> Result<Option<String>, Failure> {
    let Some(number) = number_in(typed) else { return Ok(None) };
    match entries(place, &number).await {
        Ok(entries) => Ok((!entries.is_empty()).then(|| place.path(&MENU, &["story", &number]))),
        Err(Failure::NotFound) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// False of what lies in a box and was not touched yet: its state says all.
fn is_told(entry: &TraceEntry) -> bool {
    !entry.attempts.is_empty()
        || !entry.outcome.is_empty()
        || entry.next_attempt_time.is_some()
        || entry.read_time.is_some()
        || entry.delete_time.is_some()
}

fn recipient(place: &Place, entry: &TraceEntry) -> Markup {
    let reader = &place.visit.reader;
    let way = match entry.direction() {
        MailDirection::Sent => "mail-sent",
        MailDirection::Received | MailDirection::Unspecified => "mail-received",
    };
    html! {
        section.card {
            h2 { (layout::address(&entry.recipient)) " " (state(place, entry)) }
            p.soft {
                (place.say(way))
                @if !entry.via.is_empty() { " · " (place.visit.name("mail-story-via", &entry.via)) }
            }
            @if is_told(entry) { ol.events {
                @for attempt in &entry.attempts {
                    li.event { p { (reader.moment_or(attempt.attempt_time.as_ref(), "–")) } p.soft lang="en" { (attempt.outcome) } }
                }
                @if !entry.outcome.is_empty() {
                    li.event { p { (reader.moment_or(entry.outcome_time.as_ref(), "–")) } p lang="en" { (entry.outcome) } }
                }
                @if let Some(next) = &entry.next_attempt_time {
                    li.event { p { (place.say("mail-story-next")) " " (reader.moment(next)) } }
                }
                @if let Some(read) = &entry.read_time {
                    li.event { p { (place.say("mail-story-read")) " " (reader.moment(read)) } }
                }
                @if let Some(deleted) = &entry.delete_time {
                    li.event { p { (place.say("mail-story-deleted")) " " (reader.moment(deleted)) } }
                }
            } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_in_what_was_copied_with_it() {
        let number = "0123456789abcdef0123456789abcdef";
        for typed in [
            number,
            " 0123456789ABCDEF0123456789ABCDEF\n",
            "250 2.0.0 Ok: 0123456789abcdef0123456789abcdef",
            "by mail.homepage.test with ESMTP id <0123456789abcdef0123456789abcdef>;",
        ] {
            assert_eq!(number_in(typed).as_deref(), Some(number), "{typed}");
        }
        for none in ["", "0123", "0123456789abcdef0123456789abcdef0", "0123456789abcdef 0123456789abcdef"] {
            assert_eq!(number_in(none), None, "{none}");
        }
    }
}
