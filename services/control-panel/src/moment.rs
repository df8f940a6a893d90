//! Times, sizes and counts as people read them, in their language and time zone.

use std::sync::LazyLock;

use fluent_bundle::FluentValue;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use maud::{Markup, html};
use postern_proto::google::Timestamp as Moment;

use crate::texts::{Language, Texts};

/// Language and time zone of a reader.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) texts: Texts,
    pub(crate) zone: TimeZone,
}

impl Reader {
    /// A day and time for people, with the exact one for programs.
    pub(crate) fn moment(&self, moment: &Moment) -> Markup {
        match Timestamp::new(moment.seconds, moment.nanos) {
            Ok(time) => html! { time datetime=(time.to_string()) { (self.spoken(time)) } },
            Err(_) => html! { "–" },
        }
    }

    /// The same where there may be none.
    pub(crate) fn moment_or(&self, moment: Option<&Moment>, none: &str) -> Markup {
        match moment {
            Some(moment) => self.moment(moment),
            None => html! { (none) },
        }
    }

    /// As text, for where no markup can be.
    pub(crate) fn moment_text(&self, moment: &Moment) -> String {
        Timestamp::new(moment.seconds, moment.nanos).map_or_else(|_| "–".to_owned(), |time| self.spoken(time))
    }

    fn spoken(&self, time: Timestamp) -> String {
        let there = time.to_zoned_datetime(self.zone.clone());
        let today = Timestamp::now().to_zoned_datetime(self.zone.clone()).date();
        let clock = self.clock(time);
        if there.date() == today {
            return self.texts.fill("moment-today", &[("time", clock.into())]);
        }
        if today.yesterday().is_ok_and(|yesterday| there.date() == yesterday) {
            return self.texts.fill("moment-yesterday", &[("time", clock.into())]);
        }
        if today.tomorrow().is_ok_and(|tomorrow| there.date() == tomorrow) {
            return self.texts.fill("moment-tomorrow", &[("time", clock.into())]);
        }
        match self.texts.0 {
            Language::German => there.strftime("%d.%m.%Y, %H:%M").to_string(),
            Language::English => there.strftime("%-d %b %Y, %H:%M").to_string(),
        }
    }

    /// A day with its weekday, as `Sat 28 Nov`.
    pub(crate) fn day(&self, day: Date) -> String {
        let form = match self.texts.0 {
            Language::German => "%d.%m.",
            Language::English => "%-d %b",
        };
        format!("{} {}", self.weekday(day), day.strftime(form))
    }

    /// The weekday in short.
    pub(crate) fn weekday(&self, day: Date) -> String {
        self.texts.fill("moment-weekday", &[("day", i64::from(day.weekday().to_monday_one_offset()).into())])
    }

    /// The time of day.
    pub(crate) fn clock(&self, time: Timestamp) -> String {
        time.to_zoned_datetime(self.zone.clone()).strftime("%H:%M").to_string()
    }

    /// Octets, as `3.4 MB` (powers of 1000, as disks are sold and mail programs count).
    pub(crate) fn size(&self, bytes: i64) -> String {
        let mut value = bytes.max(0) as f64;
        let mut unit = 0;
        let units = ["B", "kB", "MB", "GB", "TB", "PB"];
        while value >= 999.5 && unit + 1 < units.len() {
            value /= 1000.0;
            unit += 1;
        }
        let digits = usize::from(unit > 0 && value < 9.95);
        let number = format!("{value:.digits$}");
        let number = if self.texts.0 == Language::German { number.replace('.', ",") } else { number };
        format!("{number}\u{a0}{}", units[unit])
    }

    /// A whole number with its thousands apart.
    pub(crate) fn number(&self, number: i64) -> String {
        self.texts.number(number)
    }

    /// A whole number of something: the text chooses its form by it.
    pub(crate) fn count(&self, key: &str, count: i64) -> String {
        self.texts.fill(key, &[("count", FluentValue::from(count))])
    }
}

/// The zone of this name; `None`: the system's data have none of it.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

/// What names of places begin with; the others are old spellings and offsets, which nobody looks for.
const PARTS: [&str; 10] = [
    "Africa/",
    "America/",
    "Antarctica/",
    "Arctic/",
    "Asia/",
    "Atlantic/",
    "Australia/",
    "Europe/",
    "Indian/",
    "Pacific/",
];

/// The zones to choose from: UTC, and every place that the system's data name.
pub(crate) static ZONES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let known = jiff::tz::db().available().map(|name| name.to_string());
    let mut zones: Vec<_> = known.filter(|name| PARTS.iter().any(|part| name.starts_with(part))).collect();
    zones.sort_unstable();
    zones.dedup();
    zones.insert(0, "UTC".to_owned());
    zones
});

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(language: Language, name: &str) -> Reader {
        Reader { texts: Texts(language), zone: zone(name).unwrap_or(TimeZone::UTC) }
    }

    #[test]
    fn times_are_told_where_the_reader_is() {
        let moment = Moment { seconds: 1_767_225_600, nanos: 0 };
        assert_eq!(reader(Language::English, "UTC").moment_text(&moment), "1 Jan 2026, 00:00");
        assert_eq!(reader(Language::German, "America/New_York").moment_text(&moment), "31.12.2025, 19:00");
        assert_eq!(reader(Language::English, "No/Where").moment_text(&moment), "1 Jan 2026, 00:00");
        let now = Moment { seconds: Timestamp::now().as_second(), nanos: 0 };
        let spoken = reader(Language::English, "UTC").moment_text(&now);
        assert!(spoken.starts_with("today") || spoken.starts_with("yesterday"), "{spoken}");
        let never = Moment { seconds: i64::MAX, nanos: 0 };
        assert_eq!(reader(Language::English, "UTC").moment_text(&never), "–");
    }

    #[test]
    fn every_place_can_be_chosen() {
        for place in ["UTC", "Europe/Berlin", "Asia/Karachi", "Asia/Dhaka", "America/Argentina/Buenos_Aires"]
        {
            assert!(ZONES.iter().any(|zone| zone == place), "{place}");
        }
        for zone_name in ZONES.iter() {
            assert!(zone(zone_name).is_some(), "{zone_name}");
        }
        assert!(zone("No/Where").is_none() && zone("").is_none());
    }

    #[test]
    fn thousands_stand_apart_also_within_a_text() {
        let (english, german) = (reader(Language::English, "UTC"), reader(Language::German, "UTC"));
        assert_eq!(
            (english.number(-1_234_567), english.number(999)),
            ("-1,234,567".to_owned(), "999".to_owned())
        );
        assert_eq!(german.number(1000), "1.000");
        assert_eq!(english.count("pop-message-count", 12_345), "12,345 messages");
        assert_eq!(english.count("pop-message-count", 1), "1 message");
        assert_eq!(german.count("pop-message-count", 12_345), "12.345 Nachrichten");
    }

    #[test]
    fn sizes_are_short() {
        let english = reader(Language::English, "UTC");
        for (bytes, expected) in [
            (-1, "0\u{a0}B"),
            (999, "999\u{a0}B"),
            (1000, "1.0\u{a0}kB"),
            (999_999, "1.0\u{a0}MB"),
            (123_456_789, "123\u{a0}MB"),
            (i64::MAX, "9223\u{a0}PB"),
        ] {
            assert_eq!(english.size(bytes), expected);
        }
        assert_eq!(reader(Language::German, "UTC").size(3_400_000), "3,4\u{a0}MB");
    }
}
