//! One round over all hosts: which have a certificate, which need one, what the authority says, and what is taken away.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Context as _;
use instant_acme::Account;
use jiff::Timestamp;
use postern_mesh::tls::About;

use super::{
    authority::{Authority, Failed, Whose},
    folder::{Folder, Standing, Stock},
    hosts,
    memory::{Kind, Memory, Patience},
    proofs::Proofs,
};
use crate::cli::{Failure, Reach};

/// A host is tried once a day at least, and one whose name does not lead here more often: to ask DNS costs the authority nothing.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
const LONGEST_NOT_HERE: Duration = Duration::from_secs(60 * 60);
/// As long as the authority itself fails.
const LONGEST_AUTHORITY: Duration = Duration::from_secs(60 * 60);
/// Refusals by a limit in a row that are taken for one of all of us; a single one may be that of a host.
const LIMITS_IN_A_ROW: u32 = 2;
/// A host with a longer name could not be a name of a file.
const HOST_MAX_BYTES: usize = 240;

/// Whoever does the rounds.
pub(super) struct Keeper {
    pub(super) reach: Reach,
    /// The platform's own mail host, which gets one too.
    pub(super) mail_host: Option<String>,
    pub(super) authority: Authority,
    pub(super) folder: Folder,
    pub(super) proofs: Proofs,
    pub(super) memory: Memory,
    pub(super) orders_per_hour: u32,
    /// The first pause after a failure.
    pub(super) retry: Duration,
}

/// What came of a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Certificates that were put in place.
    pub(super) got: u32,
    /// Hosts that need one and have not got it, for whatever reason.
    pub(super) waiting: u32,
}

impl Keeper {
    /// Looks at all hosts once.
    ///
    /// # Errors
    /// Nothing is known of the hosts, or the folder cannot be read or written; what stands there stands on.
    pub(super) async fn round(&mut self) -> anyhow::Result<Outcome> {
        let wanted = self.wanted().await.context("which domains are in service")?;
        let folder = self.folder.clone();
        let stock = tokio::task::spawn_blocking(move || folder.stock()).await??;
        self.memory.hosts.retain(|host, _| wanted.contains(host));
        self.take_away_ended(&stock, &wanted);
        let needed = needed(&wanted, &stock, Timestamp::now());
        let mut outcome = Outcome { got: 0, waiting: u32::try_from(needed.len()).unwrap_or(u32::MAX) };
        self.order_all(&needed, &mut outcome).await?;
        self.keep()?;
        Ok(outcome)
    }

    /// The earliest time at which something that failed is tried again.
    pub(super) fn next_try(&self) -> Option<Timestamp> {
        let authority = self.memory.authority.as_ref().map(|trouble| trouble.again);
        let first = self.memory.hosts.values().map(|trouble| trouble.again).min()?;
        Some(authority.map_or(first, |authority| authority.max(first)))
    }

    async fn wanted(&self) -> Result<BTreeSet<String>, Failure> {
        let hosts = hosts::in_service(&self.reach).await?;
        Ok(hosts.into_iter().chain(self.mail_host.clone()).collect())
    }

    /// Who is no more served keeps the certificate while it is good: a domain may come back, and mail programs ask on.
    fn take_away_ended(&self, stock: &Stock, wanted: &BTreeSet<String>) {
        let now = Timestamp::now().as_second();
        for (host, _) in stock.ours().filter(|(host, about)| !wanted.contains(*host) && about.ends < now) {
            match self.folder.remove(host) {
                Ok(()) => {
                    tracing::info!(host, "its certificate ended and it is not served any more: taken away")
                }
                Err(error) => tracing::warn!(host, %error, "its certificate ended and cannot be taken away"),
            }
        }
    }

    async fn order_all(&mut self, needed: &[&str], outcome: &mut Outcome) -> anyhow::Result<()> {
        let mut account = None;
        let mut limits = 0;
        for host in needed {
            let now = Timestamp::now();
            if !self.memory.is_due(host, now) {
                continue;
            }
            if !self.memory.is_authority_due(now) {
                return Ok(());
            }
            if let Some(why) = self.why_not(host).await? {
                let patience = Patience { first: self.retry, longest: LONGEST_NOT_HERE };
                let again = self.memory.fail(host, Kind::NotHere, &why, now, patience, None);
                tracing::info!(host, why, %again, "no certificate is ordered");
                self.keep()?;
                continue;
            }
            if let Err(again) = self.memory.order(now, self.orders_per_hour) {
                let most = self.orders_per_hour;
                tracing::warn!(host, most, %again, "as many orders in an hour as may be: the others wait");
                return Ok(());
            }
            self.keep()?;
            match self.order(&mut account, host).await {
                Ok(about) => {
                    let ends = Timestamp::from_second(about.ends).unwrap_or(Timestamp::MAX);
                    tracing::info!(host, %ends, "a new certificate is in place");
                    self.memory.hosts.remove(*host);
                    self.memory.authority = None;
                    limits = 0;
                    outcome.got += 1;
                    outcome.waiting -= 1;
                }
                Err(failed) => {
                    limits = if failed.whose == Whose::Limit { limits + 1 } else { 0 };
                    let is_over = failed.whose == Whose::Authority || limits >= LIMITS_IN_A_ROW;
                    self.note(host, &failed, is_over);
                    if is_over {
                        return Ok(());
                    }
                }
            }
            self.keep()?;
        }
        Ok(())
    }

