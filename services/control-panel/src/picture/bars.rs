//! Two counts for each of some times: one as a bar above a line, the other as a bar below it.

use maud::{Markup, html};

use super::{Frame, HEIGHT, figures, short};
use crate::moment::Reader;

/// Width of a column, in units of the drawing, and of what is free on each side of its bars.
const COLUMN: f64 = 10.0;
const GAP: f64 = 1.5;
/// One is to be seen beside a thousand, too.
const LEAST: f64 = 2.0;

/// One time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// In the table, and where the pointer is.
    pub(crate) name: String,
    /// Below the drawing; shown for some columns.
    pub(crate) tick: String,
    pub(crate) above: i64,
    pub(crate) below: i64,
}

/// What is drawn.
pub(crate) struct Bars {
    pub(crate) frame: Frame,
    /// Heads of the table: the time, what stands above, what stands below.
    pub(crate) heads: [String; 3],
    pub(crate) columns: Vec<Column>,
    /// The tick of each so-manieth column is shown.
    pub(crate) tick_every: usize,
    /// What opens the table.
    pub(crate) figures: String,
}

impl Bars {
    /// The sum of both counts.
    pub(crate) fn sums(&self) -> (i64, i64) {
        self.columns.iter().fold((0, 0), |sum, column| (sum.0 + column.above, sum.1 + column.below))
    }

    /// The drawing with its ticks and its table.
    pub(crate) fn drawn(&self, reader: &Reader) -> Markup {
        let most = |of: fn(&Column) -> i64| self.columns.iter().map(of).max().unwrap_or(0);
        let (above, below) = (most(|column| column.above), most(|column| column.below));
        let unit = HEIGHT / (above + below).max(1) as f64;
        let zero = above as f64 * unit;
        let width = COLUMN * self.columns.len() as f64;
        let lines = html! {
            @for (at, column) in self.columns.iter().enumerate() { (self.column(at as f64 * COLUMN, column, zero, unit)) }
            line.zero x1="0" x2=(short(width)) y1=(short(zero)) y2=(short(zero)) {}
        };
        let ticks: Vec<_> = self.columns.iter().step_by(self.tick_every.max(1)).collect();
        let rows = self.columns.iter().map(|column| {
            vec![column.name.clone(), reader.number(column.above), reader.number(column.below)]
        });
        let [time, above_head, below_head] = &self.heads;
        html! {
            div.plot {
                (self.frame.drawing(width, &lines))
                @if above > 0 { span.most.above aria-hidden="true" { (reader.number(above)) } }
                @if below > 0 { span.most.below aria-hidden="true" { (reader.number(below)) } }
            }
            div class=(format!("axis of-{}", ticks.len())) aria-hidden="true" {
                @for column in ticks { span { (column.tick) } }
            }
            (figures(&self.figures, &[time, above_head, below_head], &rows.collect::<Vec<_>>()))
        }
    }

    fn column(&self, left: f64, column: &Column, zero: f64, unit: f64) -> Markup {
        let [_, above, below] = &self.heads;
        let high = |count: i64| if count == 0 { 0.0 } else { (count as f64 * unit).max(LEAST) };
        let (up, down) = (high(column.above), high(column.below));
        let (x, wide) = (short(left + GAP), short(COLUMN - 2.0 * GAP));
        html! {
            g {
                title { (column.name) ": " (above) " " (column.above) ", " (below) " " (column.below) }
                rect.ground x=(short(left)) y="0" width=(short(COLUMN)) height=(short(HEIGHT)) {}
                @if column.above > 0 { rect.above x=(x) y=(short((zero - up).max(0.0))) width=(wide) height=(short(up)) {} }
                @if column.below > 0 {
                    rect.below x=(x) y=(short(zero.min(HEIGHT - down))) width=(wide) height=(short(down)) {}
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

    fn bars(counts: &[(i64, i64)]) -> Bars {
        let column = |(at, (above, below)): (usize, &(i64, i64))| Column {
            name: format!("<day {at}>"),
            tick: at.to_string(),
            above: *above,
            below: *below,
        };
        Bars {
            frame: Frame { id: "mail", title: "Mail".to_owned(), description: "Two kinds".to_owned() },
            heads: ["When", "In", "Out"].map(str::to_owned),
            columns: counts.iter().enumerate().map(column).collect(),
            tick_every: 2,
            figures: "Figures".to_owned(),
        }
    }

    #[test]
    fn the_highest_bars_fill_the_drawing_and_the_table_says_the_same() {
        let reader = Reader { texts: Texts::default(), zone: TimeZone::UTC };
        let bars = bars(&[(3, 0), (1, 1), (0, 0), (1000, 0)]);
        assert_eq!(bars.sums(), (1004, 1));
        let page = bars.drawn(&reader).into_string();
        assert!(
            page.contains("aria-labelledby=\"mail-title\"")
                && page.contains("<desc id=\"mail-description\">")
        );
        assert_eq!(page.matches("<rect class=\"above\"").count(), 3);
        assert!(page.contains("x=\"31.5\" y=\"0\" width=\"7\" height=\"99.9\""), "{page}");
        // One of a thousand is seen, and inside the drawing.
        assert!(page.contains("class=\"below\" x=\"11.5\" y=\"98\" width=\"7\" height=\"2\""), "{page}");
        assert!(page.contains("&lt;day 0&gt;") && !page.contains("<day"));
        assert!(page.contains("axis of-2") && page.contains("<td>1,000</td>"), "{page}");
    }

    #[test]
    fn nothing_at_all_is_a_line() {
        let reader = Reader { texts: Texts::default(), zone: TimeZone::UTC };
        let page = bars(&[(0, 0), (0, 0)]).drawn(&reader).into_string();
        assert!(
            !page.contains("class=\"above\"") && !page.contains("most") && page.contains("class=\"zero\"")
        );
        assert!(!page.contains("NaN") && !page.contains("inf"));
    }
}
