//! What a form was to do, as its button or its heading says it.

use crate::{form::Form, router::FRONT};

/// Where forms go: the menu, and how the address ends (empty: anyhow). The first that fits holds.
const DEEDS: [(&str, &str, &str); 52] = [
    ("", "password", "password-title"),
    ("pop-accounts", "new", "pop-create"),
    ("pop-accounts", "app-passwords", "app-create"),
    ("pop-accounts", "app-passwords/remove", "app-remove"),
    ("pop-accounts", "restore", "pop-restore"),
    ("pop-accounts", "settings", "pop-settings"),
    ("pop-accounts", "password", "pop-set-password"),
    ("pop-accounts", "remove", "pop-remove-this"),
    ("pop-accounts", "second-factor", "factor-reset"),
    ("pop-accounts", "release", "pop-release"),
    ("pop-accounts", "revoke", "pop-revoke"),
    ("pop-accounts", "clear", "pop-clear"),
    ("pop-accounts", "bring-back", "pop-bring-back"),
    ("pop-accounts", "import", "import-title"),
    ("forwards", "new", "forward-create"),
    ("forwards", "remove", "forward-remove-this"),
    ("forwards", "restore", "layout-undo"),
    ("forwards", "", "form-save"),
    ("mailing-lists", "new", "list-create"),
    ("mailing-lists", "members", "list-add-members"),
    ("mailing-lists", "members/remove", "list-remove-ticked"),
    ("mailing-lists", "members/resume", "list-posts-resume"),
    ("mailing-lists", "settings", "list-settings"),
    ("mailing-lists", "remove", "list-remove-this"),
    ("mailing-lists", "restore", "layout-undo"),
    ("autoresponders", "new", "answer-create"),
    ("autoresponders", "remove", "answer-remove-this"),
    ("autoresponders", "restore", "layout-undo"),
    ("autoresponders", "", "form-save"),
    ("default-address", "", "default-title"),
    ("domain", "verify", "domain-verify"),
    ("domain", "rules", "domain-rules"),
    ("domain", "incoming", "domain-incoming"),
    ("domain", "new", "domain-add"),
    ("domain", "remove", "domain-remove-this"),
    ("trouble", "mend/release", "pop-release"),
    ("trouble", "mend/password", "pop-set-password"),
    ("trouble", "mend/resume", "trouble-mend-resume"),
    ("trouble", "", "trouble-ask"),
    ("activity", "undo", "layout-undo"),
    ("sessions", "end", "security-end"),
    ("sessions", "end-all", "security-end-all"),
    ("second-factor", "confirm", "factor-confirm"),
    ("second-factor", "remove", "factor-remove"),
    ("second-factor", "", "factor-begin"),
    ("customers", "new", "operator-customer-create"),
    ("customers", "password", "pop-set-password"),
    ("customers", "limits", "operator-limits"),
    ("customers", "domain", "domain-add"),
    ("customers", "second-factor", "factor-reset"),
    ("locks", "", "pop-release"),
    ("grants", "", "pop-revoke"),
];
/// The same where a field of the form decides, by name and value.
const BY_FIELD: [(&str, &str, &str, &str); 6] = [
    ("customers", "state", "suspended", "operator-suspend"),
    ("customers", "state", "active", "operator-resume"),
    ("queue", "deed", "retry", "operator-queue-retry"),
    ("queue", "deed", "hold", "operator-queue-hold"),
    ("queue", "deed", "ask-remove", "operator-queue-remove"),
    ("queue", "deed", "remove", "operator-queue-remove"),
];

/// Key of what a form that goes to this address does; of one that has no name here, that of any deed.
pub(super) fn key(to: &str, form: &Form) -> &'static str {
    let path = to.split('?').next().unwrap_or_default();
    let below = path.strip_prefix(FRONT).unwrap_or_default();
    // Before the menu stands a domain, or which view it is.
    let menu = below.split('/').nth(2).unwrap_or_default();
    let ends = |end: &str| end.is_empty() || path.strip_suffix(end).is_some_and(|rest| rest.ends_with('/'));
    let by_field = BY_FIELD.iter().find(|(at, field, value, _)| *at == menu && form.get(field) == *value);
    let by_address = || DEEDS.iter().find(|(at, end, _)| *at == menu && ends(end));
    match (by_field, by_address()) {
        (Some((.., key)), _) | (None, Some((.., key))) => key,
        (None, None) => "carry-deed-other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::{Language, Texts};

    #[test]
    fn a_deed_is_called_as_its_button_calls_it() {
        let form = |fields: &[(&str, &str)]| {
            Form::of(fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect())
        };
        for (to, fields, expected) in [
            ("/controlpanel/a.test/pop-accounts/box/x@a.test/release", form(&[]), "pop-release"),
            ("/controlpanel/a.test/pop-accounts/box/x@a.test/app-passwords/remove", form(&[]), "app-remove"),
            ("/controlpanel/a.test/forwards/of/x@a.test", form(&[]), "form-save"),
            ("/controlpanel/a.test/domain/verify?x", form(&[]), "domain-verify"),
            (
                "/controlpanel/operator/customers/of/shop/state",
                form(&[("state", "active")]),
                "operator-resume",
            ),
            ("/controlpanel/operator/queue", form(&[("deed", "hold")]), "operator-queue-hold"),
            ("/controlpanel/security/sessions/end-all", form(&[]), "security-end-all"),
            ("/controlpanel/password", form(&[]), "password-title"),
            ("", form(&[]), "carry-deed-other"),
        ] {
            assert_eq!(key(to, &fields), expected, "{to}");
        }
        for texts in Language::ALL.map(Texts) {
            let keys = DEEDS.iter().map(|(.., key)| key).chain(BY_FIELD.iter().map(|(.., key)| key));
            for key in keys {
                assert_ne!(&texts.say(key), key, "it has no text");
            }
        }
    }
}
