//! /livez, /readyz and /metrics of a process, apart from its other doors.

use std::{
    collections::BTreeMap,
    fmt,
    future::{Future, IntoFuture as _},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use tokio::{net::TcpListener, sync::Mutex, time::Instant};

use crate::{StartError, shutdown::Shutdown, telemetry, tls::ends};

/// A check that takes longer has failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// Results are used again for so long, so that probes cost the stores nothing.
const KEPT_FOR: Duration = Duration::from_secs(1);
/// Housekeeping of histograms.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

type CheckFuture = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
type Check = Box<dyn Fn() -> CheckFuture + Send + Sync>;
/// Name of a check to `None` (good) or what is wrong.
type Results = BTreeMap<&'static str, Option<String>>;

/// Whether a process that fails a check takes work all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    /// It does not.
    Needed,
    /// It does; the operator is told.
    Told,
}

/// What must hold before this process takes work, and what its operator should know. A process that goes down is not ready.
#[derive(Clone, Default)]
pub struct Readiness {
    checks: Arc<Vec<(&'static str, Weight, Check)>>,
    last: Arc<Mutex<Option<(Instant, Results)>>>,
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.checks.iter().map(|(name, ..)| name)).finish()
    }
}

impl Readiness {
    /// Ready as long as nothing else is said.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check; what it says goes to the operator, so no secrets. Checks are added before the first clone.
    #[must_use]
    pub fn check<F, R, E>(self, name: &'static str, check: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        self.with(name, Weight::Needed, check)
    }

    /// The same for what only has to be told: the process stays ready.
    #[must_use]
    pub fn notice<F, R, E>(self, name: &'static str, check: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        self.with(name, Weight::Told, check)
    }

    fn with<F, R, E>(mut self, name: &'static str, weight: Weight, check: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        let check: Check = Box::new(move || {
            let running = check();
            Box::pin(async move { running.await.map_err(|e| e.to_string()) })
        });
        match Arc::get_mut(&mut self.checks) {
            Some(checks) => checks.push((name, weight, check)),
            None => tracing::error!(name, "a readiness check came after the first clone and is not made"),
        }
        self
    }

    /// Runs all checks at once, or answers what was found within the last second.
    pub async fn results(&self) -> BTreeMap<&'static str, Option<String>> {
        let mut last = self.last.lock().await;
        if let Some((when, results)) = &*last
            && when.elapsed() < KEPT_FOR
        {
            return results.clone();
        }
        let running = self.checks.iter().map(|(name, _, check)| async move {
            let found = match tokio::time::timeout(CHECK_TIMEOUT, check()).await {
                Ok(Ok(())) => None,
                Ok(Err(why)) => Some(why),
                Err(_) => Some(format!("no answer within {CHECK_TIMEOUT:?}")),
            };
            (*name, found)
        });
        let results: Results = futures_util::future::join_all(running).await.into_iter().collect();
        *last = Some((Instant::now(), results.clone()));
        results
    }

    /// True when nothing among these results keeps this process from taking work.
    #[must_use]
    pub fn allows(&self, results: &BTreeMap<&'static str, Option<String>>) -> bool {
        let told =
            |name: &str| self.checks.iter().any(|(own, weight, _)| *own == name && *weight == Weight::Told);
        results.iter().all(|(name, found)| found.is_none() || told(name))
    }
}

#[derive(Clone)]
struct Doors {
    ready: Readiness,
    shutdown: Shutdown,
}

/// Serves health and metrics until shutdown; port 0 takes any port. Returns the address that was bound.
///
/// # Errors
/// When the port cannot be bound.
pub async fn serve(
    listen: SocketAddr,
    ready: Readiness,
    shutdown: &Shutdown,
) -> Result<SocketAddr, StartError> {
    let listener = TcpListener::bind(listen).await.map_err(|e| StartError::listen(listen, e))?;
    let address = listener.local_addr().map_err(|e| StartError::listen(listen, e))?;
    let router = Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Doors { ready, shutdown: shutdown.clone() });
    // Not a task of the shutdown: probes are answered (not ready) until all its tasks ended.
    let last = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            ended = axum::serve(listener, router).into_future() => if let Err(error) = ended {
                tracing::error!(%error, "health server ended");
            },
            () = last.all_ended() => {}
        }
    });
    let ending = shutdown.clone();
    shutdown.spawn(async move {
        let mut upkeep = tokio::time::interval(UPKEEP_EVERY);
        loop {
            tokio::select! {
                _ = upkeep.tick() => {
                    telemetry::keep_metrics();
                    ends::tell();
                }
                () = ending.triggered() => return,
            }
        }
    });
    Ok(address)
}

async fn readyz(State(doors): State<Doors>) -> (StatusCode, Json<Results>) {
    let mut results = doors.ready.results().await;
    if doors.shutdown.is_triggered() {
        results.insert("shutdown", Some("going down".to_owned()));
    }
    let ready = doors.ready.allows(&results);
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(results))
}

async fn metrics() -> ([(&'static str, &'static str); 1], String) {
    ([("content-type", "text/plain; version=0.0.4")], telemetry::metrics_text())
}
