//! Forms: what a browser sent, and what is wrong with it; [`Field`] shows it.

mod field;
pub(crate) mod intake;

use axum::body::Bytes;
use maud::{Markup, html};
use uuid::Uuid;

pub(crate) use self::field::Field;
use crate::{call::Failure, texts::Texts, visit::Visit, wording};

/// Hidden in each form: [`crate::session::SessionToken::form_token`].
pub(crate) const TOKEN_FIELD: &str = "form-token";
/// Hidden in the forms that make something: [`request_id`].
pub(crate) const REQUEST_ID_FIELD: &str = "request-id";
/// Fields of one form at most.
const FIELDS_MAX: usize = 20_000;

/// What a browser sent, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads `application/x-www-form-urlencoded`; a line end is LF from here on.
    pub(crate) fn read(body: &Bytes) -> Result<Self, Failure> {
        let mut fields = Vec::new();
        for (name, value) in form_urlencoded::parse(body) {
            if fields.len() == FIELDS_MAX {
                return Err(Failure::BadForm);
            }
            fields.push((name.into_owned(), value.replace("\r\n", "\n")));
        }
        Ok(Self(fields))
    }

    /// Of these fields.
    pub(crate) fn of(fields: Vec<(String, String)>) -> Self {
        Self(fields)
    }

    /// The first of this name; empty when there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
    }

    /// The same without white space around it.
    pub(crate) fn trimmed(&self, name: &str) -> &str {
        self.get(name).trim()
    }

    /// All of this name: the boxes that were ticked.
    pub(crate) fn all<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// True when there is one of this name: a box that was ticked.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// Lines of a text area that are not empty, without white space around them.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let lines = self.get(name).split(['\n', ',', ';']).map(str::trim).filter(|line| !line.is_empty());
        lines.map(str::to_owned).collect()
    }

    /// Whether a field says something else than the page had shown. What says the same was not touched and stays as it is
    /// stored, which may be finer than what a page shows of it.
    pub(crate) fn touches(&self, name: &str, shown: &Self) -> bool {
        self.get(name) != shown.get(name)
    }

    /// Whether something was typed into a field that the page had not shown there: it was meant, and may not be dropped for what
    /// was chosen beside it.
    pub(crate) fn is_typed_anew(&self, name: &str, shown: &Self) -> bool {
        !self.trimmed(name).is_empty() && self.touches(name, shown)
    }

    /// The id of what this form makes: sent twice it makes one thing.
    pub(crate) fn request_id(&self) -> String {
        self.get(REQUEST_ID_FIELD).to_owned()
    }

    /// All fields in their order.
    pub(crate) fn fields(&self) -> &[(String, String)] {
        &self.0
    }
}

/// Hidden in a form that makes something: a new id, or that of the form as it was sent before.
pub(crate) fn request_id(form: &Form) -> Markup {
    let id = Some(form.request_id()).filter(|id| !id.is_empty());
    html! {
        input type="hidden" name=(REQUEST_ID_FIELD) value=(id.unwrap_or_else(|| Uuid::new_v4().to_string()));
    }
}

/// What is wrong with a form: by field, or with the whole of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Problems {
    fields: Vec<(&'static str, String)>,
    /// Above the form.
    whole: Option<String>,
    /// Somebody else was faster.
    overtaken: bool,
    /// What there is now where somebody else was faster, as the form would show it, in the reader's language.
    now: Option<(Texts, Form)>,
}

impl Problems {
    /// Nothing is wrong (yet).
    pub(crate) fn none() -> Self {
        Self::default()
    }

    pub(crate) fn is_none(&self) -> bool {
        self.fields.is_empty() && self.whole.is_none()
    }

    /// Something is wrong with this field.
    pub(crate) fn at(&mut self, field: &'static str, why: impl Into<String>) {
        self.fields.push((field, why.into()));
    }

