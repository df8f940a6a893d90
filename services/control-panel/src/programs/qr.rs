//! A QR code as a drawing in the page.

use maud::{Markup, html};
use qrcode::{Color, QrCode};

/// Modules of white around a code, without which cameras do not find it (ISO/IEC 18004).
const QUIET: usize = 4;

/// The code of a text; nothing when it is too long for one.
pub(crate) fn code(text: &str, label: &str) -> Markup {
    let Ok(code) = QrCode::new(text.as_bytes()) else { return html! {} };
    let width = code.width();
    let dark = code.to_colors().into_iter().enumerate().filter(|(_, color)| *color == Color::Dark);
    let squares: String =
        dark.map(|(at, _)| format!("M{},{}h1v1h-1z", at % width + QUIET, at / width + QUIET)).collect();
    let whole = width + 2 * QUIET;
    html! {
        svg.qr role="img" aria-label=(label) viewBox=(format!("0 0 {whole} {whole}")) shape-rendering="crispEdges" {
            rect.light width=(whole) height=(whole) {}
            path.dark d=(squares) {}
        }
    }
}
