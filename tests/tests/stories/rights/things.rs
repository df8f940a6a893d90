//! Names of things in trials, and what they stand for.

use serde_json::Value;

/// What the names in a trial stand for, the longest values first.
#[derive(Clone)]
pub(super) struct Things(pub(super) Vec<(&'static str, String)>);

impl Things {
    pub(super) fn new(mut pairs: Vec<(&'static str, String)>) -> Self {
        pairs.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        Self(pairs)
    }

    /// A request with values for names; those of the caller's own things too.
    pub(super) fn fill(&self, request: &Value, own: &Self) -> anyhow::Result<Value> {
        let mut text = request.to_string();
        let mut pairs: Vec<_> = own.0.iter().chain(&self.0).collect();
        pairs.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        for (name, value) in pairs {
            text = text.replace(&format!("${name}"), value);
        }
        anyhow::ensure!(!text.contains('$'), "a name without a value: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// An answer with names for values.
    pub(super) fn mask(&self, answer: &str) -> String {
        self.0.iter().fold(answer.to_owned(), |text, (name, value)| text.replace(value, &format!("${name}")))
    }

    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(of, _)| *of == name).map_or("", |(_, value)| value)
    }
}

/// What no customer has, under names as those of the rival.
pub(super) fn absent() -> Things {
    let text = |(name, value): (&'static str, &str)| (name, value.to_owned());
    Things::new(
        [
            ("customer", "absent"),
            ("domain", "absent.test"),
            ("idle", "idle-absent.test"),
            ("address", "victim@absent.test"),
            ("spare", "spare@absent.test"),
            ("removed", "removed@absent.test"),
            ("list", "staff@absent.test"),
            ("box_id", "91000101"),
            ("spare_id", "91000102"),
            ("removed_id", "91000103"),
            ("list_id", "95000101"),
            ("token_id", "93000101"),
            ("app_password_id", "94000101"),
            ("audit_id", "92000101"),
            ("clearing_id", "98000101"),
            ("entry_id", "96000101"),
            ("message_id", "99000000000070008000000000000101"),
        ]
        .map(text)
        .into(),
    )
}
