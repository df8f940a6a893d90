//! Finding in a list that has more than a page: what its names begin with is asked of the service, which has an index for it.

use maud::{Markup, html};

use super::{empty, with_query};
use crate::{form::Field, place::segment, visit::Visit};

/// In addresses, and in the form.
pub(crate) const FIELD: &str = "find";

/// Characters that are looked for at most: no name is longer.
const ASKED_MAX_CHARS: usize = 254;

/// What is looked for; empty: nothing. A tabulator that came with what was pasted is not part of a name.
pub(crate) fn asked(visit: &Visit) -> String {
    visit.query.trimmed(FIELD).chars().filter(|c| !c.is_control()).take(ASKED_MAX_CHARS).collect()
}

/// The form, for a list that has more than its first page, or where something is looked for. `address`: of the list. `next`: as
/// for [`paging`].
pub(crate) fn search(visit: &Visit, address: &str, next: &str) -> Markup {
    let asked = asked(visit);
    html! {
        @if !asked.is_empty() || !next.is_empty() || !visit.query.get("page").is_empty() {
            form.card.filters method="get" action=(address) role="search" {
                div.fields { (Field::new(FIELD, visit.say("find-field")).value(&*asked).text()) }
                div.actions {
                    button type="submit" { (visit.say("find-search")) }
                    a.button href=(address) { (visit.say("activity-all")) }
                }
            }
        }
    }
}

/// What stands where nothing begins with what is looked for; nothing where nothing is.
pub(crate) fn nothing(visit: &Visit) -> Option<Markup> {
    let asked = asked(visit);
    (!asked.is_empty())
        .then(|| empty(&visit.say("find-nothing"), &visit.name("find-nothing-text", &asked), None))
}

/// The way to the next page of a list, and back to its begin; both keep what is looked for.
pub(crate) fn paging(visit: &Visit, address: &str, next: &str) -> Markup {
    let later = !visit.query.get("page").is_empty();
    let begin = with_query(visit, address, &[FIELD]);
    let and = if begin.contains('?') { '&' } else { '?' };
    html! {
        @if later || !next.is_empty() {
            nav.paging aria-label=(visit.say("layout-paging")) {
                @if later { a.button href=(begin) { (visit.say("layout-first-page")) } }
                @if !next.is_empty() {
                    a.button href={ (begin) (and) "page=" (segment(next)) } { (visit.say("layout-next-page")) }
                }
            }
        }
    }
}
