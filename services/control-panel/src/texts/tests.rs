//! Both languages say the same things, and nothing is said that no page says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use fluent_bundle::FluentResource;

use super::*;

/// Keys with the names of what is put into them.
fn entries(language: Language) -> BTreeMap<String, BTreeSet<String>> {
    let source = language.source();
    let resource = FluentResource::try_new(source.to_owned());
    let resource = resource.unwrap_or_else(|(_, mistakes)| panic!("{}: {mistakes:?}", language.tag()));
    let count = resource.entries().count();
    let mut found = BTreeMap::<String, BTreeSet<String>>::new();
    let mut key = String::new();
    for line in source.lines() {
        let begins = !line.starts_with([' ', '#', '}', '*', '[']) && line.contains(" =");
        if begins {
            line.split(" =").next().unwrap_or_default().clone_into(&mut key);
            assert!(found.insert(key.clone(), BTreeSet::new()).is_none(), "{} is there twice", key);
        }
        for piece in line.split('$').skip(1) {
            let name: String = piece.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
            found.entry(key.clone()).or_default().insert(name);
        }
    }
    assert_eq!(found.len(), count, "{}: read otherwise than Fluent reads it", language.tag());
    found
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

fn code() -> String {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.len() > 15, "the sources are read");
    let texts = files.iter().map(|file| fs::read_to_string(file).expect("a source"));
    // What tests say in the files themselves is not said by a page.
    let said =
        texts.map(|text| text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned());
    said.collect::<Vec<_>>().join("\n")
}

#[test]
fn both_languages_have_the_same_keys_and_put_in_the_same() {
    let (english, german) = (entries(Language::English), entries(Language::German));
    assert!(english.len() > 150, "{}", english.len());
    let keys = |entries: &BTreeMap<String, _>| entries.keys().cloned().collect::<BTreeSet<String>>();
    let missing: Vec<_> = keys(&english).symmetric_difference(&keys(&german)).cloned().collect();
    assert!(missing.is_empty(), "in one language only: {missing:?}");
    for (key, names) in &english {
        assert_eq!(names, &german[key], "{key}");
    }
}

#[test]
fn german_is_german() {
    let same_on_purpose = |text: &str| text.chars().filter(|c| c.is_alphabetic()).count() < 12;
    for key in entries(Language::English).keys() {
        let say = |language: Language| {
            let source = language.source();
            let at = source.find(&format!("\n{key} =")).unwrap_or(0);
            source[at + 1..].lines().next().unwrap_or_default().to_owned()
        };
        let (english, german) = (say(Language::English), say(Language::German));
        let (_, text) = english.split_once(" =").unwrap_or_default();
        assert!(english != german || same_on_purpose(text), "{key} is not translated");
    }
}

#[test]
fn every_text_is_said_and_everything_said_is_there() {
    let code = code();
    let known = entries(Language::English);
    for key in known.keys() {
        assert!(code.contains(&format!("\"{key}\"")), "nobody says {key}");
    }
    let joined = code.split_whitespace().collect::<Vec<_>>().join(" ").replace("( \"", "(\"");
    for call in ["say(\"", "fill(\"", ".name(\"", ".count(\"", "Said::new(\"", "title: \""] {
        for piece in joined.split(call).skip(1) {
            let key = piece.split('"').next().unwrap_or_default();
            assert!(known.contains_key(key), "{key} is said and not there");
        }
    }
}

#[test]
fn the_language_is_chosen_else_asked_for_else_english() {
    for (asked, expected) in [
        ("de", Language::German),
        ("de-CH, en;q=0.8", Language::German),
        ("fr, en;q=0.5, de;q=0.7", Language::German),
        ("en-GB,en;q=0.9,de;q=0.8", Language::English),
        ("fr", Language::English),
        ("de;q=0", Language::English),
        ("de;q=x", Language::German),
        ("", Language::English),
    ] {
        assert_eq!(Language::accepted(asked), expected, "{asked}");
    }
    let mut headers = HeaderMap::new();
    headers.insert("accept-language", "en".parse().expect("a value"));
    headers.insert("cookie", "postern-language=de".parse().expect("a value"));
    assert_eq!(Language::of(&headers, false), Language::German);
}
