//! A new password, typed twice: the fields of any form that sets one, and what was typed there.

use maud::{Markup, html};
use postern_proto::account::v1::{NewPassword, new_password::Secret};

use crate::{
    form::{Field, Problems},
    visit::Visit,
};

const PASSWORD: &str = "password";
const AGAIN: &str = "password-again";

/// The two fields.
pub(crate) fn fields(visit: &Visit, problems: &Problems) -> Markup {
    html! {
        (Field::new(PASSWORD, visit.say("pop-field-password")).hint(visit.say("pop-field-password-hint"))
            .problem(problems).required().autocomplete("new-password").password())
        (Field::new(AGAIN, visit.say("pop-field-password-again")).problem(problems).required()
            .autocomplete("new-password").password())
    }
}

/// What the form of this visit asks for; that it was typed in two ways is a problem.
pub(crate) fn typed(visit: &Visit, problems: &mut Problems) -> NewPassword {
    let password = visit.form.get(PASSWORD);
    if password != visit.form.get(AGAIN) {
        problems.at(AGAIN, visit.say("pop-password-differs"));
    }
    NewPassword { secret: Some(Secret::Plain(password.to_owned())) }
}
