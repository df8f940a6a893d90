//! The frame around every page: header with the choice of domain, the menus, the way back up, what was just done, the guide,
//! and the foot. Everything that is put in is escaped by maud; the only script is a file that no page needs.

pub(crate) mod finding;
mod icon;
pub(crate) mod said;
pub(crate) mod ticks;

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use maud::{DOCTYPE, Markup, html};

pub(crate) use self::icon::icon;
use crate::{
    call::Failure,
    form::TOKEN_FIELD,
    menus::{self, Menu},
    operator::{self, Desk, OPERATOR},
    place::{Place, path_at, segment},
    router::{DOMAINS, FRONT, PREFERENCES, SCRIPT_PATH, SECURITY, SIGN_OUT, STYLE_PATH},
    texts::Language,
    visit::Visit,
    wording,
};

/// Domains that the chooser shows at once; of more it shows the way to the whole list.
pub(crate) const CHOOSER_MAX: usize = 30;

/// What a page says.
pub(crate) struct Page {
    pub(crate) title: String,
    /// Names and addresses of what stands above it, from the top.
    pub(crate) crumbs: Vec<(String, String)>,
    pub(crate) body: Markup,
    /// What the menu is for, with this domain's own values.
    pub(crate) guide: Option<Markup>,
    pub(crate) status: StatusCode,
}

/// Where a page stands.
pub(crate) enum Frame<'f> {
    /// Anywhere: nobody need be signed in.
    Visit(&'f Visit),
    /// In a menu of a domain.
    Place(&'f Place, &'f Menu),
    /// In the operator view.
    Desk(&'f Visit, &'f Desk),
}

impl Frame<'_> {
    fn visit(&self) -> &Visit {
        match self {
            Self::Visit(visit) | Self::Desk(visit, _) => visit,
            Self::Place(place, _) => &place.visit,
        }
    }

    /// The menus beside it.
    fn menus(&self) -> Option<Markup> {
        match self {
            Self::Visit(_) => None,
            Self::Place(place, menu) => Some(menu_list(place, menu)),
            Self::Desk(visit, desk) => Some(desk_list(visit, desk)),
        }
    }
}

/// A whole page.
pub(crate) fn page(frame: &Frame<'_>, page: Page) -> Response {
    let visit = frame.visit();
    let texts = visit.texts();
    let menus = frame.menus();
    let markup = html! {
        (DOCTYPE)
        html lang=(texts.0.tag()) data-zone=[visit.asks_zone.then_some("unknown")] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (page.title) " · Postern" }
                link rel="stylesheet" href=(STYLE_PATH);
                script src=(SCRIPT_PATH) defer {}
                link rel="icon" href="/controlpanel/icon.svg" type="image/svg+xml";
            }
            body {
                a.skip href="#main" { (texts.say("layout-skip")) }
                (top(frame, menus.as_ref()))
                div.frame.with-side[menus.is_some()].with-guide[page.guide.is_some()] {
                    @if let Some(menus) = &menus {
                        nav.side aria-label=(texts.say("layout-menu")) { (menus) }
                    }
                    main #main {
                        (crumbs(visit, &page))
                        h1 { (page.title) }
                        @if let Some(said) = &visit.said { (said.shown(visit)) }
                        (page.body)
                    }
                    @if let Some(guide) = &page.guide {
                        aside.guide aria-labelledby="guide-title" {
                            h2 #guide-title { (icon("guide")) (texts.say("layout-guide")) }
                            (guide)
                        }
                    }
                }
                (foot(visit))
            }
        }
    };
    // One address, many hosts, languages and persons: whoever stores the answer must know.
    (page.status, [(header::VARY, "Host, Accept-Language, Cookie")], markup).into_response()
}

fn top(frame: &Frame<'_>, menus: Option<&Markup>) -> Markup {
    let visit = frame.visit();
    html! {
        header.top {
            a.brand href=(FRONT) { (icon("postern")) span { "Postern" } }
            @match frame {
                Frame::Place(place, menu) => (chooser(place, menu)),
                Frame::Desk(..) => span.domain { (visit.say("operator-title")) },
                Frame::Visit(_) => {},
            }
            @if let Some(menus) = menus {
                details.phone-menu {
                    summary { (icon("menu")) (visit.say("layout-menu")) }
                    nav aria-label=(visit.say("layout-menu")) { (menus) }
                }
            }
            @if let Some(person) = &visit.person {
                details.person {
                    summary { (icon("person")) span.who { (person.caller.subject) } }
                    div.panel {
                        p { (visit.say("layout-signed-in-as")) br; strong { (person.caller.subject) } }
                        ul { li { a href=(SECURITY) { (visit.say("security-title")) } } }
                        form method="post" action=(SIGN_OUT) {
                            (form_token(visit))
                            button type="submit" { (visit.say("layout-sign-out")) }
                        }
                    }
                }
            }
        }
    }
}

