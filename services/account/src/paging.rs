//! Pages of a list: how many rows, and where the next page begins. Pure.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{error::AccountError, fields::invalid};

/// Rows of a page when nothing is asked for.
const PAGE_DEFAULT_ROWS: i32 = 100;
/// Rows of a page at most.
const PAGE_MAX_ROWS: i32 = 1000;
/// Octets of a token at most: the longest key that a list is ordered by, and room.
const TOKEN_MAX_BYTES: usize = 1024;

/// One page of a list that is ordered by a text.
#[derive(Debug)]
pub(crate) struct Page {
    /// Rows wanted.
    rows: usize,
    /// Only what comes after this; `None` from the start.
    after: Option<String>,
    /// Only what begins with this.
    prefix: String,
}

impl Page {
    pub(crate) fn new(page_size: i32, page_token: &str) -> Result<Self, AccountError> {
        Self::up_to(PAGE_MAX_ROWS, page_size, page_token)
    }

    /// The same of a list whose pages may be longer, or must be shorter.
    pub(crate) fn up_to(max_rows: i32, page_size: i32, page_token: &str) -> Result<Self, AccountError> {
        if !(0..=max_rows).contains(&page_size) {
            return invalid("page_size", format_args!("0 to {max_rows}"));
        }
        let rows = if page_size == 0 { PAGE_DEFAULT_ROWS } else { page_size };
        Ok(Self {
            rows: usize::try_from(rows).unwrap_or_default(),
            after: decoded(page_token)?,
            prefix: String::new(),
        })
    }

    /// The same page of those only whose key begins with this. Not for a list that goes by number.
    pub(crate) fn beginning_with(self, prefix: String) -> Self {
        Self { prefix, ..self }
    }

    /// Rows to read: one more than wanted tells whether there is a next page.
    pub(crate) fn limit(&self) -> i64 {
        i64::try_from(self.rows).unwrap_or(i64::MAX - 1) + 1
    }

    /// Least key of the page: `key >= from` says "after the last one" in a form that every plan can use.
    pub(crate) fn from(&self) -> String {
        // No key has a control character, so nothing lies between a key and itself with the least of them.
        let after = self.after.as_ref().map_or_else(String::new, |key| format!("{key}\u{1}"));
        after.max(self.prefix.clone())
    }

    /// What every key of the page is less than: with [`Self::from`] a range of the index that orders the list.
    pub(crate) fn until(&self) -> String {
        // The greatest character, which no key has.
        format!("{}\u{10ffff}", self.prefix)
    }

    /// The page of a list that goes down by number: only what is less than this.
    pub(crate) fn below(&self) -> Result<i64, AccountError> {
        match &self.after {
            None => Ok(i64::MAX),
            Some(key) => key.parse().or_else(|_| invalid("page_token", "is not one that this list gave")),
        }
    }

    /// Cuts what was read to the page and makes the token of the next one from the key of its last row.
    pub(crate) fn finish<T>(&self, rows: &mut Vec<T>, key: impl Fn(&T) -> &str) -> String {
        self.finish_within(usize::MAX, rows, key, |_| 0)
    }

    /// The same of rows that may be large: the page ends before it is over so many octets, but never before its first row.
    pub(crate) fn finish_within<T>(
        &self,
        max_bytes: usize,
        rows: &mut Vec<T>,
        key: impl Fn(&T) -> &str,
        size: impl Fn(&T) -> usize,
    ) -> String {
        if self.cut(max_bytes, rows, size) {
            rows.last().map(|last| encoded(key(last))).unwrap_or_default()
        } else {
            String::new()
        }
    }

    /// The same for a list that goes down by number.
    pub(crate) fn finish_below<T>(&self, rows: &mut Vec<T>, key: impl Fn(&T) -> i64) -> String {
        self.finish_below_within(usize::MAX, rows, key, |_| 0)
    }

    /// The same of rows that may be large, as [`Self::finish_within`].
    pub(crate) fn finish_below_within<T>(
        &self,
        max_bytes: usize,
        rows: &mut Vec<T>,
        key: impl Fn(&T) -> i64,
        size: impl Fn(&T) -> usize,
    ) -> String {
        if self.cut(max_bytes, rows, size) {
            rows.last().map(|last| encoded(&key(last).to_string())).unwrap_or_default()
        } else {
            String::new()
        }
    }

