//! What needs somebody at a domain, each with the way to where it is mended; or that nothing does.

use maud::{Markup, html};
use postern_proto::{
    account::v1::{DomainState, Mailbox, SuspendedMember},
    delivery::v1::{QueueEntry, TraceEntry},
};

use super::Known;
use crate::{
    layout::icon,
    menus::{domain, mail, mailing_lists, pop_accounts},
    place::Place,
};

/// Attempts after which waiting mail is worth a look.
const ATTEMPTS_MANY: i32 = 3;
/// Of each kind, named one by one; of more their number is told.
const NAMED_MAX: usize = 3;

/// Somebody's mail does not arrive now.
const BROKEN: &str = "bad";
/// It may come to that.
const IN_DANGER: &str = "warn";

/// One thing that needs somebody.
struct Item {
    /// [`BROKEN`] or [`IN_DANGER`]: its colour.
    kind: &'static str,
    text: String,
    /// What a server said, in its own words.
    words: String,
    to: String,
}

/// The list.
pub(super) fn list(place: &Place, known: &Known) -> Markup {
    let items = items(place, known);
    html! {
        @if items.is_empty() {
            div.notice.good { p { (icon("domain")) " " (place.visit.name("home-all-well", place.name())) } }
        } @else {
            section.needs aria-labelledby="needs-title" {
                h2 #needs-title { (place.say("home-needs")) }
                ul.plain.attention {
                    @for item in &items {
                        li class={ "notice " (item.kind) } {
                            p {
                                (item.text)
                                @if !item.words.is_empty() { br; small lang="en" { (item.words) } }
                            }
                            a href=(item.to) { (place.say("home-look")) }
                        }
                    }
                }
            }
        }
    }
}

fn items(place: &Place, known: &Known) -> Vec<Item> {
    let overview = &known.overview;
    let list_of = |menu| place.path(menu, &[]);
    let mut items = Vec::new();
    items.extend(service(place));
    items.extend(records(place, known));
    let full = &overview.nearly_full_mailboxes;
    items.extend(full.iter().take(NAMED_MAX).map(|mailbox| full_box(place, mailbox)));
    items.extend(more(place, "home-full-more", overview.nearly_full_count, list_of(&pop_accounts::MENU)));
    let failures = known.sending.as_ref().map(|sending| sending.failures.as_slice()).unwrap_or_default();
    items.extend(failures.iter().take(NAMED_MAX).map(|entry| refused(place, entry)));
    let late: Vec<_> = known.waiting.iter().filter(|entry| entry.attempt_count >= ATTEMPTS_MANY).collect();
    items.extend(late.iter().take(NAMED_MAX).map(|entry| late_mail(place, entry)));
    let waiting = format!("{}?state=queued", list_of(&mail::MENU));
    items.extend(more(place, "home-late-more", i32::try_from(late.len()).unwrap_or(i32::MAX), waiting));
    let members = &overview.suspended_members;
    items.extend(members.iter().take(NAMED_MAX).map(|member| suspended_member(place, member)));
    let lists = list_of(&mailing_lists::MENU);
    items.extend(more(place, "home-member-more", overview.suspended_member_count, lists));
    let suspended = overview.suspended_mailboxes.iter();
    items.extend(suspended.take(NAMED_MAX).map(|mailbox| suspended_box(place, mailbox)));
    let accounts = list_of(&pop_accounts::MENU);
    items.extend(more(place, "home-suspended-more", overview.suspended_count, accounts));
    in_order(items)
}

/// What is broken now stands before what may come to that.
fn in_order(mut items: Vec<Item>) -> Vec<Item> {
    items.sort_by_key(|item| item.kind != BROKEN);
    items
}

/// Those that are not named.
fn more(place: &Place, key: &str, count: i32, to: String) -> Option<Item> {
    let left = usize::try_from(count).unwrap_or_default().saturating_sub(NAMED_MAX);
    let text = || place.visit.reader.count(key, i64::try_from(left).unwrap_or(i64::MAX));
    (left > 0).then(|| Item { kind: IN_DANGER, text: text(), words: String::new(), to })
}