    /// Why the authority would not find the proof of a host here. The platform's own host is no domain that account could look at.
    async fn why_not(&self, host: &str) -> Result<Option<String>, Failure> {
        if host.len() > HOST_MAX_BYTES {
            return Ok(Some(format!("a name of more than {HOST_MAX_BYTES} octets gets none")));
        }
        if self.mail_host.as_deref() == Some(host) {
            return Ok(None);
        }
        Ok(hosts::leads_here(&self.reach, host).await?.err())
    }

    async fn order(&self, account: &mut Option<Account>, host: &str) -> Result<About, Failed> {
        let account = match account {
            Some(account) => account,
            None => {
                let opened = self.authority.account().await?;
                if let Err(error) = self.proofs.clear(opened.key_thumbprint()) {
                    tracing::warn!(%error, "proofs that were left cannot be taken away");
                }
                account.insert(opened)
            }
        };
        let issued = self.authority.order(account, host, &self.proofs).await?;
        let put = self.folder.put(host, &issued);
        put.map_err(|error| Failed {
            whose: Whose::Host,
            why: format!("it cannot be put in place: {error}"),
            again: None,
        })
    }

    /// Remembers and tells a failure. `is_over`: nobody else is tried before the authority's own pause has ended.
    fn note(&mut self, host: &str, failed: &Failed, is_over: bool) {
        let now = Timestamp::now();
        let Failed { whose, why, again } = failed;
        let patience = |longest| Patience { first: self.retry, longest };
        let pause = is_over.then(|| self.memory.fail_authority(why, now, patience(LONGEST_AUTHORITY)));
        let again = match pause {
            Some(pause) if *whose == Whose::Authority => {
                self.memory.put_off(host, why, now, pause);
                pause
            }
            _ => self.memory.fail(host, Kind::Refused, why, now, patience(LONGEST), *again),
        };
        let stands = "the certificate that stands is used on";
        match pause {
            Some(pause) => {
                tracing::warn!(host, why, %again, everybody = %pause, "no new certificate; {stands}")
            }
            None => tracing::warn!(host, why, %again, "no new certificate; {stands}"),
        }
    }

    fn keep(&self) -> anyhow::Result<()> {
        self.memory.keep(&self.folder.own()).context("what was tried cannot be noted")
    }
}

/// Hosts that need a certificate now: who has none first, then who has one that ends soonest.
fn needed<'a>(wanted: &'a BTreeSet<String>, stock: &Stock, now: Timestamp) -> Vec<&'a str> {
    let mut needed: Vec<(i64, &str)> = wanted
        .iter()
        .map(|host| (host, stock.of(host)))
        .filter(|(_, standing)| needs_one(standing, now.as_second()))
        .map(|(host, standing)| (standing.ours.map_or(i64::MIN, |about| about.ends), host.as_str()))
        .collect();
    needed.sort_unstable();
    needed.into_iter().map(|(_, host)| host).collect()
}

/// Ours is renewed when two thirds of its life are over. One that somebody else put there is left to be renewed by them until half of
/// the rest is over, too; and where there is such a one, ours is not kept beside it.
fn needs_one(standing: &Standing, now: i64) -> bool {
    let is_fresh = |about: &About, sixths: i64| now < about.begins + (about.ends - about.begins) / 6 * sixths;
    let has = |about: &Option<About>, sixths| about.as_ref().is_some_and(|about| is_fresh(about, sixths));
    !has(&standing.ours, 4) && !has(&standing.others, 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(begins: i64, ends: i64) -> Option<About> {
        Some(About { names: vec!["mail.one.test".to_owned()], begins, ends })
    }

    #[test]
    fn ours_is_renewed_after_two_thirds_and_that_of_others_later() {
        let ours = Standing { ours: about(0, 90), others: None };
        assert!(!needs_one(&ours, 59) && needs_one(&ours, 60) && needs_one(&ours, 91));
        let others = Standing { ours: None, others: about(0, 90) };
        assert!(!needs_one(&others, 74) && needs_one(&others, 75));
        let both = Standing { ours: about(0, 90), others: about(60, 150) };
        assert!(!needs_one(&both, 80));
        assert!(needs_one(&Standing::default(), 0));
    }
}