    /// True when more was read than the page holds.
    fn cut<T>(&self, max_bytes: usize, rows: &mut Vec<T>, size: impl Fn(&T) -> usize) -> bool {
        let mut bytes = 0_usize;
        let fitting = rows.iter().take_while(|row| {
            bytes = bytes.saturating_add(size(row));
            bytes <= max_bytes
        });
        let kept = fitting.count().max(1).min(self.rows);
        let more = rows.len() > kept;
        rows.truncate(kept);
        more
    }
}

/// The leading letter tells the form, so that a later one can differ.
fn encoded(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("a{key}"))
}

fn decoded(token: &str) -> Result<Option<String>, AccountError> {
    if token.is_empty() {
        return Ok(None);
    }
    let octets = if token.len() > TOKEN_MAX_BYTES { None } else { URL_SAFE_NO_PAD.decode(token).ok() };
    let text = octets.and_then(|octets| String::from_utf8(octets).ok());
    match text.as_deref().and_then(|text| text.strip_prefix('a')) {
        // Postgres has no NUL in a text.
        Some(key) if !key.contains('\0') => Ok(Some(key.to_owned())),
        _ => invalid("page_token", "is not one that this list gave"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_to_the_row_after_the_last() {
        let page = Page::new(2, "").expect("good");
        assert_eq!((page.limit(), page.from().as_str()), (3, ""));
        let mut rows = vec!["", "a@x.test", "b@x.test"];
        let token = page.finish(&mut rows, |row| row);
        assert_eq!(rows, ["", "a@x.test"]);
        let next = Page::new(2, &token).expect("good");
        assert_eq!(next.from(), "a@x.test\u{1}");
        assert_eq!(next.finish(&mut vec!["b@x.test"], |row| row), "");
    }

    #[test]
    fn a_page_of_large_rows_ends_early() {
        let page = Page::new(10, "").expect("good");
        let size = |row: &&str| row.len();
        let mut rows = vec!["aaaa", "bbbb", "cc"];
        let token = page.finish_within(8, &mut rows, |row| row, size);
        assert_eq!(rows, ["aaaa", "bbbb"]);
        assert_eq!(Page::new(10, &token).expect("good").from(), "bbbb\u{1}");
        let mut rows = vec!["too large", "b"];
        assert!(!page.finish_within(8, &mut rows, |row| row, size).is_empty());
        assert_eq!(rows, ["too large"]);
        assert_eq!(page.finish_within(8, &mut vec!["a", "b"], |row| row, size), "");
        assert_eq!(page.finish_within(8, &mut Vec::new(), |row| row, size), "");
    }

    #[test]
    fn a_prefix_is_a_range_of_keys() {
        let page = |token: &str| Page::new(2, token).expect("good").beginning_with("ann".to_owned());
        let (from, until) = (page("").from(), page("").until());
        for key in ["ann@x.test", "anna@x.test", "annü@x.test", "ann\u{10fffe}@x.test"] {
            assert!(*key >= *from && *key < *until, "{key}");
        }
        for key in ["", "an@x.test", "amm@x.test", "ano@x.test", "b@x.test"] {
            assert!(*key < *from || *key >= *until, "{key}");
        }
        let mut rows = vec!["ann@x.test", "anna@x.test", "annb@x.test"];
        let token = page("").finish(&mut rows, |row| row);
        assert_eq!(page(&token).from(), "anna@x.test\u{1}");
        // A token of another list leads to nothing before the prefix.
        let other = Page::new(1, "").expect("good").finish(&mut vec!["aa", "b"], |row| row);
        assert_eq!(page(&other).from(), "ann");
        let all = Page::new(2, "").expect("good");
        assert!(*"" >= *all.from() && *"zz" < *all.until());
    }

    #[test]
    fn an_empty_key_is_not_the_start() {
        let page = Page::new(1, "").expect("good");
        let token = page.finish(&mut vec!["", "a@x.test"], |row| row);
        assert_eq!(Page::new(1, &token).expect("good").from(), "\u{1}");
    }

    #[test]
    fn junk_is_refused() {
        let nul = URL_SAFE_NO_PAD.encode("a\0");
        for token in ["!", "====", "Yg", "gICA", &nul, &"A".repeat(2000)] {
            assert!(Page::new(1, token).is_err(), "{token}");
        }
        for size in [-1, 1001, i32::MIN, i32::MAX] {
            assert!(Page::new(size, "").is_err(), "{size}");
        }
        assert_eq!(Page::new(0, "").expect("good").limit(), 101);
    }
}
