//! One bar that is divided: how much of a whole stands where, with a list that says the same in words.

use maud::{Markup, html};

use super::{Frame, HEIGHT, short};
use crate::moment::Reader;

const WIDTH: f64 = 1000.0;
/// What is there is seen.
const LEAST: f64 = 8.0;

/// One part.
pub(crate) struct Share {
    /// Its colour: a class of the style.
    pub(crate) class: &'static str,
    pub(crate) name: String,
    pub(crate) count: i64,
    /// Where one sees what it consists of.
    pub(crate) to: String,
}

/// The bar and its list; of what is empty only the list.
pub(crate) fn drawn(frame: &Frame, shares: &[Share], reader: &Reader) -> Markup {
    let whole: i64 = shares.iter().map(|share| share.count).sum();
    let mut wide: Vec<f64> = shares
        .iter()
        .map(
            |share| {
                if share.count == 0 { 0.0 } else { (share.count as f64 / whole as f64 * WIDTH).max(LEAST) }
            },
        )
        .collect();
    let over = WIDTH / wide.iter().sum::<f64>().max(1.0);
    wide.iter_mut().for_each(|one| *one *= over);
    let lines = html! {
        @for (at, share) in shares.iter().enumerate().filter(|(_, share)| share.count > 0) {
            g {
                title { (share.name) ": " (share.count) }
                rect class=(share.class) x=(short(wide[..at].iter().fold(0.0, |sum, one| sum + one))) y="0" width=(short(wide[at])) height=(short(HEIGHT)) {}
            }
        }
    };
    html! {
        @if whole > 0 { div.share-bar { (frame.drawing(WIDTH, &lines)) } }
        ul.legend {
            @for share in shares.iter().filter(|share| share.count > 0) {
                li {
                    span class={ "swatch " (share.class) } {}
                    a href=(share.to) { (share.name) } " " strong { (reader.number(share.count)) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::texts::Texts;

    #[test]
    fn every_part_is_seen_and_together_they_are_the_whole() {
        let reader = Reader { texts: Texts::default(), zone: TimeZone::UTC };
        let frame = Frame { id: "fates", title: "T".to_owned(), description: "D".to_owned() };
        let share = |class, count| Share { class, name: class.to_owned(), count, to: "/x".to_owned() };
        let page =
            drawn(&frame, &[share("good", 9990), share("warn", 0), share("bad", 10)], &reader).into_string();
        assert!(page.contains("class=\"good\" x=\"0\" y=\"0\" width=\"992"), "{page}");
        assert!(page.contains("class=\"bad\"") && !page.contains("warn"), "{page}");
        let none = drawn(&frame, &[share("good", 0)], &reader).into_string();
        assert!(!none.contains("<svg") && !none.contains("NaN"), "{none}");
    }
}
