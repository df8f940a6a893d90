//! What the scanner says of a message: its JSON answer, and the fields in our header that repeat it. Pure.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::{Deserialize, de::IgnoredAny};

/// Names of the fields that only we write into mail that is scanned.
pub(crate) const FIELDS: [&[u8]; 3] = [b"x-spam-status", b"x-spam-score", b"x-spam-flag"];
/// Symbols that are repeated in the header.
const SYMBOLS_MAX: usize = 60;
/// A longer name of a symbol is left out, octets.
const SYMBOL_MAX_BYTES: usize = 60;
/// Where a field is folded, octets.
const LINE_MAX_BYTES: usize = 76;

/// What is to be done with a message, in the scanner's opinion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// It is no spam.
    Pass,
    /// It may be spam: it is to come again later (`greylist`, `soft reject`).
    Later,
    /// It is spam, and is to be delivered as such (`add header`, `rewrite subject`).
    Mark,
    /// It is spam, and is to be refused (`reject`). Also `discard`: nothing is thrown away unheard.
    Reject,
}

/// The scanner's word about one message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) advice: Advice,
    score: f64,
    /// What it takes to be refused; `None`: the scanner never refuses.
    required: Option<f64>,
    symbols: Vec<String>,
}

/// The answer of `POST /checkv2`; what is not named here is not needed.
#[derive(Deserialize)]
struct Answer {
    score: f64,
    #[serde(default)]
    required_score: Option<f64>,
    action: String,
    #[serde(default)]
    symbols: BTreeMap<String, IgnoredAny>,
}

impl Verdict {
    /// Reads the answer. `None`: it is none.
    pub(crate) fn read(json: &[u8]) -> Option<Self> {
        let answer: Answer = serde_json::from_slice(json).ok()?;
        let advice = match answer.action.as_str() {
            "no action" => Advice::Pass,
            "greylist" | "soft reject" => Advice::Later,
            "add header" | "rewrite subject" | "quarantine" => Advice::Mark,
            "reject" | "discard" => Advice::Reject,
            // An action that its operator made up: the score is told, nobody is refused.
            other => {
                tracing::debug!(action = other, "the spam scanner advises what is not known here");
                Advice::Pass
            }
        };
        let is_symbol = |name: &String| {
            name.len() <= SYMBOL_MAX_BYTES && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
        };
        let symbols = answer.symbols.into_keys().filter(is_symbol).take(SYMBOLS_MAX).collect();
        Some(Self { advice, score: answer.score, required: answer.required_score, symbols })
    }

    pub(crate) fn is_spam(&self) -> bool {
        matches!(self.advice, Advice::Mark | Advice::Reject)
    }

    /// For the metric.
    pub(super) fn label(&self) -> &'static str {
        match self.advice {
            Advice::Pass => "pass",
            Advice::Later => "later",
            Advice::Mark => "mark",
            Advice::Reject => "reject",
        }
    }

    /// In a sentence, for the story of the message.
    pub(crate) fn said(&self) -> String {
        let is = if self.is_spam() { "looks like spam" } else { "does not look like spam" };
        format!("{is}: score {}", self.scores())
    }

    fn scores(&self) -> String {
        match self.required {
            Some(required) => format!("{:.1} of {required:.1}", self.score),
            None => format!("{:.1}", self.score),
        }
    }

    /// The fields, each ending with CRLF, as mail programs know them from SpamAssassin.
    pub(crate) fn fields(&self) -> String {
        let yes = if self.is_spam() { "Yes" } else { "No" };
        let mut fields = format!("X-Spam-Status: {yes}, score={:.1}", self.score);
        // Writing into a String cannot fail.
        if let Some(required) = self.required {
            let _ = write!(fields, " required={required:.1}");
        }
        fields.push_str(" tests=");
        let mut line = fields.len();
        for (number, symbol) in self.symbols.iter().enumerate() {
            if number > 0 {
                fields.push(',');
                line += 1;
            }
            if line + symbol.len() >= LINE_MAX_BYTES {
                fields.push_str("\r\n\t");
                line = 1;
            }
            fields.push_str(symbol);
            line += symbol.len();
        }
        if self.symbols.is_empty() {
            fields.push_str("none");
        }
        let _ = write!(fields, "\r\nX-Spam-Score: {:.1}\r\n", self.score);
        if self.is_spam() {
            fields.push_str("X-Spam-Flag: YES\r\n");
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(action: &str, symbols: &str) -> String {
        format!(
            r#"{{"is_skipped":false,"score":15.25,"required_score":15,"action":"{action}","symbols":{{{symbols}}},"time_real":0.1}}"#
        )
    }

    #[test]
    fn actions_of_rspamd_are_advice() {
        for (action, advice) in [
            ("no action", Advice::Pass),
            ("greylist", Advice::Later),
            ("soft reject", Advice::Later),
            ("add header", Advice::Mark),
            ("rewrite subject", Advice::Mark),
            ("reject", Advice::Reject),
            ("something else", Advice::Pass),
        ] {
            assert_eq!(
                Verdict::read(answer(action, "").as_bytes()).map(|v| v.advice),
                Some(advice),
                "{action}"
            );
        }
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for text in
            ["", "{}", "[]", "no", r#"{"score":"high","action":"reject"}"#, r#"{"score":1}"#, "\u{fffd}"]
        {
            assert_eq!(Verdict::read(text.as_bytes()), None, "{text}");
        }
        let without = r#"{"score":1.0,"required_score":null,"action":"reject"}"#;
        assert!(Verdict::read(without.as_bytes()).is_some_and(|verdict| verdict.required.is_none()));
    }

    #[test]
    fn s_02_the_fields_are_folded_ascii_whatever_the_scanner_says() {
        let symbols: Vec<String> = (0..200).map(|n| format!(r#""SYMBOL_NUMBER_{n:03}":{{}}"#)).collect();
        let evil = r#""A\r\nBcc: x":{},"\u00fc":1,"#;
        let json = answer("reject", &format!("{evil}{}", symbols.join(",")));
        let fields = Verdict::read(json.as_bytes()).expect("a verdict").fields();
        assert!(
            fields.starts_with("X-Spam-Status: Yes, score=15.2 required=15.0 tests=SYMBOL_NUMBER_000,"),
            "{fields}"
        );
        assert!(fields.ends_with("X-Spam-Score: 15.2\r\nX-Spam-Flag: YES\r\n"), "{fields}");
        assert!(fields.is_ascii() && !fields.contains("Bcc") && fields.len() < 3000);
        for line in fields.trim_end().split("\r\n") {
            assert!(line.len() <= 78 && (line.starts_with('\t') || line.starts_with("X-Spam-")), "{line}");
        }
        let plain = Verdict::read(answer("no action", "").as_bytes()).expect("a verdict");
        assert_eq!(
            plain.fields(),
            "X-Spam-Status: No, score=15.2 required=15.0 tests=none\r\nX-Spam-Score: 15.2\r\n"
        );
        assert_eq!(plain.said(), "does not look like spam: score 15.2 of 15.0");
    }
}
