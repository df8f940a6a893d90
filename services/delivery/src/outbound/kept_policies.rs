//! MTA-STS policies in Postgres, so that they outlive this process. Without the database policies are found as if none were kept.

use std::time::Duration;

use postern_mail::DomainName;
use sqlx::{PgPool, Row as _};

use super::sts::Policy;
use crate::store::within;

/// Mail waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// A policy as it was served, and when.
#[derive(Clone, Debug)]
pub(super) struct KeptPolicy {
    pub(super) policy: Policy,
    /// Of the record in DNS.
    pub(super) id: String,
    /// Since it was fetched.
    pub(super) age: Duration,
}

/// The table. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct KeptPolicies(pub(super) PgPool);

impl KeptPolicies {
    /// The policy of a domain that is still in force.
    pub(super) async fn get(&self, domain: &DomainName) -> Option<KeptPolicy> {
        let statement = sqlx::query(
            "SELECT id, policy, extract(epoch FROM greatest(now() - fetch_time, interval '0'))::double precision AS age
            FROM mta_sts_policies WHERE domain = $1 AND end_time > now()",
        )
        .bind(domain.as_str());
        let row = within(PATIENCE, statement.fetch_optional(&self.0)).await;
        let read = row.and_then(|row| {
            let Some(row) = row else { return Ok(None) };
            let (id, text): (String, String) = (row.try_get("id")?, row.try_get("policy")?);
            let age = Duration::try_from_secs_f64(row.try_get("age")?).unwrap_or_default();
            Ok(Policy::parse(&text).map(|policy| KeptPolicy { policy, id, age }))
        });
        read.unwrap_or_else(|error| {
            tracing::warn!(%domain, %error, "whether the domain has an MTA-STS policy cannot be read");
            None
        })
    }

    /// Keeps what a domain says now; `None`: it has taken its policy back.
    pub(super) async fn put(&self, domain: &DomainName, id: &str, said: Option<(&str, Duration)>) {
        let statement = match said {
            Some((text, max_age)) => sqlx::query(
                "INSERT INTO mta_sts_policies (domain, id, policy, end_time)
                VALUES ($1, $2, $3, now() + make_interval(secs => $4))
                ON CONFLICT (domain) DO UPDATE SET id = excluded.id, policy = excluded.policy,
                    fetch_time = now(), end_time = excluded.end_time",
            )
            .bind(domain.as_str())
            .bind(id)
            .bind(text)
            .bind(max_age.as_secs_f64()),
            None => sqlx::query("DELETE FROM mta_sts_policies WHERE domain = $1").bind(domain.as_str()),
        };
        if let Err(error) = within(PATIENCE, statement.execute(&self.0)).await {
            tracing::warn!(%domain, %error, "an MTA-STS policy is not kept beyond this process");
        }
    }
}
