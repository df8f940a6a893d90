//! Pictures that say faster what a table says: drawn by the server as SVG, stretched to whatever width there is, with the
//! words beside them in HTML (letters are not stretched), a title and a description for who does not see them, and the table
//! behind them.

pub(crate) mod area;
pub(crate) mod bars;
pub(crate) mod shares;

use maud::{Markup, html};

/// Height of every drawing, in its own units.
const HEIGHT: f64 = 100.0;

/// What all pictures have.
pub(crate) struct Frame {
    /// Of its parts in the page.
    pub(crate) id: &'static str,
    pub(crate) title: String,
    /// What is to be seen, for who does not see it.
    pub(crate) description: String,
}

impl Frame {
    /// A drawing so many units wide.
    fn drawing(&self, width: f64, lines: &Markup) -> Markup {
        let (title, description) = (format!("{}-title", self.id), format!("{}-description", self.id));
        html! {
            svg viewBox={ "0 0 " (short(width)) " " (short(HEIGHT)) } preserveAspectRatio="none" role="img"
                aria-labelledby=(title) aria-describedby=(description) {
                title id=(title) { (self.title) }
                desc id=(description) { (self.description) }
                (lines)
            }
        }
    }
}

/// The figures behind a picture. `columns`: their heads; each row has its name first.
fn figures(summary: &str, columns: &[&str], rows: &[Vec<String>]) -> Markup {
    html! {
        details.figures {
            summary { (summary) }
            table {
                thead { tr { @for column in columns { th scope="col" { (column) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (at, cell) in row.iter().enumerate() {
                                @if at == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A place in a drawing: a tenth of a unit is nothing that anybody sees.
fn short(place: f64) -> String {
    let text = format!("{place:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}
