//! The limits of a customer beside what it uses.

use maud::{Markup, html};
use postern_proto::account::v1::{CustomerLimits, Limits, LimitsUsage};

use super::{Staff, customers::DESK, head, path};
use crate::{
    form::{Field, Form, Problems},
    layout,
};

/// Octets of the unit in which room is typed.
const MEGABYTE: i64 = 1_000_000;
/// What stands for "no limit" in a field, as in the message.
const NONE: i64 = -1;

/// A limit: its field in the form, the key of its name, octets or pieces, and where it stands.
struct Kind {
    field: &'static str,
    title: &'static str,
    octets: bool,
    of: fn(&mut Limits) -> &mut Option<i64>,
    used: fn(&LimitsUsage) -> Option<i64>,
}

const fn kind(
    field: &'static str,
    title: &'static str,
    octets: bool,
    of: fn(&mut Limits) -> &mut Option<i64>,
    used: fn(&LimitsUsage) -> Option<i64>,
) -> Kind {
    Kind { field, title, octets, of, used }
}

static KINDS: [Kind; 9] = [
    kind("domains", "operator-domains", false, |l| &mut l.domains, |u| Some(u.domains)),
    kind("mailboxes", "pop-title", false, |l| &mut l.mailboxes, |u| Some(u.mailboxes)),
    kind("forwards", "forward-title", false, |l| &mut l.forwards, |u| Some(u.forwards)),
    kind("lists", "list-title", false, |l| &mut l.lists, |u| Some(u.lists)),
    kind("list-members", "list-members", false, |l| &mut l.list_members, |u| Some(u.list_members)),
    kind("autoresponders", "answer-title", false, |l| &mut l.autoresponders, |u| Some(u.autoresponders)),
    kind("storage", "operator-limit-storage", true, |l| &mut l.storage_bytes, |u| Some(u.storage_bytes)),
    kind("box-storage", "operator-limit-box", true, |l| &mut l.mailbox_storage_bytes, |_| None),
    kind("messages", "operator-limit-messages", false, |l| &mut l.messages_per_hour, |_| None),
];
const COLUMNS: [&str; 3] = ["operator-limit", "operator-limit-used", "operator-limit-holds"];

pub(super) fn card(
    staff: &Staff,
    login: &str,
    limits: &CustomerLimits,
    typed: Option<&Form>,
    problems: &Problems,
) -> Markup {
    html! {
        section {
            h2 { (staff.say("operator-limits")) }
            (table(staff, limits))
            @if staff.may_change() {
                form.card method="post" action=(path(&DESK, &["of", login, "limits"])) {
                    (layout::form_token(&staff.visit))
                    input type="hidden" name="etag" value=(limits.etag);
                    p.hint { (staff.say("operator-limits-hint")) }
                    div.pair { @for kind in &KINDS { (field(staff, kind, limits, typed, problems)) } }
                    div.actions { button.primary type="submit" { (staff.say("form-save")) } }
                }
            }
        }
    }
}

fn table(staff: &Staff, limits: &CustomerLimits) -> Markup {
    let usage = limits.usage.unwrap_or_default();
    let mut effective = limits.effective.unwrap_or_default();
    let reader = &staff.visit.reader;
    let number =
        |kind: &Kind, number: i64| if kind.octets { reader.size(number) } else { reader.number(number) };
    html! {
        table.list {
            (head(staff, &COLUMNS))
            tbody {
                @for kind in &KINDS {
                    @let most = *(kind.of)(&mut effective);
                    tr {
                        th scope="row" data-label=(staff.say(COLUMNS[0])) { (staff.say(kind.title)) }
                        td data-label=(staff.say(COLUMNS[1])) {
                            ((kind.used)(&usage).map_or_else(|| "–".to_owned(), |used| number(kind, used)))
                        }
                        td data-label=(staff.say(COLUMNS[2])) {
                            (most.map_or_else(|| staff.say("operator-limit-none"), |most| number(kind, most)))
                        }
                    }
                }
            }
        }
    }
}

fn field(
    staff: &Staff,
    kind: &Kind,
    limits: &CustomerLimits,
    typed: Option<&Form>,
    problems: &Problems,
) -> Markup {
    let stored = shown(kind, &limits.limits.unwrap_or_default());
    let typed = typed.filter(|form| form.has(kind.field)).map(|form| form.get(kind.field).to_owned());
    let field =
        Field::new(kind.field, staff.say(kind.title)).value(typed.unwrap_or(stored)).problem(problems);
    if kind.octets { field.suffix("MB".to_owned()).number() } else { field.number() }
}

/// A limit as its field shows it: of room the whole megabytes, of less than one the one.
fn shown(kind: &Kind, stored: &Limits) -> String {
    let mut stored = *stored;
    match *(kind.of)(&mut stored) {
        Some(most) if kind.octets && most > 0 => (most / MEGABYTE).max(1).to_string(),
        Some(most) => most.to_string(),
        None => String::new(),
    }
}

/// All of them as the form shows them.
pub(super) fn all_shown(stored: &Limits) -> Form {
    Form::of(KINDS.iter().map(|kind| (kind.field.to_owned(), shown(kind, stored))).collect())
}

/// The limits that a form asks for: empty is the platform's default. What the form says as it was shown stays as it is stored.
pub(super) fn typed(staff: &Staff, form: &Form, stored: &Limits, problems: &mut Problems) -> Limits {
    let (mut limits, mut stored) = (Limits::default(), *stored);
    let before = all_shown(&stored);
    for kind in &KINDS {
        let text = form.trimmed(kind.field);
        if !form.touches(kind.field, &before) {
            *(kind.of)(&mut limits) = *(kind.of)(&mut stored);
            continue;
        }
        if text.is_empty() {
            continue;
        }
        match read(text, kind.octets) {
            Some(number) => *(kind.of)(&mut limits) = Some(number),
            None => problems.at(kind.field, staff.say("operator-limit-wrong")),
        }
    }
    limits
}

fn read(text: &str, octets: bool) -> Option<i64> {
    let number = text.parse::<i64>().ok().filter(|number| *number >= NONE)?;
    if octets && number > 0 { number.checked_mul(MEGABYTE) } else { Some(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_in_their_unit() {
        assert_eq!(read("5", false), Some(5));
        assert_eq!(read("5", true), Some(5_000_000));
        assert_eq!(read("-1", true), Some(NONE));
        assert_eq!(read("0", true), Some(0));
        for wrong in ["-2", "x", "1.5", "99999999999999999999"] {
            assert_eq!(read(wrong, false), None, "{wrong}");
        }
        assert_eq!(read("9223372036854775807", true), None);
    }

    #[test]
    fn a_limit_that_is_finer_than_a_megabyte_is_never_shown_as_none() {
        let storage = KINDS.iter().find(|kind| kind.field == "storage").expect("a kind");
        for (bytes, text) in [
            (Some(500_000), "1"),
            (Some(1_073_741_824), "1073"),
            (Some(0), "0"),
            (Some(-1), "-1"),
            (None, ""),
        ] {
            let stored = Limits { storage_bytes: bytes, ..Limits::default() };
            assert_eq!(shown(storage, &stored), text);
        }
    }

    #[test]
    fn every_limit_of_the_message_has_a_field_of_its_own() {
        let mut all = Limits::default();
        for (at, kind) in KINDS.iter().enumerate() {
            assert_eq!(*(kind.of)(&mut all), None, "{}", kind.field);
            *(kind.of)(&mut all) = Some(at as i64);
        }
        let shown = format!("{all:?}");
        assert!(!shown.contains("None"), "{shown}");
    }
}
