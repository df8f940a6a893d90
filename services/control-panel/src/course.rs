//! Long work: how far it is while it runs, what became of it, and where to go from there. The page is made of what the service
//! wrote down, so it says the same after a reload and in any browser; while the work runs it looks anew by itself, without
//! a script.

use axum::response::Response;
use http::{HeaderName, HeaderValue};
use maud::{Markup, html};
use postern_proto::google::Timestamp;

use crate::{menus::Menu, moment::Reader, place::Place};

/// Seconds until the page of running work looks anew.
const LOOK_AGAIN: &str = "2";

/// How it stands with the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    Done,
    /// Done, and something was left out that the page names.
    InPart,
    /// It ended before its end.
    Stopped,
}

impl State {
    /// In a word.
    pub(crate) fn badge(self, reader: &Reader) -> Markup {
        let (class, key) = match self {
            Self::Running => ("badge", "course-running"),
            Self::Done | Self::InPart => ("badge good", "course-done"),
            Self::Stopped => ("badge bad", "course-stopped"),
        };
        html! { span class=(class) { (reader.texts.say(key)) } }
    }
}

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Progress {
    /// Octets of octets; of 0: nobody knows of how many.
    Octets(i64, i64),
    /// Pieces of pieces.
    Pieces(i64, i64),
}

/// A piece of long work.
pub(crate) struct Course<'c> {
    pub(crate) state: State,
    pub(crate) progress: Progress,
    /// What it came to, once it has ended.
    pub(crate) verdict: String,
    pub(crate) begun: Option<&'c Timestamp>,
    pub(crate) ended: Option<&'c Timestamp>,
    /// Names and figures.
    pub(crate) facts: Vec<(String, String)>,
    /// What was left out, piece by piece; empty: nothing.
    pub(crate) left_out: Markup,
    /// Where to go from here, as buttons.
    pub(crate) actions: Markup,
}

impl Course<'_> {
    /// A page of its own.
    pub(crate) fn page(
        &self,
        place: &Place,
        menu: &Menu,
        crumbs: Vec<(String, String)>,
        title: String,
    ) -> Response {
        let mut response = place.page_below(menu, crumbs, title, self.shown(&place.visit.reader));
        if self.state == State::Running {
            let anew = HeaderValue::from_static(LOOK_AGAIN);
            response.headers_mut().insert(HeaderName::from_static("refresh"), anew);
        }
        response
    }

    /// As a part of a page.
    pub(crate) fn shown(&self, reader: &Reader) -> Markup {
        let say = |key| reader.texts.say(key);
        html! {
            (self.notice(reader))
            section.card {
                @if self.state == State::Running { (self.bar(reader)) }
                dl.facts {
                    dt { (say("course-state")) } dd { (self.state.badge(reader)) }
                    dt { (say("course-begun")) } dd { (reader.moment_or(self.begun, "–")) }
                    @if let Some(ended) = self.ended { dt { (say("course-ended")) } dd { (reader.moment(ended)) } }
                    @for (name, figure) in &self.facts { dt { (name) } dd { (figure) } }
                }
                div.actions { (self.actions) }
            }
            (self.left_out)
        }
    }

    /// What it comes to.
    pub(crate) fn notice(&self, reader: &Reader) -> Markup {
        let class = match self.state {
            State::Running => "notice",
            State::Done => "notice good",
            State::InPart => "notice warn",
            State::Stopped => "notice bad",
        };
        html! {
            div class=(class) role="status" {
                p { @if self.state == State::Running { (reader.texts.say("course-running-text")) } @else { (self.verdict) } }
            }
        }
    }

    fn bar(&self, reader: &Reader) -> Markup {
        let (done, of, words) = match self.progress {
            Progress::Octets(done, of) => (done, of, [reader.size(done), reader.size(of)]),
            Progress::Pieces(done, of) => (done, of, [reader.number(done), reader.number(of)]),
        };
        let [used, all] = words;
        html! {
            p.course {
                label for="progress" { (reader.texts.say("course-progress")) }
                @if of > 0 {
                    progress #progress max=(of) value=(done.min(of)) {}
                    span { (reader.texts.fill("layout-used-of", &[("used", used.into()), ("all", all.into())])) }
                } @else {
                    progress #progress {}
                    span { (used) }
                }
            }
        }
    }
}
