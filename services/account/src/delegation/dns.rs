//! Questions to DNS, asked anew each time. What is not there is a fact; everything else is no answer, and proves nothing.

use std::{net::IpAddr, net::SocketAddr, time::Duration};

use hickory_resolver::{
    TokioResolver,
    net::{DnsError, NetError},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, RecordType},
    },
};
use postern_mesh::{
    StartError,
    dns::{self, host_name},
};
use tokio::time::{Instant, timeout_at};

/// How long one server may take before it is asked again, or the next one.
const SERVER_TIMEOUT: Duration = Duration::from_secs(1);

/// What DNS says to one question.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// These records, and how long resolvers may keep them, seconds.
    Found(Vec<RData>, u32),
    /// There is no such record.
    Nothing,
    /// Nobody said anything that counts.
    Unknown,
}

impl Answer {
    /// Its records; `None`: it is no answer.
    pub(super) fn records(&self) -> Option<&[RData]> {
        match self {
            Self::Found(records, _) => Some(records),
            Self::Nothing => Some(&[]),
            Self::Unknown => None,
        }
    }

    /// The texts of its TXT records, each as one (RFC 7208 section 3.3, RFC 6376 section 3.6.2.2).
    pub(super) fn texts(&self) -> Option<Vec<String>> {
        let texts = self.records()?.iter().filter_map(|record| match record {
            RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
            _ => None,
        });
        Some(texts.collect())
    }

    /// Its addresses, IPv4 inside IPv6 folded.
    pub(super) fn addresses(&self) -> Option<Vec<IpAddr>> {
        let addresses = self.records()?.iter().filter_map(|record| match record {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0).to_canonical()),
            _ => None,
        });
        Some(addresses.collect())
    }

    /// Its mail hosts, lower case without the root dot.
    pub(super) fn exchangers(&self) -> Option<Vec<String>> {
        let exchangers = self.records()?.iter().filter_map(|record| match record {
            RData::MX(mx) => Some(host_name(&mx.exchange)),
            _ => None,
        });
        Some(exchangers.collect())
    }

    /// Its name servers, lower case without the root dot.
    pub(super) fn name_servers(&self) -> Option<Vec<String>> {
        let servers = self.records()?.iter().filter_map(|record| match record {
            RData::NS(ns) => Some(host_name(&ns.0)),
            _ => None,
        });
        Some(servers.collect())
    }

    pub(super) fn ttl_seconds(&self) -> Option<u32> {
        match self {
            Self::Found(_, ttl) => Some(*ttl),
            Self::Nothing | Self::Unknown => None,
        }
    }
}

/// The world's DNS. Nothing is kept: what was mended is to be seen at once, as far as the servers asked see it.
#[derive(Clone, Debug)]
pub(crate) struct Dns {
    resolver: TokioResolver,
}

impl Dns {
    /// Asks these servers, or whatever the system asks.
    ///
    /// # Errors
    /// The system's resolver configuration cannot be read.
    pub(crate) fn new(servers: &[SocketAddr]) -> Result<Self, StartError> {
        let resolver = dns::resolver(servers, |options| {
            options.timeout = SERVER_TIMEOUT;
            options.attempts = 2;
            options.cache_size = 0;
        })?;
        Ok(Self { resolver })
    }

    /// One question; what has no answer at `until` has none.
    pub(super) async fn ask(&self, name: &str, kind: RecordType, until: Instant) -> Answer {
        let Ok(mut name) = Name::from_ascii(name) else { return Answer::Nothing };
        // The root dot: search lists of the system must not turn one domain into another.
        name.set_fqdn(true);
        match timeout_at(until, self.resolver.lookup(name, kind)).await {
            Ok(Ok(lookup)) => {
                let records = lookup.answers().iter().filter(|record| record.record_type() == kind);
                let ttl = records.clone().map(|record| record.ttl).min();
                match ttl {
                    Some(ttl) => Answer::Found(records.map(|record| record.data.clone()).collect(), ttl),
                    None => Answer::Nothing,
                }
            }
            Ok(Err(NetError::Dns(DnsError::NoRecordsFound(none))))
                if matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError) =>
            {
                Answer::Nothing
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, ?kind, "DNS did not answer");
                Answer::Unknown
            }
            Err(_) => Answer::Unknown,
        }
    }
}
