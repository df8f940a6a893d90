//! The life of a service as a process of its own, the same for all six: the probe, settings, telemetry, signals, doors, health, and
//! an end in order. What keeps it from starting is one line.

use std::{error::Error, process::ExitCode, time::Duration};

use clap::{
    Command, Parser,
    error::{ContextKind, ContextValue},
};

use crate::{
    StartError,
    health::{self, Readiness},
    probe,
    settings::MeshSettings,
    shutdown::Shutdown,
    telemetry,
};

/// Tasks cut what is left to them at the end of the drain time; this is theirs to do so, above it.
const CUT: Duration = Duration::from_secs(1);
/// What clap gives a command line that it does not understand.
const USAGE: u8 = 2;

/// What a service is told, by its command line and environment.
pub trait Settings: Parser {
    /// What every process of the mesh must know.
    fn mesh(&self) -> &MeshSettings;
}

/// Lives as `service` until SIGTERM or SIGINT. `open` opens its doors and says what must hold before it takes work; their tasks run
/// in the shutdown that it is given. A signal that comes meanwhile ends it without an answer.
///
/// The exit code: 0 after a signal (and after `--help`, or `health` of a ready service), 1 when it could not start, 2 when its
/// settings make no sense. Of both the last line of standard error tells why, with the setting, file or address.
pub async fn run<S: Settings>(
    service: &'static str,
    open: impl AsyncFnOnce(&S, &Shutdown) -> Result<Readiness, StartError>,
) -> ExitCode {
    if let Some(answer) = probe::asked() {
        return answer;
    }
    let settings = match S::try_parse() {
        Ok(settings) => settings,
        // Help and version are answers, too.
        Err(answer) if !answer.use_stderr() => answer.exit(),
        Err(error) => {
            eprintln!("postern-{service}: {}", one_line_of_usage(&error, &S::command()));
            return ExitCode::from(USAGE);
        }
    };
    match live(service, &settings, open).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("postern-{service}: {}", one_line(&error));
            ExitCode::FAILURE
        }
    }
}

async fn live<S: Settings>(
    service: &'static str,
    settings: &S,
    open: impl AsyncFnOnce(&S, &Shutdown) -> Result<Readiness, StartError>,
) -> Result<(), StartError> {
    let mesh = settings.mesh();
    let _telemetry = telemetry::init(service, &mesh.log, mesh.log_format)?;
    let shutdown = Shutdown::new();
    shutdown.on_signals();
    let opened = tokio::select! {
        opened = open(settings, &shutdown) => Some(opened?),
        () = shutdown.triggered() => None,
    };
    if let Some(ready) = opened {
        health::serve(mesh.health_listen, ready, &shutdown).await?;
        shutdown.triggered().await;
    }
    shutdown.finish(Duration::from_secs(mesh.drain_seconds) + CUT).await;
    Ok(())
}

/// An error and its causes as one line. A cause that is told already is not told again.
#[must_use]
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = in_one(&error.to_string());
    let mut next = error.source();
    while let Some(cause) = next {
        let told = in_one(&cause.to_string());
        if !line.contains(&told) {
            line.push_str(": ");
            line.push_str(&told);
        }
        next = cause.source();
    }
    line
}

/// What is wrong with settings, as one line, without the usage; by the environment variable too where clap knows the flag only.
#[must_use]
pub fn one_line_of_usage(error: &clap::Error, command: &Command) -> String {
    let text = error.to_string();
    let line = in_one(text.split("\n\n").next().unwrap_or(&text));
    let line = line.trim_start_matches("error: ");
    let named = |shown: &str| {
        let flag = shown.trim_start_matches("--").split([' ', '=']).next()?;
        let argument = command.get_arguments().find(|argument| argument.get_long() == Some(flag))?;
        Some(argument.get_env()?.to_string_lossy().into_owned())
    };
    let names: Vec<String> = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(shown)) => named(shown).into_iter().collect(),
        Some(ContextValue::Strings(all)) => all.iter().filter_map(|shown| named(shown)).collect(),
        _ => Vec::new(),
    };
    let names: Vec<String> = names.into_iter().filter(|name| !line.contains(name.as_str())).collect();
    if names.is_empty() { line.to_owned() } else { format!("{}: {line}", names.join(", ")) }
}

fn in_one(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::io;

    use clap::Args as _;

    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let source = io::Error::from_raw_os_error(13);
        let address = "0.0.0.0:25".parse().expect("an address");
        let error = StartError::listen(address, source);
        assert_eq!(one_line(&error), "cannot listen at 0.0.0.0:25: Permission denied (os error 13)");

        #[derive(Debug, thiserror::Error)]
        #[error("the store\nis not open")]
        struct Outer(#[source] io::Error);
        let error = StartError::store("blob store", Outer(io::Error::from_raw_os_error(2)));
        assert_eq!(
            one_line(&error),
            "blob store: the store is not open: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn wrong_settings_are_one_line_by_their_names() {
        let command = MeshSettings::augment_args(Command::new("test").no_binary_name(true));
        let wrong = |argument: &str| {
            let key = format!("--mesh-key={}", "ab".repeat(32));
            let error = command.clone().try_get_matches_from([key.as_str(), argument]).expect_err("wrong");
            one_line_of_usage(&error, &command)
        };
        let line = wrong("--health-listen=here");
        assert!(line.starts_with("POSTERN_HEALTH_LISTEN: invalid value 'here'"), "{line}");
        let line = wrong("--log-format=xml");
        assert!(line.contains("POSTERN_LOG_FORMAT") && !line.contains('\n'), "{line}");
        let line = wrong("--nothing-like-it");
        assert!(line.contains("--nothing-like-it") && !line.contains("Usage"), "{line}");
    }
}
