//! Lists with a tick at each line: all that a page shows can be ticked at once. It is a link to the page with all of them ticked;
//! where scripts run it ticks them without a page.

use maud::{Markup, html};

use super::with_query;
use crate::visit::Visit;

/// In addresses.
const FIELD: &str = "tick";
const ALL: &str = "all";

/// Whether the lines of this page are ticked from the start.
pub(crate) fn are_set(visit: &Visit) -> bool {
    visit.query.get(FIELD) == ALL
}

/// The links above a list, for the inside of its form. `address`: of the list; `kept`: what its query keeps.
pub(crate) fn links(visit: &Visit, address: &str, kept: &[&str]) -> Markup {
    let none = with_query(visit, address, kept);
    let and = if none.contains('?') { '&' } else { '?' };
    html! {
        p.ticks {
            a href={ (none) (and) (FIELD) "=" (ALL) } data-tick="all" { (visit.say("tick-all")) }
            " "
            a href=(none) data-tick="none" { (visit.say("tick-none")) }
        }
    }
}