    /// Together with what else is wrong.
    #[must_use]
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.fields.extend(other.fields);
        Self { whole: self.whole.or(other.whole), ..self }
    }

    /// Something is wrong with the whole.
    pub(crate) fn with_whole(why: impl Into<String>) -> Self {
        Self { whole: Some(why.into()), ..Self::default() }
    }

    /// Something is wrong with one field alone.
    fn with_field(field: &'static str, why: String) -> Self {
        Self { fields: vec![(field, why)], ..Self::default() }
    }

    /// Where somebody else was faster, each field that differs tells what there is now: whoever saves over it has seen it.
    #[must_use]
    pub(crate) fn beside(mut self, visit: &Visit, now: Form) -> Self {
        self.now = self.overtaken.then(|| (visit.texts(), now));
        self
    }

    /// What a failed call says of a form, whose fields the service knows by other names: `(service, form)`, first the one that
    /// names the thing. A failure that no form can mend stays one.
    ///
    /// # Errors
    /// When there is nobody, or nothing, to show the form to again.
    pub(crate) fn from_failure(
        visit: &Visit,
        failure: Failure,
        names: &[(&str, &'static str)],
    ) -> Result<Self, Failure> {
        match failure {
            Failure::Field { name, why } => {
                let why = wording::spoken(visit.texts(), &why);
                let known =
                    names.iter().find_map(|(service, field)| Some((name.strip_prefix(service)?, field)));
                match known {
                    Some((index, field)) => {
                        let why = of_line(visit, field, index, why);
                        Ok(Self::with_field(field, why))
                    }
                    None => Ok(Self::with_whole(why)),
                }
            }
            Failure::Taken(why) => {
                let why = wording::spoken(visit.texts(), &why);
                match names.first() {
                    Some((_, field)) => Ok(Self::with_field(field, why)),
                    None => Ok(Self::with_whole(why)),
                }
            }
            Failure::Refused(why) => {
                let known = names
                    .iter()
                    .find(|(service, _)| why.strip_prefix(service).is_some_and(|rest| rest.starts_with(':')));
                match known {
                    Some((service, field)) => {
                        let why = wording::spoken(visit.texts(), why[service.len() + 1..].trim_start());
                        Ok(Self::with_field(field, why))
                    }
                    None => Ok(Self::with_whole(wording::spoken(visit.texts(), &why))),
                }
            }
            Failure::Changed => Ok(Self { overtaken: true, ..Self::with_whole(visit.say("form-changed")) }),
            Failure::TooBusy => Ok(Self::with_whole(visit.say("failure-busy-text"))),
            Failure::Away => Ok(Self::with_whole(visit.say("form-away"))),
            Failure::NotPermitted => Ok(Self::with_whole(visit.say("failure-not-permitted-text"))),
            other => Err(other),
        }
    }

    /// What a list answers to a search, and what is wrong with the search: where a field is, nothing was looked for. Of what is not
    /// there, nothing is found.
    ///
    /// # Errors
    /// When it failed for another reason than a field of `names`, as for [`Self::from_failure`].
    pub(crate) fn of_search<T: Default>(
        visit: &Visit,
        answer: Result<tonic::Response<T>, tonic::Status>,
        names: &[(&str, &'static str)],
    ) -> Result<(T, Self), Failure> {
        let failure = match answer {
            Ok(page) => return Ok((page.into_inner(), Self::none())),
            Err(status) => Failure::from(status),
        };
        match &failure {
            Failure::Field { name, .. } if names.iter().any(|(service, _)| name == service) => {
                Ok((T::default(), Self::from_failure(visit, failure, names)?))
            }
            Failure::NotFound => Ok((T::default(), Self::none())),
            _ => Err(failure),
        }
    }

    fn of(&self, field: &str) -> Option<&str> {
        self.fields.iter().find(|(name, _)| *name == field).map(|(_, why)| why.as_str())
    }

    /// What this field says now, where that is to be told.
    fn now(&self, field: &str) -> Option<(Texts, &str)> {
        self.now.as_ref().map(|(texts, form)| (*texts, form.get(field)))
    }

    /// Above a form: what is wrong with the whole of it, or that something below is marked.
    pub(crate) fn summary(&self, marked_below: &str) -> Markup {
        html! {
            @if !self.is_none() {
                div.notice.bad role="alert" {
                    p { (self.whole.as_deref().unwrap_or(marked_below)) }
                }
            }
        }
    }
}

/// Of a field with a thing a line the service names the one that is wrong by its place, as in `[2]`; the person is told it as
/// it was typed.
fn of_line(visit: &Visit, field: &str, index: &str, why: String) -> String {
    let at = index.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).and_then(|at| at.parse().ok());
    let line = at.and_then(|at: usize| visit.form.lines(field).into_iter().nth(at));
    match line.filter(|line| !why.contains(line)) {
        Some(line) => visit.texts().fill("form-of-line", &[("line", line.into()), ("why", why.into())]),
        None => why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_it_was_typed() {
        let body = Bytes::from_static(b"a=x%40y&t=one%0D%0A%0D%0Atwo,three&b=1&b=2&empty=");
        let form = Form::read(&body).expect("a form");
        assert_eq!(form.get("a"), "x@y");
        assert_eq!(form.lines("t"), ["one", "two", "three"]);
        assert_eq!(form.all("b").collect::<Vec<_>>(), ["1", "2"]);
        assert!(form.has("empty") && !form.has("none"));
        let many = Bytes::from("x=&".repeat(FIELDS_MAX + 1));
        assert_eq!(Form::read(&many), Err(Failure::BadForm));
    }

    fn field<'p>(problems: &'p Problems, name: &'static str, value: &'static str) -> Field<'p> {
        Field::new(name, "Label".to_owned()).value(value).problem(problems)
    }

    #[test]
    fn whoever_was_too_late_sees_at_each_field_what_there_is_now() {
        let now = Form::of(vec![
            ("name".to_owned(), "<theirs>".to_owned()),
            ("same".to_owned(), "same".to_owned()),
            ("kind".to_owned(), "own".to_owned()),
            ("tick".to_owned(), "yes".to_owned()),
        ]);
        let problems = Problems { overtaken: true, now: Some((Texts::default(), now)), ..Problems::none() };
        let text = field(&problems, "name", "mine").text().into_string();
        assert!(text.contains("There is now: &lt;theirs&gt;"), "{text}");
        assert!(text.contains("aria-describedby=\"name-now\""), "{text}");
        assert!(!field(&problems, "same", "same").text().into_string().contains("There is now"));
        assert!(field(&problems, "empty", "mine").area(2).into_string().contains("There is now: –"));
        let kinds = [("plan", "By plan".to_owned()), ("own", "Own".to_owned())];
        assert!(field(&problems, "kind", "plan").select(&kinds).into_string().contains("There is now: Own"));
        let kinds = kinds.map(|(value, text)| (value, text, String::new()));
        assert!(field(&problems, "kind", "plan").radio(&kinds).into_string().contains("There is now: Own"));
        assert!(field(&problems, "tick", "").tick(false).into_string().contains("There is now: yes"));
        assert!(!field(&problems, "tick", "").tick(true).into_string().contains("There is now"));
        assert!(field(&problems, "other", "").tick(true).into_string().contains("There is now: no"));
    }

    #[test]
    fn what_is_wrong_stands_next_to_its_field_and_what_was_typed_stays() {
        let mut problems = Problems::none();
        problems.at("address", "no <address>");
        let field = Field::new("address", "Address".to_owned()).value("\"><b>").problem(&problems);
        let shown = field.text().into_string();
        assert!(
            shown.contains("aria-describedby=\"address-problem\"") && shown.contains("aria-invalid=\"true\"")
        );
        assert!(shown.contains("no &lt;address&gt;") && shown.contains("value=\"&quot;&gt;&lt;b&gt;\""));
        let secret = Field::new("password", "Password".to_owned()).value("secret").password().into_string();
        assert!(!secret.contains("secret"));
    }
}
