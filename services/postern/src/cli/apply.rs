//! `postern apply`: makes the settings what a document says. The plan is shown first; each step is done by the same calls as
//! everything else, so that the platform's own rules decide, and what it refuses is told step by step.

mod deed;
mod difference;
mod plan;
mod switches;

use std::io::{IsTerminal as _, Write as _};

use clap::Args;
use postern_mesh::failure::typed_reason;
use serde::Serialize;

use self::plan::{Step, plan};
use super::{Failure, document, operator::Operator};

/// Make settings what a YAML document says, as `postern export` prints one; applied twice it does nothing the second time
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  postern apply homepage.yaml\n  postern apply --yes --prune - < homepage.yaml"
)]
pub struct Apply {
    /// The document; `-` is standard input
    file: String,

    /// Do it without asking
    #[arg(long)]
    yes: bool,

    /// Also remove what the document's domains hold and the document does not name: mailboxes, forwards, lists, members,
    /// autoresponders. Never a domain
    #[arg(long)]
    prune: bool,
}

/// What became of a step.
#[derive(Debug, Serialize)]
struct Outcome {
    change: &'static str,
    kind: &'static str,
    name: String,
    what: String,
    /// Empty: done, or not tried yet.
    refused: String,
}

/// Everything there is to say.
#[derive(Debug, Default, Serialize)]
struct Report {
    steps: Vec<Outcome>,
    /// What will be hidden or goes elsewhere.
    warnings: Vec<String>,
    applied: bool,
    /// Of new mailboxes without a hash in the document; shown only here.
    passwords: Vec<NewPassword>,
}

#[derive(Debug, Serialize)]
struct NewPassword {
    address: String,
    password: String,
}

impl Apply {
    pub(super) async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let wanted = document::Document::open(&self.file)?;
        let names = wanted.domains.iter().map(|domain| domain.name.clone());
        let present = document::read(operator, &wanted.customer, names).await?;
        document::standing(&document::merged(&present, &wanted, self.prune))
            .map_err(|why| Failure::Refused(format!("{}: with what is there already: {why}", self.file)))?;
        let (steps, warnings) = plan(&present, &wanted, self.prune);
        let mut report = Report { warnings, ..Report::default() };
        if steps.is_empty() || !self.is_wanted(operator, &steps, &report.warnings)? {
            report.steps = steps.into_iter().map(|step| step.outcome(String::new())).collect();
            return operator.show(&report, shown);
        }
        let worst = apply(operator, steps, &mut report).await;
        report.applied = true;
        operator.show(&report, shown)?;
        worst.map_or(Ok(()), Err)
    }

    /// Shows the plan and asks, where somebody can answer.
    fn is_wanted(&self, operator: &Operator, steps: &[Step], warnings: &[String]) -> Result<bool, Failure> {
        if self.yes {
            return Ok(true);
        }
        if operator.json || self.file == "-" || !std::io::stdin().is_terminal() {
            return Ok(false);
        }
        let mut out = std::io::stderr().lock();
        for step in steps {
            let _ = writeln!(out, "{}", line(step.change, step.deed.kind(), &step.deed.name(), &step.what));
        }
        for warning in warnings {
            let _ = writeln!(out, "! {warning}");
        }
        let _ = write!(out, "Do this? [y/N] ");
        let _ = out.flush();
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }
}

/// Does the steps in their order. What is refused as things stand is tried once more at the end, when the others are done: a
/// forward may be free of its loop by then, an address of its former kind. Returns the worst failure.
async fn apply(operator: &Operator, steps: Vec<Step>, report: &mut Report) -> Option<Failure> {
    let mut worst: Option<Failure> = None;
    let mut again = Vec::new();
    for mut step in steps {
        match step.deed.run(operator, &mut report.passwords).await {
            Ok(()) => report.steps.push(step.outcome(String::new())),
            Err(status) if may_heal(&status) => again.push(step),
            Err(status) => note(report, &mut worst, step, status),
        }
    }
    for mut step in again {
        match step.deed.run(operator, &mut report.passwords).await {
            Ok(()) => report.steps.push(step.outcome(String::new())),
            Err(status) => note(report, &mut worst, step, status),
        }
    }
    worst
}

fn may_heal(status: &tonic::Status) -> bool {
    use postern_mail::Reason::{AlreadyExists, FailedPrecondition, NotFound};
    matches!(typed_reason(status), Some(AlreadyExists | FailedPrecondition | NotFound))
}

fn note(report: &mut Report, worst: &mut Option<Failure>, step: Step, status: tonic::Status) {
    let failure = Failure::from(status);
    report.steps.push(step.outcome(failure.to_string()));
    let summary = "some steps were not done, see above";
    *worst = Some(match (&worst, failure) {
        (Some(Failure::Refused(_)), _) | (_, Failure::Refused(_) | Failure::Usage(_)) => {
            Failure::Refused(summary.to_owned())
        }
        (_, Failure::Later(_)) => Failure::Later(summary.to_owned()),
    });
}

impl Step {
    fn outcome(self, refused: String) -> Outcome {
        Outcome {
            change: self.change,
            kind: self.deed.kind(),
            name: self.deed.name(),
            what: self.what,
            refused,
        }
    }
}

fn line(change: &str, kind: &str, name: &str, what: &str) -> String {
    let what = if what.is_empty() { String::new() } else { format!(": {what}") };
    let text = format!("{change} {kind} {name}{what}");
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn shown(report: &Report) -> String {
    if report.steps.is_empty() {
        return "nothing to do".to_owned();
    }
    let mut text = String::new();
    for step in &report.steps {
        text += &line(step.change, step.kind, &step.name, &step.what);
        if !step.refused.is_empty() {
            text += &format!("\n    NOT DONE: {}", step.refused);
        }
        text.push('\n');
    }
    for warning in &report.warnings {
        text += &format!("! {warning}\n");
    }
    if !report.applied {
        return text + "nothing was changed: add --yes to do it\n";
    }
    if !report.passwords.is_empty() {
        text += "new passwords, shown only here:\n";
        for new in &report.passwords {
            text += &format!("  {}  {}\n", new.address, new.password);
        }
    }
    text
}
