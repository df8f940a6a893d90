//! `postern`: `up` runs the whole house on one machine, the rest are operator commands over gRPC.

use std::process::ExitCode;

use clap::Parser;
use postern::cli::{Noun, Reach};

/// Postern, a mail platform
#[derive(Debug, Parser)]
#[command(name = "postern", version, propagate_version = true)]
struct Postern {
    #[command(flatten)]
    reach: Reach,
    #[command(subcommand)]
    noun: Noun,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Postern { reach, noun } = Postern::parse();
    match noun.run(&reach).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("postern: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
