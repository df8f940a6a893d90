//! The small drawings beside words: lines on a square of 24, in the colour of the text. Never alone: the word says it.

use maud::{Markup, html};

/// A drawing by name; an unknown name draws nothing.
pub(crate) fn icon(name: &str) -> Markup {
    let lines = match name {
        // A small door in a wall: what a postern is.
        "postern" => "M4 21V8a8 8 0 0 1 16 0v13M9 21v-8a3 3 0 0 1 6 0v8M2 21h20",
        "menu" => "M4 7h16M4 12h16M4 17h16",
        "person" => "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20c1-3.6 4-5 7.5-5s6.5 1.4 7.5 5",
        "guide" => "M12 17v-5M12 8.2v.1M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0z",
        "home" => "M4 11.5 12 5l8 6.5V20h-5.5v-5h-5v5H4z",
        "box" => "M3 13.5 6 6h12l3 7.5V19H3zM3 13.5h5a4 4 0 0 0 8 0h5",
        "forward" => "M5 18v-3a5 5 0 0 1 5-5h9M15 6l4 4-4 4",
        "list" => "M9 7h11M9 12h11M9 17h11M4.5 7h.1M4.5 12h.1M4.5 17h.1",
        "answer" => "M4 5h16v11h-7l-5 4v-4H4zM8 9h8M8 12h5",
        "default" => "M12 4v11M8 11l4 4 4-4M4 19h16",
        "domain" => "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM3 12h18M12 3c5 5 5 13 0 18M12 3c-5 5-5 13 0 18",
        "activity" => "M3 12h4l3-7 4 14 3-7h4",
        "mail" => "M3 6h18v12H3zM3 7l9 6 9-6",
        "trouble" => "M12 4 2.5 20h19zM12 10v4.5M12 17.3v.1",
        "program" => "M3 5h18v11H3zM8 20h8M12 16v4",
        "operator" => "M4 20v-6h4v6M10 20V9h4v11M16 20V4h4v16",
        "copy" => "M9 9h11v11H9zM5 15H4V4h11v1",
        "done" => "M5 12.5l4.5 4.5L19 7.5",
        "security" => "M12 3l7 3v5c0 5-3 8-7 10-4-2-7-5-7-10V6zM9 12l2 2 4-4",
        _ => return html! {},
    };
    html! {
        svg.icon viewBox="0 0 24 24" aria-hidden="true" focusable="false" { path d=(lines) {} }
    }
}
