//! W3C trace context: which story work belongs to, from the socket of a client over all services (`traceparent` header of a
//! call) and over the queue (kept with the message) to the outside host. Nothing is done while no trace is exported.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};
use postern_mail::MessageId;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::{sampling, telemetry};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Begins the trace of a message: its id is the message's. The span is made with `parent: None`; the disabled span while no
/// trace is exported.
pub fn begin_message(id: MessageId, span: impl FnOnce() -> Span) -> Span {
    if !telemetry::traces_are_exported() {
        return Span::none();
    }
    sampling::with_trace_id(TraceId::from_bytes(*id.as_bytes()), || {
        let span = span();
        // A span is begun at the exporter's only when somebody asks for its context, and the id is of now.
        let _begun = span.context();
        span
    })
}

/// Begins a trace of its own. The span is made with `parent: None`; the disabled span while no trace is exported.
pub fn begin(span: impl FnOnce() -> Span) -> Span {
    if telemetry::traces_are_exported() { span() } else { Span::none() }
}

/// Goes on with a trace whose [`current`] was kept. The span is made with `parent: None`; the disabled span without a trace to
/// go on with, or while none is exported.
pub fn resume(kept: Option<&str>, span: impl FnOnce() -> Span) -> Span {
    match kept.filter(|_| telemetry::traces_are_exported()).and_then(parse) {
        Some(parent) => child_of(parent, span()),
        None => Span::none(),
    }
}

/// The current span as `traceparent` has it (55 octets), also of a trace that the sampler leaves out, so that nobody
/// downstream begins one; `None` outside of any trace.
#[must_use]
pub fn current() -> Option<String> {
    if !telemetry::traces_are_exported() {
        return None;
    }
    let context = Span::current().context();
    let span = context.span();
    let span = span.span_context();
    span.is_valid()
        .then(|| format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8()))
}

/// Writes the current span into a request that names none yet.
pub(crate) fn inject(headers: &mut HeaderMap) {
    if headers.contains_key(TRACEPARENT) {
        return;
    }
    if let Some(value) = current().and_then(|text| HeaderValue::try_from(text).ok()) {
        headers.insert(TRACEPARENT, value);
    }
}

/// A span for a call that arrived, child of the caller's; the disabled span while no trace is exported.
pub(crate) fn span_of(headers: &HeaderMap, method: &'static str) -> Span {
    if !telemetry::traces_are_exported() {
        return Span::none();
    }
    let span = tracing::info_span!("rpc", otel.name = method, otel.kind = "server");
    match headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()).and_then(parse) {
        Some(parent) => child_of(parent, span),
        None => span,
    }
}

fn child_of(parent: SpanContext, span: Span) -> Span {
    // A span that the filter disabled has no parent to take; the work goes on without.
    let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    span
}

/// W3C Trace Context section 3.2.2; unknown versions are read as far as version 00 goes.
fn parse(text: &str) -> Option<SpanContext> {
    let mut parts = text.splitn(5, '-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lower_hex = |part: &str| part.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    let well_formed = [version, trace, span, flags].map(str::len) == [2, 32, 16, 2]
        && [version, trace, span, flags].into_iter().all(lower_hex)
        && version != "ff"
        && (version != "00" || parts.next().is_none());
    if !well_formed {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparent_is_read() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = parse(good).expect("good");
        assert_eq!(context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(context.is_sampled() && context.is_remote());
        assert!(
            parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-brings").is_some()
        );
    }

    #[test]
    fn junk_is_no_context() {
        for bad in [
            "",
            "00",
            "00-0-0-0",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b-01",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
