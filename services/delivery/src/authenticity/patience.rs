//! Who let us wait is not asked again for a while: names whose servers missed the deadline, and the resolver itself when it does
//! not even answer a question that every resolver can.
//!
//! Names alone would not do: while the resolver is away each new name would cost a deadline. The resolver alone would not do
//! either: whoever runs a slow name server could switch off the checks of everybody's mail.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    net::{DnsError, NetError},
    proto::rr::{Name, RecordType},
};
use moka::sync::Cache;
use tokio::time::{Instant, timeout};

/// So long (DESIGN: what missed its deadline).
const SKIPPED_FOR: Duration = Duration::from_secs(30);
/// Names that are remembered.
const NAMES_MAX: u64 = 10_000;
/// A resolver that works knows the root by heart.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// What is not asked now. Clones are the same.
#[derive(Clone)]
pub(super) struct Patience {
    resolver: TokioResolver,
    names: Cache<String, ()>,
    began: Instant,
    /// Milliseconds after `began`.
    resolver_skipped_until: Arc<AtomicU64>,
}

impl Patience {
    pub(super) fn new(resolver: TokioResolver) -> Self {
        Self {
            resolver,
            names: Cache::builder().max_capacity(NAMES_MAX).time_to_live(SKIPPED_FOR).build(),
            began: Instant::now(),
            resolver_skipped_until: Arc::default(),
        }
    }

    /// True while these names, or any, are not to be asked for.
    pub(super) fn has_run_out(&self, names: &str) -> bool {
        let now = millis(self.began.elapsed());
        self.resolver_skipped_until.load(Ordering::Relaxed) > now || self.names.contains_key(names)
    }

    /// These names missed the deadline. Whether it was the resolver's fault is found out aside.
    pub(super) fn lose(&self, names: String) {
        if self.has_run_out(&names) {
            return;
        }
        metrics::counter!("postern_mail_checks_late_total").increment(1);
        tracing::info!(names, "DNS did not tell in time whether mail is authentic; not asked for 30 s");
        self.names.insert(names, ());
        let patience = self.clone();
        tokio::spawn(async move {
            if !patience.resolver_answers().await {
                tracing::warn!("the DNS resolver does not answer: mail is taken unchecked for 30 s");
                let until = millis(patience.began.elapsed() + SKIPPED_FOR);
                patience.resolver_skipped_until.store(until, Ordering::Relaxed);
            }
        });
    }

    async fn resolver_answers(&self) -> bool {
        match timeout(PROBE_TIMEOUT, self.resolver.lookup(Name::root(), RecordType::NS)).await {
            Err(_) => false,
            Ok(Ok(_) | Err(NetError::Dns(DnsError::NoRecordsFound(_)))) => true,
            Ok(Err(error)) => !matches!(error, NetError::Timeout | NetError::Io(_)),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
