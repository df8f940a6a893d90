//! A picture of the last seven days: two bars a day, drawn by the server, with the figures in words.

use jiff::{Timestamp, ToSpan as _, civil::Date};
use maud::{Markup, html};
use postern_proto::delivery::v1::{GetTrafficRequest, TrafficHour};

use super::{begin_of, customer_asked};
use crate::place::Place;

const DAYS: i64 = 7;
/// Of the picture, in its own units.
const WIDTH: i64 = 420;
const HEIGHT: i64 = 110;
/// Below the bars, for the days.
const FOOT: i64 = 22;
const BAR: i64 = 18;

/// What came and went on one day.
struct Day {
    date: Date,
    received: i64,
    sent: i64,
}

/// The picture; nothing while the figures cannot be had, for the list below stands without it.
pub(super) async fn of_the_week(place: &Place) -> Markup {
    // A mailbox user's own mail is not counted apart.
    if place.person.is_mailbox_user() {
        return html! {};
    }
    let today = Timestamp::now().to_zoned_datetime(place.visit.reader.zone.clone()).date();
    let Some(days) = week_until(today) else { return html! {} };
    let begin = days.first().and_then(|day| begin_of(place, day.date));
    let request = GetTrafficRequest {
        customer: customer_asked(place),
        begin_time: begin,
        ..GetTrafficRequest::default()
    };
    let Ok(answer) = place.calls().traces().get_traffic(request).await else { return html! {} };
    drawn(place, &summed(days, &answer.into_inner().hours, place))
}

fn week_until(today: Date) -> Option<Vec<Day>> {
    let day = |back: i64| today.checked_sub(back.days()).ok().map(|date| Day { date, received: 0, sent: 0 });
    (0..DAYS).rev().map(day).collect()
}

fn summed(mut days: Vec<Day>, hours: &[TrafficHour], place: &Place) -> Vec<Day> {
    for hour in hours {
        let begin = hour.begin_time.as_ref().and_then(|begin| Timestamp::new(begin.seconds, 0).ok());
        let Some(begin) = begin else { continue };
        let date = begin.to_zoned_datetime(place.visit.reader.zone.clone()).date();
        if let Some(day) = days.iter_mut().find(|day| day.date == date) {
            day.received += hour.received_count;
            day.sent += hour.sent_count;
        }
    }
    days
}

fn drawn(place: &Place, days: &[Day]) -> Markup {
    let most = days.iter().map(|day| day.received.max(day.sent)).max().unwrap_or(0).max(1);
    let (received, sent): (i64, i64) =
        days.iter().fold((0, 0), |sum, day| (sum.0 + day.received, sum.1 + day.sent));
    let reader = &place.visit.reader;
    let words = format!(
        "{}: {} · {}: {}",
        place.say("mail-received"),
        reader.number(received),
        place.say("mail-sent"),
        reader.number(sent)
    );
    html! {
        figure.card.chart {
            figcaption { strong { (place.say("mail-week")) } " " span.soft { (words) } }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT + FOOT) } role="img" aria-label=(words) {
                @for (at, day) in (0..).zip(days) {
                    @let left = at * (WIDTH / DAYS) + 10;
                    (bar("received", left, day.received, most))
                    (bar("sent", left + BAR + 4, day.sent, most))
                    text x=(left + BAR + 2) y=(HEIGHT + FOOT - 5) text-anchor="middle" { (day.date.day()) "." (day.date.month()) "." }
                }
            }
        }
    }
}

fn bar(class: &str, left: i64, count: i64, most: i64) -> Markup {
    let room = HEIGHT - 18;
    // A day with a little mail still has a bar to see.
    let high = if count == 0 { 1 } else { (count * room / most).max(3) };
    html! {
        rect class=(class) x=(left) y=(HEIGHT - high) width=(BAR) height=(high) rx="2" {}
        @if count > 0 {
            text x=(left + BAR / 2) y=(HEIGHT - high - 4) text-anchor="middle" { (count) }
        }
    }
}
