//! The rule for logins of default boxes: the first eight letters of the domain (LOGINS.md). Pure.

use postern_mail::{CUSTOMER_LOGIN_MAX_CHARS as LOGIN_MAX_CHARS, DomainName};
use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

/// Names of the platform itself, cut to the length of a login.
const RESERVED: [&str; 16] = [
    "postmast", "hostmast", "webmaste", "mailerda", "abuse", "root", "admin", "administ", "operator",
    "daemon", "nobody", "noreply", "security", "support", "system", "postern",
];

/// What the domain's own letters give, before anybody else is looked at: 1 to 8 of a-z and 0-9.
pub(crate) fn base(domain: &DomainName) -> String {
    let label = domain.as_str().split('.').next().unwrap_or_default();
    let unicode = idna::domain_to_unicode(label).0;
    let letters: String =
        unicode.nfkd().filter(|c| !is_combining_mark(*c)).collect::<String>().to_lowercase();
    let login = cut(&letters);
    if !login.is_empty() {
        return login;
    }
    // A script without Latin letters. Hyphens of the A-label separate nothing that a person would type.
    let fallback = cut(label.strip_prefix("xn--").unwrap_or(label));
    if fallback.is_empty() { "box".to_owned() } else { fallback }
}

/// The logins to try for a base, in order: itself, then with 2, 3, ... at its end.
pub(crate) fn candidates(base: &str) -> impl Iterator<Item = String> {
    let numbered = (2_u32..10_000_000).map(move |number| {
        let number = number.to_string();
        let room = LOGIN_MAX_CHARS - number.len();
        let kept: String = base.chars().take(room).collect();
        kept + &number
    });
    std::iter::once(base.to_owned()).chain(numbered).filter(|login| !is_reserved(login))
}

/// True for what no customer may have.
pub(crate) fn is_reserved(login: &str) -> bool {
    RESERVED.contains(&login)
}

fn cut(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit()).take(LOGIN_MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use postern_mail::is_customer_login;
    use proptest::prelude::*;

    use super::*;

    fn domain(name: &str) -> DomainName {
        name.parse().expect(name)
    }

    fn first(name: &str) -> String {
        candidates(&base(&domain(name))).next().expect("there is always one")
    }

    #[test]
    fn the_table_of_logins_md_holds() {
        let table = include_str!("../LOGINS.md");
        let mut rows = 0;
        for line in table.lines() {
            let cells: Vec<_> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            if let ["", name, login, ..] = cells[..]
                && name.ends_with(".test")
            {
                assert_eq!(first(name), login, "{name}");
                rows += 1;
            }
        }
        assert_eq!(rows, 10);
    }

    #[test]
    fn more_names() {
        for (name, login) in [
            ("www.homepage.test", "www"),
            ("HOMEPAGE.TEST", "homepage"),
            ("1-2-3.test", "123"),
            ("a-b-c-d-e-f-g-h-i.test", "abcdefgh"),
            ("ÀÉÎ.test", "aei"),
            ("пример.test", "e1afmkfd"),
            ("root.test", "root2"),
            ("admin.test", "admin2"),
            ("administrator.test", "adminis2"),
            ("postern.test", "postern2"),
        ] {
            assert_eq!(first(name), login, "{name}");
        }
    }

    #[test]
    fn collisions_make_room_for_their_number() {
        let tries: Vec<_> = candidates("homepage").take(1000).collect();
        assert_eq!(tries[..3], ["homepage", "homepag2", "homepag3"]);
        assert_eq!(tries[8..11], ["homepag9", "homepa10", "homepa11"]);
        assert_eq!(tries[99], "homep100");
        let short: Vec<_> = candidates("ab").take(3).collect();
        assert_eq!(short, ["ab", "ab2", "ab3"]);
    }

    #[test]
    fn reserved_words_are_cut_like_logins() {
        for word in RESERVED {
            assert!(is_customer_login(word), "{word}");
        }
    }

    proptest! {
        #[test]
        fn every_domain_gets_well_formed_distinct_logins(text in "[\\p{L}\\p{N}-]{1,20}\\.test") {
            if let Ok(domain) = text.parse::<DomainName>() {
                let logins: Vec<_> = candidates(&base(&domain)).take(200).collect();
                for login in &logins {
                    prop_assert!(is_customer_login(login) && !is_reserved(login), "{}", login);
                }
            }
        }
    }
}
