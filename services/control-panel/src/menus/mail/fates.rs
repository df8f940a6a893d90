//! What became of what was sent lately: how much is where, and what failed last.

use maud::{Markup, html};
use postern_proto::delivery::v1::{GetSendingSummaryRequest, GetSendingSummaryResponse};

use super::{DIRECTIONS, MENU, STATES, customer_asked};
use crate::{
    picture::{
        Frame,
        shares::{self, Share},
    },
    place::Place,
};

/// Of the last seven days; `None` while it cannot be had.
pub(in crate::menus) async fn summary(place: &Place) -> Option<GetSendingSummaryResponse> {
    let request =
        GetSendingSummaryRequest { customer: customer_asked(place), ..GetSendingSummaryRequest::default() };
    Some(place.calls().traces().get_sending_summary(request).await.ok()?.into_inner())
}

/// The picture; nothing without a summary.
pub(in crate::menus) fn picture(place: &Place, summary: Option<&GetSendingSummaryResponse>) -> Markup {
    let Some(summary) = summary else { return html! {} };
    let share = |(name, state, key, _, class): &(&str, _, &'static str, _, &'static str)| Share {
        class: class.strip_prefix("badge").map_or("", str::trim),
        name: place.say(key),
        count: summary.counts.iter().filter(|one| one.state() == *state).map(|one| one.count).sum(),
        to: format!("{}?direction={}&state={name}", place.path(&MENU, &[]), DIRECTIONS[1].0),
    };
    let shares: Vec<Share> = STATES.iter().map(share).collect();
    let frame = Frame {
        id: "fates",
        title: place.say("picture-fates"),
        description: place.say("picture-fates-text"),
    };
    html! {
        section.card.chart {
            h2 { (place.say("picture-fates")) }
            @if summary.counts.is_empty() {
                p.soft { (place.say("picture-fates-none")) }
            } @else {
                p.soft { (place.say(if summary.is_partial { "picture-fates-partial" } else { "picture-fates-week" })) }
                (shares::drawn(&frame, &shares, &place.visit.reader))
            }
        }
    }
}