/// What DNS lacks for the domain to be in service.
fn service(place: &Place) -> Option<Item> {
    let domain = &place.domain;
    let reader = &place.visit.reader;
    let item = |kind, text| Item { kind, text, words: String::new(), to: place.path(&domain::MENU, &[]) };
    if let Some(end) = &domain.grace_end_time {
        let values = [("name", place.name().into()), ("time", reader.moment_text(end).into())];
        return Some(item(BROKEN, place.visit.texts().fill("home-grace", &values)));
    }
    let claimed = domain.claim.as_ref().filter(|claim| claim.txt_required);
    match (domain.state(), claimed) {
        (DomainState::Live, _) => None,
        (_, Some(claim)) => {
            let values = [("name", place.name().into()), ("record", claim.txt_name.as_str().into())];
            Some(item(BROKEN, place.visit.texts().fill("home-claim", &values)))
        }
        (DomainState::Lost, None) => Some(item(BROKEN, place.visit.name("home-lost", place.name()))),
        _ => Some(item(BROKEN, place.visit.name("home-not-live", place.name()))),
    }
}

/// Records that are not as they should be, as of the last check.
fn records(place: &Place, known: &Known) -> Option<Item> {
    let wrong = domain::dns::wrong(place, &known.overview.findings);
    let values = [("name", place.name().into()), ("records", wrong.join(", ").into())];
    let text = || place.visit.texts().fill("home-records", &values);
    let to = format!("{}#dns", place.path(&domain::MENU, &[]));
    (!wrong.is_empty()).then(|| Item { kind: IN_DANGER, text: text(), words: String::new(), to })
}

fn box_item(place: &Place, mailbox: &Mailbox, kind: &'static str, text: String) -> Item {
    let to = place.path(&pop_accounts::MENU, &["box", &mailbox.login]);
    Item { kind, text, words: String::new(), to }
}

fn full_box(place: &Place, mailbox: &Mailbox) -> Item {
    let reader = &place.visit.reader;
    if mailbox.full {
        return box_item(place, mailbox, BROKEN, place.visit.name("home-full", &mailbox.login));
    }
    let values = [
        ("name", mailbox.login.as_str().into()),
        ("used", reader.size(mailbox.used_bytes).into()),
        ("all", reader.size(mailbox.effective_quota_bytes.unwrap_or_default()).into()),
    ];
    box_item(place, mailbox, IN_DANGER, place.visit.texts().fill("home-nearly-full", &values))
}

fn suspended_box(place: &Place, mailbox: &Mailbox) -> Item {
    box_item(place, mailbox, IN_DANGER, place.visit.name("home-suspended", &mailbox.login))
}

fn refused(place: &Place, entry: &TraceEntry) -> Item {
    let time = entry.outcome_time.as_ref().or(entry.accept_time.as_ref());
    let time = time.map(|time| place.visit.reader.moment_text(time)).unwrap_or_default();
    let values = [
        ("sender", entry.sender.as_str().into()),
        ("recipient", entry.recipient.as_str().into()),
        ("time", time.into()),
    ];
    let key = if entry.sender.is_empty() { "home-refused-automatic" } else { "home-refused" };
    Item {
        kind: IN_DANGER,
        text: place.visit.texts().fill(key, if entry.sender.is_empty() { &values[1..] } else { &values }),
        words: entry.outcome.clone(),
        to: place.path(&mail::MENU, &["story", &entry.queue_id]),
    }
}

fn late_mail(place: &Place, entry: &QueueEntry) -> Item {
    Item {
        kind: IN_DANGER,
        text: place.visit.name("home-late", &entry.recipient),
        words: entry.last_outcome.clone(),
        to: place.path(&mail::MENU, &["story", &entry.queue_id]),
    }
}

fn suspended_member(place: &Place, member: &SuspendedMember) -> Item {
    let since = member.suspend_time.as_ref().map(|time| place.visit.reader.moment_text(time));
    let values = [
        ("member", member.address.as_str().into()),
        ("list", member.list.as_str().into()),
        ("time", since.unwrap_or_default().into()),
    ];
    Item {
        kind: IN_DANGER,
        text: place.visit.texts().fill("home-member", &values),
        words: String::new(),
        to: place.path(&mailing_lists::MENU, &["of", &member.list]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_broken_comes_first_and_the_rest_stays_in_order() {
        let item =
            |kind, text: &str| Item { kind, text: text.to_owned(), words: String::new(), to: String::new() };
        let items = [(IN_DANGER, "a"), (BROKEN, "b"), (IN_DANGER, "c"), (BROKEN, "d")];
        let items = in_order(items.into_iter().map(|(kind, text)| item(kind, text)).collect());
        let texts: Vec<_> = items.iter().map(|item| item.text.as_str()).collect();
        assert_eq!(texts, ["b", "d", "a", "c"]);
    }
}
