//! What was found is kept, so that a page tells what a domain lacks without asking DNS.

use postern_mail::DomainName;
use postern_mesh::identity::{Caller, Role};
use postern_proto::account::v1::{DnsFinding, DnsVerdict, Domain, DomainState};

use crate::{
    Account,
    error::{AccountError, Doing as _},
    store::dns_findings,
};

impl Account {
    /// What the last check of a domain found. Of a claim nothing is kept: what is kept is its holder's.
    pub(crate) async fn dns_findings(&self, domain: &Domain) -> Result<Vec<DnsFinding>, AccountError> {
        match domain.state() {
            DomainState::Claimed => Ok(Vec::new()),
            _ => dns_findings::of(self.store.pool(), &domain.name).await,
        }
    }

    /// Keeps what was found of a domain, as it was before the check. Most checks find what is kept already, and write nothing.
    pub(super) async fn keep_findings(
        &self,
        name: &DomainName,
        before: &Domain,
        found: &[DnsFinding],
    ) -> Result<(), AccountError> {
        let kept = dns_findings::of(self.store.pool(), name.as_str()).await?;
        let known = merged(found, &kept);
        if is_same(&known, &kept) {
            return Ok(());
        }
        let mut tx = self.store.begin(&Caller::new("account", Role::Service)).await?;
        if dns_findings::replace(&mut tx, name.as_str(), &before.customer, &known).await? {
            tx.commit().await.doing("commit what DNS said of a domain")?;
        }
        Ok(())
    }
}

/// DNS that does not answer proves nothing: what it said of the record before holds.
fn merged(found: &[DnsFinding], kept: &[DnsFinding]) -> Vec<DnsFinding> {
    let before = |finding: &DnsFinding| kept.iter().find(|kept| record(kept) == record(finding)).cloned();
    let known = found.iter().map(|finding| match finding.verdict() {
        DnsVerdict::NoAnswer => before(finding).unwrap_or_else(|| finding.clone()),
        _ => finding.clone(),
    });
    known.collect()
}

fn record(finding: &DnsFinding) -> (i32, &str, &str) {
    (finding.purpose, &finding.name, &finding.record_type)
}

/// True when nothing but the time to live differs, which runs down in each resolver.
fn is_same(found: &[DnsFinding], kept: &[DnsFinding]) -> bool {
    let timeless = |finding: &DnsFinding| DnsFinding { ttl_seconds: None, ..finding.clone() };
    found.iter().map(timeless).eq(kept.iter().map(timeless))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(name: &str, verdict: DnsVerdict, ttl_seconds: Option<u32>) -> DnsFinding {
        DnsFinding {
            name: name.to_owned(),
            record_type: "TXT".to_owned(),
            verdict: verdict.into(),
            ttl_seconds,
            ..DnsFinding::default()
        }
    }

    #[test]
    fn no_answer_changes_nothing_and_a_time_that_runs_down_is_no_change() {
        let kept = [finding("a", DnsVerdict::Good, Some(300)), finding("b", DnsVerdict::Missing, None)];
        let found = [
            finding("b", DnsVerdict::Good, Some(60)),
            finding("a", DnsVerdict::NoAnswer, None),
            finding("c", DnsVerdict::NoAnswer, None),
        ];
        let known = merged(&found, &kept);
        assert_eq!(known, [found[0].clone(), kept[0].clone(), found[2].clone()]);
        assert!(!is_same(&known, &kept));
        let later = [finding("a", DnsVerdict::Good, Some(12)), finding("b", DnsVerdict::Missing, None)];
        assert!(is_same(&later, &kept) && !is_same(&later[..1], &kept));
    }
}
