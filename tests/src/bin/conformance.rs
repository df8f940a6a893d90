//! Reads what `cargo test` prints and puts each demand of `tests/conformance.txt` beside the tests that show it:
//!
//!     cargo test --workspace --no-fail-fast -- --show-output 2>&1 | conformance
//!
//! A test shows a demand when its name begins with the id (`p_40_...`, `s_13_s_42_...`), a transcript when its first line names it.
//! Ends with 1 when a demand failed or nothing shows it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, stdin},
    process::ExitCode,
};

use anyhow::Context as _;

const DEMANDS: &str = include_str!("../../conformance.txt");

/// What was found about one demand.
#[derive(Default)]
struct Shown {
    by: BTreeSet<String>,
    failed: BTreeSet<String>,
}

fn main() -> anyhow::Result<ExitCode> {
    let mut shown: BTreeMap<String, Shown> = BTreeMap::new();
    for line in stdin().lock().lines() {
        let line = line.context("read the output of the tests")?;
        let Some((what, ids, good)) = told(&line) else { continue };
        for id in ids {
            let shown = shown.entry(id).or_default();
            if good { &mut shown.by } else { &mut shown.failed }.insert(what.clone());
        }
    }
    let mut lacking = 0;
    for demand in DEMANDS.lines().filter(|line| !line.starts_with('#')) {
        let (id, rest) = demand.split_once(' ').context("id, RFC, demand")?;
        let (rfc, text) = rest.split_once(' ').context("id, RFC, demand")?;
        let nothing = Shown::default();
        let found = shown.get(id).unwrap_or(&nothing);
        let result = match (found.by.is_empty(), found.failed.is_empty()) {
            (_, false) => "FAILED",
            (true, true) => "nothing shows it",
            (false, true) => "ok",
        };
        lacking += usize::from(result != "ok");
        println!("{id:6} {result:16} RFC {rfc}: {text}");
        for test in found.by.iter().chain(&found.failed) {
            println!("       {test}");
        }
    }
    println!("{lacking} demands are not shown");
    Ok(if lacking == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The test, the demands it names, and whether it passed.
fn told(line: &str) -> Option<(String, Vec<String>, bool)> {
    if let Some((file, shows)) =
        line.trim().strip_prefix("transcript ").and_then(|rest| rest.split_once(" ok: "))
    {
        let ids = shows.split([' ', ':']).filter(|word| is_id(word)).map(str::to_owned).collect();
        return Some((format!("transcripts/{file}"), ids, true));
    }
    let (path, result) = line.trim().strip_prefix("test ")?.split_once(" ... ")?;
    let good = match result.trim() {
        "ok" => true,
        "FAILED" => false,
        // Something was printed in between: the word stands at its end.
        other => other.ends_with("ok"),
    };
    let mut words = path.rsplit("::").next()?.split('_');
    let mut ids = Vec::new();
    while let (Some(letter), Some(number)) = (words.next(), words.next()) {
        let id = format!("{}-{number}", letter.to_uppercase());
        if !is_id(&id) {
            break;
        }
        ids.push(id);
    }
    (!ids.is_empty()).then(|| (path.to_owned(), ids, good))
}

fn is_id(word: &str) -> bool {
    word.split_once('-').is_some_and(|(letter, number)| {
        letter.len() == 1
            && letter.chars().all(|c| c.is_ascii_uppercase())
            && !number.is_empty()
            && number.chars().all(|c| c.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tests_print_names_their_demands() {
        let (test, ids, good) = told("test session::tests::s_13_s_42_recipients ... ok").expect("told");
        assert_eq!((test.as_str(), good), ("session::tests::s_13_s_42_recipients", true));
        assert_eq!(ids, ["S-13", "S-42"]);
        assert!(!told("test p_01_greeting ... FAILED").expect("told").2);
        assert_eq!(told("transcript smtp/a.txt ok: S-01 S-02: words").expect("told").1, ["S-01", "S-02"]);
        for nothing in ["test plain_words ... ok", "running 3 tests", "", "test result: ok. 3 passed"] {
            assert!(told(nothing).is_none(), "{nothing}");
        }
    }
}
