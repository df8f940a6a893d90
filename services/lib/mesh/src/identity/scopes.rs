//! What a token is bound to.

use thiserror::Error;

use crate::access::Area;

/// What a token is bound to: `<area>:read` and `<area>:write`, or `*` for all areas. `write` holds `read`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scopes(Option<Vec<String>>);

/// A word that is no scope.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is no scope: <area>:read or <area>:write, or *:read or *:write")]
pub struct ScopeError(String);

impl Scopes {
    /// Everything that the role may.
    #[must_use]
    pub fn unbound() -> Self {
        Self(None)
    }

    /// These scopes only; each once, in order.
    ///
    /// # Errors
    /// The first word that is no scope.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Self, ScopeError> {
        let mut scopes = Vec::with_capacity(words.len());
        for word in words {
            let word = word.as_ref();
            let known = word.split_once(':').is_some_and(|(area, right)| {
                matches!(right, "read" | "write")
                    && (area == "*" || Area::SCOPED.iter().any(|known| known.name() == area))
            });
            if !known {
                return Err(ScopeError(word.chars().filter(|c| !c.is_control()).take(64).collect()));
            }
            scopes.push(word.to_owned());
        }
        scopes.sort();
        scopes.dedup();
        Ok(Self(Some(scopes)))
    }

    /// True when a call of this area is within them.
    #[must_use]
    pub fn hold(&self, area: Area, changes: bool) -> bool {
        let Some(scopes) = &self.0 else { return true };
        area != Area::Mesh
            && scopes
                .iter()
                .filter_map(|scope| scope.split_once(':'))
                .any(|(of, right)| (of == "*" || of == area.name()) && (right == "write" || !changes))
    }

    /// True when whatever the others hold is within these.
    #[must_use]
    pub fn hold_all(&self, others: &Self) -> bool {
        Area::SCOPED.iter().all(|area| {
            [false, true].iter().all(|changes| !others.hold(*area, *changes) || self.hold(*area, *changes))
        })
    }

    pub(super) fn to_line(&self) -> String {
        self.0.as_ref().map_or_else(|| "unbound".to_owned(), |scopes| scopes.join(","))
    }

    pub(super) fn from_line(line: &str) -> Option<Self> {
        match line {
            "unbound" => Some(Self::unbound()),
            "" => Some(Self(Some(Vec::new()))),
            words => Self::parse(&words.split(',').collect::<Vec<_>>()).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_hold_what_they_say() {
        let scopes = Scopes::parse(&["mailboxes:write", "audit:read"]).expect("scopes");
        for (area, changes, held) in [
            (Area::Mailboxes, true, true),
            (Area::Mailboxes, false, true),
            (Area::Audit, false, true),
            (Area::Audit, true, false),
            (Area::Domains, false, false),
            (Area::Mesh, false, false),
        ] {
            assert_eq!(scopes.hold(area, changes), held, "{area:?} {changes}");
        }
        let all_read = Scopes::parse(&["*:read"]).expect("scopes");
        assert!(all_read.hold(Area::Queue, false) && !all_read.hold(Area::Queue, true));
        assert!(!all_read.hold_all(&scopes) && Scopes::unbound().hold_all(&scopes));
        assert!(scopes.hold_all(&Scopes::parse(&["mailboxes:read"]).expect("scopes")));
        assert!(!scopes.hold_all(&Scopes::unbound()));
        for bad in
            ["", "mailboxes", "mailboxes:", "mailboxes:all", "mesh:read", ":read", "Mailboxes:read", "*"]
        {
            assert!(Scopes::parse(&[bad]).is_err(), "{bad}");
        }
    }
}