fn chooser(place: &Place, menu: &Menu) -> Markup {
    let others = place.domains.iter().filter(|domain| domain.name != place.domain.name);
    html! {
        @if place.domains.len() < 2 {
            span.domain { (place.name()) }
        } @else {
            details.domain.chooser {
                summary { span.name { (place.name()) } }
                div.panel {
                    p { (place.say("layout-choose-domain")) }
                    ul {
                        @for domain in others.take(CHOOSER_MAX) {
                            li { a href=(path_at(&domain.name, menu, &[])) { (domain.name) } }
                        }
                    }
                    @if place.domains.len() > CHOOSER_MAX {
                        a href=(DOMAINS) { (place.say("layout-all-domains")) }
                    }
                }
            }
        }
    }
}

fn desk_list(visit: &Visit, active: &Desk) -> Markup {
    html! {
        ul {
            @for desk in operator::ALL {
                li {
                    a href=(operator::path(desk, &[])) aria-current=[(desk.name == active.name).then_some("page")] {
                        (icon(desk.icon)) span { (visit.say(desk.title)) }
                    }
                }
            }
        }
    }
}

fn menu_list(place: &Place, active: &Menu) -> Markup {
    html! {
        ul {
            @if place.person.is_staff() {
                li { a href=(OPERATOR) { (icon("operator")) span { (place.say("operator-title")) } } }
            }
            @for menu in menus::ALL.iter().filter(|menu| menu.is_for(&place.person) && menu.is_at(&place.domain)) {
                li {
                    a href=(place.path(menu, &[])) aria-current=[(menu.name == active.name).then_some("page")] {
                        (icon(menu.icon)) span { (place.say(menu.title)) }
                    }
                }
            }
        }
    }
}

fn crumbs(visit: &Visit, page: &Page) -> Markup {
    html! {
        @if !page.crumbs.is_empty() {
            nav.crumbs aria-label=(visit.say("layout-crumbs")) {
                ol {
                    @for (name, address) in &page.crumbs {
                        li { a href=(address) { (name) } }
                    }
                    li aria-current="page" { (page.title) }
                }
            }
        }
    }
}

fn foot(visit: &Visit) -> Markup {
    html! {
        footer.foot {
            form.languages method="post" action=(PREFERENCES) {
                input type="hidden" name="back" value=(visit.here());
                @for language in Language::ALL {
                    button type="submit" name="language" value=(language.tag()) lang=(language.tag())
                        aria-pressed=(if language == visit.texts().0 { "true" } else { "false" }) {
                        (language.own_name())
                    }
                }
            }
            p {
                (visit.texts().fill("layout-zone", &[("zone", zone_name(visit).into())])) " "
                // Nowhere to lead from the page itself.
                @if !visit.here().starts_with(PREFERENCES) {
                    a href={ (PREFERENCES) "?back=" (segment(&visit.here())) } { (visit.say("layout-zone-change")) }
                }
            }
            p.about { (visit.say("layout-about")) }
        }
    }
}

/// Name of the reader's time zone.
pub(crate) fn zone_name(visit: &Visit) -> String {
    visit.reader.zone.iana_name().unwrap_or("UTC").to_owned()
}

/// What each form that changes something carries.
pub(crate) fn form_token(visit: &Visit) -> Markup {
    html! {
        @if let Some(person) = &visit.person {
            input type="hidden" name=(TOKEN_FIELD) value=(person.token.form_token());
        }
    }
}

/// A form with one button, for what needs nothing else: `fields` go with it.
pub(crate) fn button(
    visit: &Visit,
    action: &str,
    text: &str,
    class: &str,
    fields: &[(&str, &str)],
) -> Markup {
    html! {
        form.inline method="post" action=(action) {
            (form_token(visit))
            @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
            button class=(class) type="submit" { (text) }
        }
    }
}

/// What stands where a list has nothing to show: what the thing is for, and how to begin.
pub(crate) fn empty(title: &str, text: &str, action: Option<(&str, &str)>) -> Markup {
    html! {
        div.empty {
            h2 { (title) }
            p { (text) }
            @if let Some((address, label)) = action {
                a.button.primary href=(address) { (label) }
            }
        }
    }
}

