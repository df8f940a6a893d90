//! Answers for people: plain text, aligned columns, no frames, so that `grep` and `awk` work on them.

use std::fmt;

use jiff::Timestamp;
use postern_proto::google::Timestamp as ProtoTimestamp;

/// Rows under a head; or one line that says that there are none.
#[derive(Debug)]
pub(super) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    empty: &'static str,
}

impl Table {
    pub(super) fn new<const N: usize>(head: [&'static str; N], empty: &'static str) -> Self {
        Self { head: head.to_vec(), rows: Vec::new(), empty }
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return writeln!(f, "{}", self.empty);
        }
        let head: Vec<String> = self.head.iter().map(|s| (*s).to_owned()).collect();
        write_columns(f, std::iter::once(&head).chain(&self.rows))
    }
}

/// One thing: a name and a value on each line.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<Vec<String>>);

impl Fields {
    pub(super) fn add(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.0.push(vec![format!("{name}:"), value.to_string()]);
        self
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_columns(f, self.0.iter())
    }
}

fn write_columns<'a>(
    f: &mut fmt::Formatter<'_>,
    rows: impl Iterator<Item = &'a Vec<String>> + Clone,
) -> fmt::Result {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows.clone() {
        for (column, cell) in row.iter().enumerate() {
            let width = shown(cell).chars().count();
            match widths.get_mut(column) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{:<width$}", shown(cell)));
        writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// What a terminal may see: no control characters from other people's texts; `-` for nothing.
fn shown(cell: &str) -> String {
    if cell.is_empty() {
        return "-".to_owned();
    }
    cell.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// `2026-11-23 12:34:02Z`, or nothing.
pub(super) fn time(time: Option<&ProtoTimestamp>) -> String {
    let moment = time.and_then(|t| Timestamp::from_second(t.seconds).ok());
    moment.map(|m| m.strftime("%Y-%m-%d %H:%M:%SZ").to_string()).unwrap_or_default()
}

/// `1 message`, `2 messages`.
pub(super) fn counted(count: i64, noun: &str, plural: &str) -> String {
    format!("{count} {}", if count == 1 { noun } else { plural })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_empty_lists_say_so() {
        let mut table = Table::new(["LOGIN", "NAME"], "no customers");
        assert_eq!(table.to_string(), "no customers\n");
        table.row(["a".to_owned(), String::new()]);
        table.row(["longer".to_owned(), "b\u{1b}[31m".to_owned()]);
        assert_eq!(table.to_string(), "LOGIN   NAME\na       -\nlonger  b?[31m\n");
    }

    #[test]
    fn times_are_readable() {
        let moment = ProtoTimestamp { seconds: 0, nanos: 5 };
        assert_eq!(time(Some(&moment)), "1970-01-01 00:00:00Z");
        assert_eq!(time(None), "");
    }
}
