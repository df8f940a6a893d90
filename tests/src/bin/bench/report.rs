//! The figures as people read them (Markdown tables) and as programs do (`target/bench.json`).

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use postern_tests::usage::CpuSeconds;

use crate::{
    lists::Lists,
    load::Outcome,
    pages::{self, Page},
};

/// One figure.
#[derive(Serialize)]
pub(crate) struct Row {
    shape: String,
    operation: String,
    sessions: usize,
    per_second: f64,
    cpu_seconds_per_1000: f64,
    by_service: BTreeMap<String, f64>,
    p50_ms: f64,
    p99_ms: f64,
    errors: u64,
}

impl Row {
    pub(crate) fn new(
        shape: &str,
        operation: &str,
        sessions: usize,
        outcome: &Outcome,
        used: &CpuSeconds,
    ) -> Self {
        let thousands = (outcome.operations.max(1)) as f64 / 1000.0;
        Self {
            shape: shape.to_owned(),
            operation: operation.to_owned(),
            sessions,
            per_second: outcome.operations as f64 / outcome.seconds,
            cpu_seconds_per_1000: used.total() / thousands,
            by_service: used.0.iter().map(|(name, seconds)| (name.clone(), seconds / thousands)).collect(),
            p50_ms: outcome.percentile_ms(50),
            p99_ms: outcome.percentile_ms(99),
            errors: outcome.errors,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services: Vec<_> = self.by_service.iter().map(|(name, s)| format!("{name} {s:.2}")).collect();
        write!(
            f,
            "| {} | {} | {} | {:.0} | {:.2} | {:.1} | {:.1} | {} | {} |",
            self.shape,
            self.operation,
            self.sessions,
            self.per_second,
            self.cpu_seconds_per_1000,
            self.p50_ms,
            self.p99_ms,
            self.errors,
            services.join(", ")
        )
    }
}

#[derive(Serialize)]
struct Memory {
    shape: String,
    state: String,
    mib: BTreeMap<String, f64>,
}

/// Everything that was measured.
#[derive(Default, Serialize)]
pub(crate) struct Report {
    rows: Vec<Row>,
    memory: Vec<Memory>,
    lists: Option<Lists>,
    pages: Vec<Page>,
}

impl Report {
    pub(crate) fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub(crate) fn memory(&mut self, shape: &str, state: &str, mib: BTreeMap<String, f64>) {
        self.memory.push(Memory { shape: shape.to_owned(), state: state.to_owned(), mib });
    }

    pub(crate) fn lists(&mut self, lists: Lists) {
        self.lists = Some(lists);
    }

    pub(crate) fn pages(&mut self, pages: Vec<Page>) {
        self.pages = pages;
    }

    pub(crate) fn print(&self) {
        if !self.pages.is_empty() {
            pages::print(&self.pages);
        }
        if let Some(lists) = &self.lists {
            lists.print();
        }
        if self.rows.is_empty() {
            return;
        }
        println!(
            "| shape | operation | sessions | per second | CPU s / 1000 | p50 ms | p99 ms | errors | CPU s / 1000 by service |"
        );
        println!("|---|---|---:|---:|---:|---:|---:|---:|---|");
        for row in &self.rows {
            println!("{row}");
        }
        println!("\n| shape | state | memory, MiB (proportional) |\n|---|---|---|");
        for memory in &self.memory {
            let parts: Vec<_> = memory.mib.iter().map(|(name, mib)| format!("{name} {mib:.0}")).collect();
            println!("| {} | {} | {} |", memory.shape, memory.state, parts.join(", "));
        }
    }

    pub(crate) fn save(&self) -> anyhow::Result<()> {
        std::fs::create_dir_all("target")?;
        std::fs::write("target/bench.json", serde_json::to_vec_pretty(self)?)?;
        Ok(())
    }
}