/// An address with what the query of this page has of these names.
pub(crate) fn with_query(visit: &Visit, address: &str, names: &[&str]) -> String {
    let given = names.iter().filter(|name| !visit.query.get(name).is_empty());
    let pairs: Vec<_> = given.map(|name| format!("{name}={}", segment(visit.query.get(name)))).collect();
    if pairs.is_empty() { address.to_owned() } else { format!("{address}?{}", pairs.join("&")) }
}

/// The way to the next page, which keeps the filters of these names.
pub(crate) fn next_page(visit: &Visit, address: &str, filters: &[&str], next: &str) -> Markup {
    let here = with_query(visit, address, filters);
    let and = if here.contains('?') { '&' } else { '?' };
    html! {
        @if !next.is_empty() {
            nav.paging aria-label=(visit.say("layout-paging")) {
                a.button href={ (here) (and) "page=" (segment(next)) } { (visit.say("layout-next-page")) }
            }
        }
    }
}

/// A text that may be broken at one place. What is copied of it is the text alone: the style draws the place, where `wbr` would
/// come along.
pub(crate) fn broken(before: &str, after: &str) -> Markup {
    html! { (before) span.broken { (after) } }
}

/// An address that is broken before its `@` where it must be broken.
pub(crate) fn address(text: &str) -> Markup {
    html! {
        @match text.rsplit_once('@') {
            Some((local, domain)) => span.address { (broken(local, &format!("@{domain}"))) },
            None => span.address { (text) },
        }
    }
}

/// What is typed elsewhere, to be copied: one click selects all of it, and where scripts run there is a button.
pub(crate) fn copyable(visit: &Visit, text: &str) -> Markup {
    html! {
        span.copyable {
            code {
                @match text.rsplit_once('@') {
                    Some((local, domain)) => (broken(local, &format!("@{domain}"))),
                    None => (text),
                }
            }
            button.copy type="button" hidden title=(visit.say("layout-copy")) aria-label=(visit.name("layout-copy-this", text))
                data-done=(visit.name("layout-copied", text)) { (icon("copy")) (icon("done")) }
        }
    }
}

/// How full something is, as a bar with its words.
pub(crate) fn meter(visit: &Visit, used: i64, of: Option<i64>) -> Markup {
    let reader = &visit.reader;
    html! {
        @match of {
            Some(most) if most > 0 => {
                @let percent = (used.max(0) as f64 / most as f64 * 100.0).clamp(0.0, 100.0);
                @let class = if percent >= 95.0 { "meter bad" } else if percent >= 80.0 { "meter warn" } else { "meter" };
                span class=(class) {
                    svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
                        rect.all width="100" height="8" rx="2" {}
                        rect.part width=(format!("{percent:.1}")) height="8" rx="2" {}
                    }
                    span {
                        (visit.texts().fill("layout-used-of", &[
                            ("used", reader.size(used).into()), ("all", reader.size(most).into()),
                        ]))
                    }
                }
            }
            _ => span { (reader.size(used)) },
        }
    }
}

/// The page that tells a failure.
pub(crate) fn failure(visit: &Visit, failure: &Failure) -> Response {
    let (title, text) = match failure {
        Failure::NotFound => ("failure-not-found", visit.say("failure-not-found-text")),
        Failure::NotPermitted => ("failure-not-permitted", visit.say("failure-not-permitted-text")),
        Failure::Changed => ("failure-changed", visit.say("failure-changed-text")),
        Failure::TooBusy => ("failure-busy", visit.say("failure-busy-text")),
        Failure::Away => ("failure-away", visit.say("failure-away-text")),
        Failure::ForeignForm => ("failure-foreign-form", visit.say("failure-foreign-form-text")),
        Failure::BadForm => ("failure-bad-form", visit.say("failure-bad-form-text")),
        Failure::TooLarge => ("failure-too-large", visit.say("failure-too-large-text")),
        Failure::NeedsTls => ("failure-needs-tls", visit.say("failure-needs-tls-text")),
        Failure::SessionEnded | Failure::Elsewhere(_) => {
            ("failure-session-ended", visit.say("front-session-ended"))
        }
        Failure::Field { why, .. } | Failure::Taken(why) | Failure::Refused(why) => {
            ("failure-refused", wording::spoken(visit.texts(), why))
        }
    };
    let body = html! {
        p.lead { (text) }
        div.actions { a.button href=(FRONT) { (visit.say("failure-home")) } }
    };
    let title = visit.say(title);
    page(
        &Frame::Visit(visit),
        Page { title, crumbs: Vec::new(), body, guide: None, status: failure.status() },
    )
}

/// The page of a form that was not taken.
pub(crate) fn refused(mut response: Response) -> Response {
    *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    response
}
