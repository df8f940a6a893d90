//! `postern`: `up` runs the whole house on one machine, the rest are operator commands over gRPC.

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use postern::{
    certificates::Certificates,
    cli::{Failure, Noun, Reach},
    doctor::Doctor,
    up::Up,
};
use postern_mesh::{process, version::VERSION};

/// Postern, a mail platform: the house on one machine, and the operator's commands
#[derive(Debug, Parser)]
#[command(
    name = "postern",
    // Whatever the file is called, as in the image.
    bin_name = "postern",
    version = VERSION,
    after_help = "Exit codes: 0 answered, 1 refused, 2 usage, 75 try later."
)]
struct Postern {
    #[command(flatten)]
    reach: Reach,
    #[command(subcommand)]
    command: PosternCommand,
}

#[derive(Debug, Subcommand)]
enum PosternCommand {
    /// Run the whole house on this machine, until Ctrl-C
    #[command(after_help = "Example:\n  POSTERN_PORT_OFFSET=1000 postern up --demo --home /tmp/house")]
    Up(Up),
    /// Look at a whole installation, and say what to do about what is wrong
    Doctor(Doctor),
    /// Get and renew a certificate for mail.<domain> of every domain in service, until Ctrl-C
    Certificates(Certificates),
    #[command(flatten)]
    Noun(Noun),
}

#[tokio::main]
async fn main() -> ExitCode {
    let matches = Postern::command().mut_subcommand("up", Up::with_setting_flags).get_matches();
    let Postern { reach, command } = Postern::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match command {
        PosternCommand::Up(up) => run_up(up, &matches, &reach).await,
        PosternCommand::Doctor(doctor) => exit_code(doctor.run(&reach).await),
        PosternCommand::Certificates(certificates) => exit_code(certificates.run(&reach).await),
        PosternCommand::Noun(noun) => exit_code(noun.run(&reach).await),
    }
}

fn exit_code(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("postern: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn run_up(mut up: Up, matches: &ArgMatches, reach: &Reach) -> ExitCode {
    if let Some(matches) = matches.subcommand_matches("up") {
        up.take_setting_flags(matches, reach);
    }
    match up.run(&reach.home).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("postern: {}", process::one_line(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
