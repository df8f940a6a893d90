//! What the operator sees: log lines on stderr (JSON, or plain text at a terminal), Prometheus metrics, and traces when an OTLP endpoint is set.

use std::{
    fmt,
    io::IsTerminal as _,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry,
    fmt::{format::Writer, time::FormatTime},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::{StartError, clock, log_line::WithTraceId, sampling, settings::LogFormat, version::VERSION};

/// From 100 microseconds to 10 seconds.
const SECONDS_BUCKETS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 3.0, 10.0];

/// What takes from a tenth of a second to days: mail on its way to other hosts.
const LONG_METRIC: &str = "postern_outbound_delivery_seconds";
const LONG_BUCKETS: [f64; 12] =
    [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 120.0, 600.0, 3600.0, 21_600.0, 86_400.0, 432_000.0];

static TRACES_ARE_EXPORTED: AtomicBool = AtomicBool::new(false);
static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Hours, minutes and seconds in UTC: at a terminal nobody needs the day.
struct ClockTime;

impl FormatTime for ClockTime {
    fn format_time(&self, line: &mut Writer<'_>) -> fmt::Result {
        let seconds = clock::unix_seconds() % 86_400;
        write!(line, "{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

/// Flushes traces when dropped: keep it until the process ends.
#[derive(Debug)]
#[must_use = "traces are flushed when it is dropped"]
pub struct TelemetryGuard {
    traces: Option<SdkTracerProvider>,
}

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        if let Some(traces) = self.traces.take() {
            // Going down anyway: an endpoint that is away must not keep us.
            let _ = traces.shutdown_with_timeout(Duration::from_secs(2));
        }
    }
}

/// Starts logs, metrics and traces of this process; an empty filter means `info`. A second call in the same process changes
/// nothing.
///
/// # Errors
/// When `POSTERN_LOG` is no filter, or the OTLP exporter or its sampler cannot be set up.
pub fn init(service: &'static str, filter: &str, format: LogFormat) -> Result<TelemetryGuard, StartError> {
    let filter = if filter.trim().is_empty() { "info" } else { filter };
    let filter = EnvFilter::try_new(filter).map_err(|e| StartError::setting("POSTERN_LOG", e.to_string()))?;
    start_metrics();
    metrics::gauge!("postern_build_info", "service" => service, "version" => VERSION).set(1.0);
    let traces = start_traces(service)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let log = match format {
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_current_span(false).with_span_list(false);
            lines.map_event_format(WithTraceId).boxed()
        }
        LogFormat::Text => {
            let is_terminal = std::io::stderr().is_terminal();
            lines.compact().with_target(false).with_ansi(is_terminal).with_timer(ClockTime).boxed()
        }
    };
    let log = log.with_filter(filter);
    let spans = traces.as_ref().map(|traces| {
        tracing_opentelemetry::layer()
            .with_tracer(traces.tracer("postern"))
            .with_filter(EnvFilter::new("info,h2=off,hyper=off,tonic=off"))
    });
    if Registry::default().with(log).with(spans).try_init().is_err() {
        // Started before in this process: what stands goes on.
        return Ok(TelemetryGuard { traces: None });
    }
    TRACES_ARE_EXPORTED.store(traces.is_some(), Ordering::Relaxed);
    Ok(TelemetryGuard { traces })
}

/// True while spans go to an OTLP endpoint; without one, no layer is there and no span is made.
#[must_use]
pub fn traces_are_exported() -> bool {
    TRACES_ARE_EXPORTED.load(Ordering::Relaxed)
}

/// All metrics in Prometheus text form; empty before [`init`].
#[must_use]
pub fn metrics_text() -> String {
    METRICS.get().map(PrometheusHandle::render).unwrap_or_default()
}

/// Housekeeping of histograms; the health server calls it now and then.
pub(crate) fn keep_metrics() {
    if let Some(handle) = METRICS.get() {
        handle.run_upkeep();
    }
}

fn start_metrics() {
    METRICS.get_or_init(|| {
        let builder = PrometheusBuilder::new();
        let builder = builder
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)
            .and_then(|builder| {
                builder.set_buckets_for_metric(Matcher::Full(LONG_METRIC.to_owned()), &LONG_BUCKETS)
            })
            .unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("metrics are recorded by somebody else in this process");
        }
        handle
    });
}

fn start_traces(service: &'static str) -> Result<Option<SdkTracerProvider>, StartError> {
    if std::env::var_os("OTEL_EXPORTER_OTLP_ENDPOINT").is_none_or(|endpoint| endpoint.is_empty()) {
        return Ok(None);
    }
    // The exporter's gRPC client lives on the runtime that it was made on.
    tokio::runtime::Handle::try_current().map_err(StartError::telemetry)?;
    let exporter =
        opentelemetry_otlp::SpanExporter::builder().with_tonic().build().map_err(StartError::telemetry)?;
    let resource = Resource::builder()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.namespace", "postern"))
        .with_attribute(KeyValue::new("service.version", VERSION));
    Ok(Some(
        SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .with_id_generator(sampling::TraceIds::default())
            .with_sampler(sampling::from_environment()?)
            .build(),
    ))
}
