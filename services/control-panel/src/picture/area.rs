//! How something grew: a line over time with the area below it, and a second line that it is not to reach.

use maud::{Markup, html};

use super::{Frame, HEIGHT, figures, short};

const WIDTH: f64 = 1000.0;
/// Above the highest point.
const HEADROOM: f64 = 1.12;

/// One point: seconds since the first one, and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) seconds: i64,
    pub(crate) amount: i64,
}

/// What is drawn: two points at least.
pub(crate) struct Area<'a> {
    pub(crate) frame: Frame,
    /// By time; the last one is now.
    pub(crate) points: &'a [Point],
    /// What it is not to reach, drawn when it is near enough to be seen beside the line.
    pub(crate) bound: Option<i64>,
    /// Below the drawing: begin and end.
    pub(crate) ends: [String; 2],
    /// The highest amount, in words.
    pub(crate) most: String,
    /// Heads of the table, its rows, and what opens it.
    pub(crate) heads: [String; 3],
    pub(crate) rows: Vec<Vec<String>>,
    pub(crate) figures: String,
}

impl Area<'_> {
    pub(crate) fn drawn(&self) -> Markup {
        let highest = self.points.iter().map(|point| point.amount).max().unwrap_or(0).max(1);
        let bound = self.bound.filter(|bound| *bound > 0 && *bound / 4 <= highest);
        let top = highest.max(bound.unwrap_or(0)) as f64 * HEADROOM;
        let long = self.points.last().map_or(1, |last| last.seconds).max(1) as f64;
        let place = |point: &Point| {
            let (x, y) = (point.seconds as f64 / long * WIDTH, HEIGHT - point.amount as f64 / top * HEIGHT);
            format!("{},{}", short(x), short(y))
        };
        let line = self.points.iter().map(place).collect::<Vec<_>>().join("L");
        let ground = short(HEIGHT);
        let lines = html! {
            path.below d={ "M0," (ground) "L" (line) "L" (short(WIDTH)) "," (ground) "Z" } {}
            path.line d={ "M" (line) } {}
            @if let Some(bound) = bound {
                @let y = short(HEIGHT - bound as f64 / top * HEIGHT);
                line.bound x1="0" x2=(short(WIDTH)) y1=(y) y2=(y) {}
            }
        };
        let [from, to] = &self.ends;
        let heads: Vec<&str> = self.heads.iter().map(String::as_str).collect();
        html! {
            div.plot {
                (self.frame.drawing(WIDTH, &lines))
                span.most.above aria-hidden="true" { (self.most) }
            }
            div.axis.ends aria-hidden="true" { span { (from) } span { (to) } }
            (figures(&self.figures, &heads, &self.rows))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(points: &[(i64, i64)], bound: Option<i64>) -> String {
        let points: Vec<_> =
            points.iter().map(|(seconds, amount)| Point { seconds: *seconds, amount: *amount }).collect();
        let area = Area {
            frame: Frame { id: "growth", title: "T".to_owned(), description: "D".to_owned() },
            points: &points,
            bound,
            ends: ["then", "now"].map(str::to_owned),
            most: "5 MB".to_owned(),
            heads: ["Day", "Use", "Messages"].map(str::to_owned),
            rows: vec![vec!["1".to_owned(), "2".to_owned(), "3".to_owned()]],
            figures: "Figures".to_owned(),
        };
        area.drawn().into_string()
    }

    #[test]
    fn the_line_goes_from_the_first_point_to_now() {
        let page = drawn(&[(0, 0), (50, 100), (100, 50)], None);
        assert!(page.contains("d=\"M0,100L500,10.7L1000,55.4\""), "{page}");
        assert!(!page.contains("bound"), "{page}");
    }

    #[test]
    fn a_bound_is_drawn_when_it_is_in_sight() {
        assert!(drawn(&[(0, 10), (1, 30)], Some(100)).contains("class=\"bound\""));
        assert!(!drawn(&[(0, 10), (1, 20)], Some(1000)).contains("class=\"bound\""));
        let empty = drawn(&[(0, 0), (0, 0)], Some(-1));
        assert!(!empty.contains("NaN") && !empty.contains("inf"), "{empty}");
    }
}
