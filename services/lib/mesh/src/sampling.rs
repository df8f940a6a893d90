//! Which traces are kept, as `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` say, and what id a trace has.
//!
//! A message's id is its trace id, and such ids begin with the time, have fixed bits in the middle, and then a counter (UUID version
//! 7, RFC 9562 section 6.2): a share is drawn from their last 32 bits, which are random, not from the 63 that the SDK's own
//! sampler reads.

use std::{cell::Cell, env};

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanId, SpanKind, TraceContextExt as _, TraceId},
};
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, Sampler, SamplingDecision, SamplingResult, ShouldSample,
};

use crate::StartError;

const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SHARE: &str = "OTEL_TRACES_SAMPLER_ARG";
const RANDOM_BITS: u32 = 32;

thread_local! {
    /// Id of the next trace that begins on this thread; see [`with_trace_id`].
    static NEXT_TRACE_ID: Cell<Option<TraceId>> = const { Cell::new(None) };
}

/// Runs `begin`; a trace that begins in it has this id.
pub(crate) fn with_trace_id<T>(id: TraceId, begin: impl FnOnce() -> T) -> T {
    NEXT_TRACE_ID.set(Some(id));
    let begun = begin();
    // Nothing may have begun: the id is of this trace only.
    NEXT_TRACE_ID.set(None);
    begun
}

/// Ids of traces: the one that was asked for, else a random one.
#[derive(Clone, Debug, Default)]
pub(crate) struct TraceIds(RandomIdGenerator);

impl IdGenerator for TraceIds {
    fn new_trace_id(&self) -> TraceId {
        NEXT_TRACE_ID.take().unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}

/// What the environment asks for; every trace, and what the caller decided, when it says nothing.
///
/// # Errors
/// A sampler that is none of ours, or a share that is no number from 0 to 1.
pub(crate) fn from_environment() -> Result<Box<dyn ShouldSample>, StartError> {
    let value = |name| env::var(name).ok().filter(|value| !value.trim().is_empty());
    sampler(value(SAMPLER).as_deref().unwrap_or("parentbased_always_on"), value(SHARE).as_deref())
}

fn sampler(name: &str, share: Option<&str>) -> Result<Box<dyn ShouldSample>, StartError> {
    if let Some(root) = name.trim().strip_prefix("parentbased_") {
        return Ok(Box::new(Sampler::ParentBased(root_sampler(root, share)?)));
    }
    root_sampler(name.trim(), share)
}

fn root_sampler(name: &str, share: Option<&str>) -> Result<Box<dyn ShouldSample>, StartError> {
    match name {
        "always_on" => Ok(Box::new(Sampler::AlwaysOn)),
        "always_off" => Ok(Box::new(Sampler::AlwaysOff)),
        "traceidratio" => {
            let share = share.unwrap_or("1").trim();
            let number = share.parse().ok().filter(|number| (0.0..=1.0).contains(number));
            let number = number
                .ok_or_else(|| StartError::setting(SHARE, format!("{share:?} is no number from 0 to 1")))?;
            Ok(Box::new(Share(number)))
        }
        _ => Err(StartError::setting(
            SAMPLER,
            format!("{name:?} is none of always_on, always_off, traceidratio, and parentbased_ before these"),
        )),
    }
}

/// Keeps this share of all traces, the same ones in every service.
#[derive(Clone, Debug)]
struct Share(f64);

impl ShouldSample for Share {
    fn should_sample(
        &self,
        parent_context: Option<&Context>,
        trace_id: TraceId,
        _name: &str,
        _span_kind: &SpanKind,
        _attributes: &[KeyValue],
        _links: &[Link],
    ) -> SamplingResult {
        let drawn = u128::from_be_bytes(trace_id.to_bytes()) & ((1 << RANDOM_BITS) - 1);
        #[expect(clippy::cast_precision_loss, reason = "32 bits fit")]
        let is_kept = (drawn as f64) < self.0 * (1_u64 << RANDOM_BITS) as f64;
        SamplingResult {
            decision: if is_kept { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop },
            attributes: Vec::new(),
            trace_state: parent_context
                .map(|context| context.span().span_context().trace_state().clone())
                .unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use postern_mail::MessageId;

    use super::*;

    fn keeps(sampler: &dyn ShouldSample, id: TraceId) -> bool {
        sampler.should_sample(None, id, "message", &SpanKind::Server, &[], &[]).decision
            == SamplingDecision::RecordAndSample
    }

    #[test]
    fn a_share_of_message_ids_is_that_share() {
        for (share, least, most) in
            [("0", 0, 0), ("0.1", 700, 1300), ("0.5", 4500, 5500), ("1", 10_000, 10_000)]
        {
            let sampler = sampler("parentbased_traceidratio", Some(share)).expect("a sampler");
            let kept = (0..10_000)
                .filter(|_| keeps(&*sampler, TraceId::from_bytes(*MessageId::new().as_bytes())))
                .count();
            assert!((least..=most).contains(&kept), "{share}: {kept} of 10,000");
        }
    }

    #[test]
    fn what_is_no_sampler_is_told() {
        assert!(sampler("traceidratio", Some("ten per cent")).is_err());
        assert!(sampler("traceidratio", Some("1.5")).is_err());
        assert!(sampler("parentbased_jaeger_remote", None).is_err());
        assert!(!keeps(&*sampler("always_off", None).expect("a sampler"), TraceId::from(7)));
        assert!(keeps(&*sampler("parentbased_always_on", None).expect("a sampler"), TraceId::from(7)));
    }

    #[test]
    fn a_trace_has_the_id_that_was_asked_for_and_the_next_one_does_not() {
        let (ids, id) = (TraceIds::default(), TraceId::from(42));
        assert_eq!(with_trace_id(id, || ids.new_trace_id()), id);
        assert_ne!(ids.new_trace_id(), id);
        with_trace_id(id, || ());
        assert_ne!(ids.new_trace_id(), id);
    }
}
