//! A picture of mail in and out: of the last seven days by the day, or of the last 24 hours by the hour.

use jiff::{Timestamp, ToSpan as _};
use maud::{Markup, html};
use postern_proto::{
    delivery::v1::{GetTrafficRequest, TrafficHour},
    google,
};

use super::customer_asked;
use crate::{
    menus::activity::begin_of,
    moment::Reader,
    picture::{
        Frame,
        bars::{Bars, Column},
    },
    place::Place,
};

const DAYS: i64 = 7;
const HOURS: i64 = 24;
const HOUR_SECONDS: i64 = 3600;
/// Names in addresses.
const SPANS: [(Span, &str, &str); 2] =
    [(Span::Week, "week", "picture-week"), (Span::Day, "day", "picture-day")];

/// How far back a picture goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Span {
    Week,
    Day,
}

/// The picture; nothing while the figures cannot be had, for the page stands without it. `domain`: of this one only. `to`:
/// the page with the picture, with what the query has besides.
pub(in crate::menus) async fn picture(place: &Place, domain: Option<&str>, to: &str) -> Markup {
    // A mailbox user's own mail is not counted apart.
    if place.person.is_mailbox_user() {
        return html! {};
    }
    let asked = place.visit.query.get("span");
    let span = SPANS.iter().find(|(_, name, _)| *name == asked).map_or(Span::Week, |(span, ..)| *span);
    let now = Timestamp::now();
    let request = GetTrafficRequest {
        customer: customer_asked(place),
        domain: domain.unwrap_or_default().to_owned(),
        begin_time: begin(place, span, now),
        ..GetTrafficRequest::default()
    };
    let Ok(answer) = place.calls().traces().get_traffic(request).await else { return html! {} };
    let hours = answer.into_inner().hours;
    let columns = match span {
        Span::Week => by_day(&place.visit.reader, now, &hours),
        Span::Day => by_hour(&place.visit.reader, now, &hours),
    };
    drawn(place, span, columns, to)
}

fn begin(place: &Place, span: Span, now: Timestamp) -> Option<google::Timestamp> {
    match span {
        Span::Week => {
            let today = now.to_zoned_datetime(place.visit.reader.zone.clone()).date();
            begin_of(place, today.checked_sub((DAYS - 1).days()).ok()?)
        }
        Span::Day => Some(google::Timestamp { seconds: first_hour(now), nanos: 0 }),
    }
}

/// The hour of now is the last of them.
fn first_hour(now: Timestamp) -> i64 {
    let hour = now.as_second() - now.as_second().rem_euclid(HOUR_SECONDS);
    hour - (HOURS - 1) * HOUR_SECONDS
}

fn by_day(reader: &Reader, now: Timestamp, hours: &[TrafficHour]) -> Vec<Column> {
    let today = now.to_zoned_datetime(reader.zone.clone()).date();
    let days = (0..DAYS).rev().filter_map(|back| today.checked_sub(back.days()).ok());
    let column = |day| {
        let of_day = hours.iter().filter(|hour| {
            let begin = hour.begin_time.as_ref().and_then(|begin| Timestamp::new(begin.seconds, 0).ok());
            begin.is_some_and(|begin| begin.to_zoned_datetime(reader.zone.clone()).date() == day)
        });
        let (above, below) = summed(of_day);
        Column { name: reader.day(day), tick: reader.weekday(day), above, below }
    };
    days.map(column).collect()
}

fn by_hour(reader: &Reader, now: Timestamp, hours: &[TrafficHour]) -> Vec<Column> {
    let first = first_hour(now);
    let column = |at| {
        let begin = first + at * HOUR_SECONDS;
        let of_hour =
            hours.iter().filter(|hour| hour.begin_time.as_ref().is_some_and(|time| time.seconds == begin));
        let (above, below) = summed(of_hour);
        let clock = Timestamp::new(begin, 0).map_or_else(|_| String::new(), |begin| reader.clock(begin));
        Column { name: clock.clone(), tick: clock, above, below }
    };
    (0..HOURS).map(column).collect()
}

fn summed<'h>(hours: impl Iterator<Item = &'h TrafficHour>) -> (i64, i64) {
    hours.fold((0, 0), |sum, hour| (sum.0 + hour.received_count, sum.1 + hour.sent_count))
}

fn drawn(place: &Place, span: Span, columns: Vec<Column>, to: &str) -> Markup {
    let reader = &place.visit.reader;
    let bars = Bars {
        frame: Frame {
            id: "traffic",
            title: place.say("picture-traffic"),
            description: place.say("picture-traffic-text"),
        },
        heads: ["picture-when", "mail-received", "mail-sent"].map(|key| place.say(key)),
        columns,
        tick_every: if span == Span::Day { 6 } else { 1 },
        figures: place.say("picture-figures"),
    };
    let (received, sent) = bars.sums();
    html! {
        figure.card.chart {
            figcaption {
                h2 { (place.say("picture-traffic")) }
                (spans(place, span, to))
            }
            ul.legend {
                li { span.swatch.above {} (place.say("mail-received")) " " strong { (reader.number(received)) } }
                li { span.swatch.below {} (place.say("mail-sent")) " " strong { (reader.number(sent)) } }
            }
            @if received + sent == 0 { p.soft { (place.say("picture-traffic-none")) } } @else { (bars.drawn(reader)) }
        }
    }
}

/// The ways to the other times.
fn spans(place: &Place, shown: Span, to: &str) -> Markup {
    let and = if to.contains('?') { '&' } else { '?' };
    html! {
        nav.spans aria-label=(place.say("picture-spans")) {
            @for (span, name, key) in SPANS {
                a href={ (to) (and) "span=" (name) } aria-current=[(span == shown).then_some("true")] { (place.say(key)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::texts::Texts;

    fn hour(text: &str, received_count: i64, sent_count: i64) -> TrafficHour {
        let time: Timestamp = text.parse().expect(text);
        let begin_time = Some(google::Timestamp { seconds: time.as_second(), nanos: 0 });
        TrafficHour { begin_time, received_count, sent_count, ..TrafficHour::default() }
    }

    #[test]
    fn days_are_those_of_the_reader_and_hours_end_now() {
        let now: Timestamp = "2026-11-28T09:30:00Z".parse().expect("a time");
        let hours = [
            hour("2026-11-26T23:00:00Z", 1, 0),
            hour("2026-11-27T10:00:00Z", 2, 5),
            hour("2026-11-28T09:00:00Z", 4, 0),
        ];
        let reader = |zone: &str| Reader { texts: Texts::default(), zone: TimeZone::get(zone).expect(zone) };
        let counts = |columns: &[Column]| columns.iter().map(|c| (c.above, c.below)).collect::<Vec<_>>();
        let days = by_day(&reader("UTC"), now, &hours);
        assert_eq!(counts(&days)[4..], [(1, 0), (2, 5), (4, 0)]);
        assert_eq!((days.len(), days[6].tick.as_str(), days[6].name.as_str()), (7, "Sat", "Sat 28 Nov"));
        assert_eq!(counts(&by_day(&reader("Europe/Berlin"), now, &hours))[4..], [(0, 0), (3, 5), (4, 0)]);
        let day = by_hour(&reader("Europe/Berlin"), now, &hours);
        assert_eq!((day.len(), day[0].name.as_str(), day[23].name.as_str()), (24, "11:00", "10:00"));
        assert_eq!((counts(&day)[0], counts(&day)[23]), ((2, 5), (4, 0)));
    }
}
