//! How a box came to hold what it holds, as a picture over the days that are known.

use jiff::Timestamp;
use maud::{Markup, html};
use postern_proto::account::v1::{GetMailboxHistoryRequest, Mailbox, MailboxDay};

use crate::{
    moment::Reader,
    picture::{
        Frame,
        area::{Area, Point},
    },
    place::Place,
};

/// The days of a box; none while they cannot be had.
pub(super) async fn days(place: &Place, mailbox: &Mailbox) -> Vec<MailboxDay> {
    let request = GetMailboxHistoryRequest { address: mailbox.login.clone() };
    let answer = place.calls().mailboxes().get_mailbox_history(request).await;
    answer.map(|answer| answer.into_inner().days).unwrap_or_default()
}

/// The picture; nothing of a box whose first day is today.
pub(super) fn picture(place: &Place, mailbox: &Mailbox, days: &[MailboxDay]) -> Markup {
    let reader = &place.visit.reader;
    let now = Timestamp::now().as_second();
    let points = points(days, mailbox.used_bytes, now);
    let begin = points.first().and_then(|_| days.first()?.begin_time.as_ref());
    let Some(begin) = begin.and_then(|begin| Timestamp::new(begin.seconds, 0).ok()) else { return html! {} };
    let first_used = days.first().map_or(0, |day| day.used_bytes);
    let (from, to) = (utc_day(reader, begin), place.say("picture-today"));
    let most = points.iter().map(|point| point.amount).max().unwrap_or(0);
    let description = place.visit.texts().fill(
        "picture-growth-text",
        &[
            ("from", from.clone().into()),
            ("first", reader.size(first_used).into()),
            ("now", reader.size(mailbox.used_bytes).into()),
        ],
    );
    let area = Area {
        frame: Frame { id: "growth", title: place.say("picture-growth"), description: description.clone() },
        points: &points,
        bound: mailbox.effective_quota_bytes,
        ends: [from, to],
        most: reader.size(most),
        heads: ["picture-when", "pop-column-use", "pop-messages"].map(|key| place.say(key)),
        rows: days.iter().rev().map(|day| row(reader, day)).collect(),
        figures: place.say("picture-figures"),
    };
    html! {
        figure.card.chart {
            figcaption { h2 { (place.say("picture-growth")) } }
            p.soft { (description) }
            (area.drawn())
        }
    }
}

/// Points by the second since the first, and the one of now; none when there is nothing before today.
fn points(days: &[MailboxDay], used_now: i64, now: i64) -> Vec<Point> {
    let seconds = |day: &MailboxDay| day.begin_time.as_ref().map_or(0, |time| time.seconds);
    let Some(first) = days.first().map(seconds) else { return Vec::new() };
    if now - first < 2 * 86_400 {
        return Vec::new();
    }
    let known = days.iter().map(|day| Point { seconds: seconds(day) - first, amount: day.used_bytes });
    known.chain([Point { seconds: now - first, amount: used_now }]).collect()
}

/// Days are those of UTC, whatever the zone of the reader.
fn utc_day(reader: &Reader, begin: Timestamp) -> String {
    reader.day(begin.to_zoned_datetime(jiff::tz::TimeZone::UTC).date())
}

fn row(reader: &Reader, day: &MailboxDay) -> Vec<String> {
    let begin = day.begin_time.as_ref().and_then(|begin| Timestamp::new(begin.seconds, 0).ok());
    let name = begin.map_or_else(|| "–".to_owned(), |begin| utc_day(reader, begin));
    vec![name, reader.size(day.used_bytes), reader.number(day.message_count)]
}

#[cfg(test)]
mod tests {
    use postern_proto::google;

    use super::*;

    #[test]
    fn there_is_a_picture_from_the_second_day_on() {
        let day = |number: i64, used_bytes| MailboxDay {
            begin_time: Some(google::Timestamp { seconds: number * 86_400, nanos: 0 }),
            used_bytes,
            message_count: 1,
        };
        assert!(points(&[], 5, 86_400).is_empty());
        assert!(points(&[day(1, 5)], 5, 86_400 + 50_000).is_empty());
        let points = points(&[day(1, 5), day(3, 9)], 7, 3 * 86_400 + 100);
        let seen: Vec<_> = points.iter().map(|point| (point.seconds, point.amount)).collect();
        assert_eq!(seen, [(0, 5), (172_800, 9), (172_900, 7)]);
    }
}
