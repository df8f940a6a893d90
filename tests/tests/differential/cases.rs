//! The cases as they stand in `tests/differential/*.txt`.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};

/// One conversation.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// Messages in the box before it.
    pub(crate) messages: usize,
    pub(crate) steps: Vec<Step>,
    /// By what differs, as in [`Place`]: who is right, by which section, and why.
    pub(crate) differences: BTreeMap<Place, String>,
}

/// What a client does.
#[derive(Debug)]
pub(crate) enum Step {
    /// Sends octets.
    Send(Vec<u8>),
    /// Reads a reply.
    Reply,
    /// Reads an answer of many lines, where there is one.
    Lines,
}

/// Where the two may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// The reply of this number; the greeting is 0.
    Reply(usize),
    /// What is in the box afterwards.
    Box,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reply(number) => write!(f, "{number}"),
            Self::Box => f.write_str("box"),
        }
    }
}

/// Reads a file of cases; words of `names` stand for something else.
pub(crate) fn read(text: &str, names: &[(&str, &str)]) -> anyhow::Result<Vec<Case>> {
    let mut cases: Vec<Case> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("== ") {
            let name = name.to_owned();
            let (steps, differences) = (vec![Step::Reply], BTreeMap::new());
            cases.push(Case { name, messages: 0, steps, differences });
            continue;
        }
        let case = cases.last_mut().context("a line before the first case")?;
        read_line(case, line, names).with_context(|| format!("line {}: {line}", number + 1))?;
    }
    Ok(cases)
}

fn read_line(case: &mut Case, line: &str, names: &[(&str, &str)]) -> anyhow::Result<()> {
    let said = |prefix: &str| {
        line.strip_prefix(prefix).map(|rest| octets(rest.strip_prefix(' ').unwrap_or(rest), names))
    };
    if let Some(rest) = line.strip_prefix("box ") {
        case.messages = rest.parse()?;
    } else if let Some(rest) = line.strip_prefix("differs ") {
        let (place, why) = rest.split_once(' ').context("why?")?;
        let place = if place == "box" { Place::Box } else { Place::Reply(place.parse()?) };
        let right = ["Postern, ", "Postfix, ", "Dovecot, ", "both, "].iter().any(|who| why.starts_with(who));
        ensure!(right && why.contains(": "), "who is right, by which section, and why?");
        case.differences.insert(place, why.to_owned());
    } else if let Some(command) = said("C:") {
        case.steps.extend([Step::Send([command?, b"\r\n".to_vec()].concat()), Step::Reply]);
    } else if let Some(command) = said("M:") {
        case.steps.extend([Step::Send([command?, b"\r\n".to_vec()].concat()), Step::Lines]);
    } else if let Some(raw) = said("+:") {
        case.steps.push(Step::Send(raw?));
    } else if line == "S:" {
        case.steps.push(Step::Reply);
    } else {
        bail!("not known");
    }
    Ok(())
}

/// `{600*a}` is 600 times a; `\r`, `\n`, `\t`, `\0`, `\\` and `\xHH` are octets.
fn octets(text: &str, names: &[(&str, &str)]) -> anyhow::Result<Vec<u8>> {
    let text = names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
    let mut octets = Vec::new();
    let mut rest = text.as_str();
    while let Some(next) = rest.chars().next() {
        rest = &rest[next.len_utf8()..];
        match next {
            '{' => {
                let (inside, after) = rest.split_once('}').context("an open brace")?;
                let (count, what) = inside.split_once('*').context("how often?")?;
                octets.extend(what.repeat(count.parse()?).as_bytes());
                rest = after;
            }
            '\\' => {
                let kind = rest.chars().next().context("a backslash at the end")?;
                rest = &rest[kind.len_utf8()..];
                octets.push(match kind {
                    'r' => b'\r',
                    'n' => b'\n',
                    't' => b'\t',
                    '0' => 0,
                    '\\' => b'\\',
                    'x' => {
                        let (hex, after) = rest.split_at_checked(2).context("two hex digits")?;
                        rest = after;
                        u8::from_str_radix(hex, 16)?
                    }
                    other => bail!("\\{other}"),
                });
            }
            other => octets.extend(other.to_string().as_bytes()),
        }
    }
    Ok(octets)
}
