//! The keys that mail of a domain is signed with: made here, changed here, and shown by their public halves only, as TXT
//! records (RFC 6376 section 3.6.1).
//!
//! A change takes its time, since the record may have to be set by the owner: when the key in use is old enough a new one is
//! made and shown as wanted; once DNS shows it, mail is signed with it; the old one is shown for some days more, for mail that
//! is still under way, and then forgotten.

use std::sync::Arc;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hickory_resolver::proto::rr::RecordType;
use postern_mail::DomainName;
use postern_mesh::identity::{Caller, Role};
use sqlx::PgPool;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::LOOK_TIMEOUT;
use crate::{
    Account,
    error::{AccountError, Doing as _},
    store::{
        mail_keys::{self, NewKey, ShownKey, Stage},
        versions,
    },
};

/// Selectors of the platform's keys are this and a number.
const SELECTOR_WORD: &str = "postern";

/// How keys change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyChange {
    /// A key in use that is so old gets a successor, days; `None`: never.
    pub(crate) after_days: Option<f64>,
    /// A key that ended is shown so long, days.
    pub(crate) overlap_days: f64,
}

/// A record that a domain should have.
#[derive(Clone, Debug)]
pub(crate) struct KeyRecord {
    /// Where it stands.
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) stage: Stage,
}

impl KeyRecord {
    fn of(domain: &DomainName, key: &ShownKey) -> Self {
        Self {
            name: record_name(domain, &key.selector),
            text: record_text(&key.public_spki),
            stage: key.stage,
        }
    }
}

fn record_name(domain: &DomainName, selector: &str) -> String {
    format!("{selector}._domainkey.{domain}")
}

fn record_text(public_spki: &[u8]) -> String {
    format!("v=DKIM1; k=rsa; p={}", STANDARD.encode(public_spki))
}

/// The `p=` of a record, without the white space that may be in it; `None`: this is no key record of ours to compare.
pub(crate) fn key_of(text: &str) -> Option<String> {
    let mut key = None;
    for tag in text.split(';') {
        let (name, value) = tag.split_once('=').unwrap_or((tag, ""));
        match (name.trim(), value.trim()) {
            ("v", version) if version != "DKIM1" => return None,
            ("k", kind) if kind != "rsa" => return None,
            ("p", value) => key = Some(value.split_whitespace().collect()),
            _ => {}
        }
    }
    key
}

impl Account {
    /// The records that a domain's keys need, the one in use first; a key is made when there is none.
    pub(super) async fn dkim_records(&self, domain: &DomainName) -> Result<Vec<KeyRecord>, AccountError> {
        self.have_signing_key(domain).await?;
        self.dkim_records_there_are(domain).await
    }

    /// The same without making one.
    pub(super) async fn dkim_records_there_are(
        &self,
        domain: &DomainName,
    ) -> Result<Vec<KeyRecord>, AccountError> {
        let keys = mail_keys::of_domain(self.store.pool(), domain).await?;
        Ok(keys.iter().map(|key| KeyRecord::of(domain, key)).collect())
    }

    /// Makes the first key of a domain, unless it has one. It is made to its end even if whoever asked has gone meanwhile:
    /// they come back, many at once, and would begin anew each time.
    pub(crate) async fn have_signing_key(&self, domain: &DomainName) -> Result<(), AccountError> {
        if mail_keys::in_use(self.store.pool(), domain).await?.is_some() {
            return Ok(());
        }
        let (making, pool, domain) =
            (self.delegation.keys.clone(), self.store.pool().clone(), domain.clone());
        let made = tokio::spawn(async move {
            let place = making.place().await?;
            if mail_keys::in_use(&pool, &domain).await?.is_some() {
                return Ok(());
            }
            let key = place.make(next_selector(&[])).await?;
            mail_keys::keep(&pool, &domain, &key, true).await
        });
        made.await.unwrap_or(Err(AccountError::KeyGeneration))
    }

    /// Goes one step on with the keys of a domain that has any: a successor for the old one is begun, from one to the other, and
    /// the end of what is not needed any more.
    pub(super) async fn tend_keys(&self, domain: &DomainName) -> Result<(), AccountError> {
        let keys = mail_keys::of_domain(self.store.pool(), domain).await?;
        let change = self.delegation.key_change;
        for key in &keys {
            match key.stage {
                Stage::Ended if key.age_days > change.overlap_days => {
                    mail_keys::forget(self.store.pool(), domain, &key.selector).await?;
                    tracing::info!(%domain, selector = key.selector, "a signing key is forgotten");
                }
                Stage::Waiting if self.is_shown(domain, key).await => {
                    self.begin_key(domain, &key.selector).await?;
                }
                Stage::InUse
                    if change.after_days.is_some_and(|days| key.age_days > days)
                        && !keys.iter().any(|other| other.stage == Stage::Waiting) =>
                {
                    self.begin_successor(domain);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Has a successor made that nobody waits for: the next look at the domain finds it. While another key is made, that next
    /// look is left to begin it, so that a first key is never behind a row of successors.
    fn begin_successor(&self, domain: &DomainName) {
        let Some(place) = self.delegation.keys.free_place() else { return };
        let (pool, domain) = (self.store.pool().clone(), domain.clone());
        tokio::spawn(async move {
            if let Err(error) = make_successor(place, &pool, &domain).await {
                tracing::warn!(%domain, %error, "no successor of a signing key can be made; trying again later");
            }
        });
    }

    async fn is_shown(&self, domain: &DomainName, key: &ShownKey) -> bool {
        let record = KeyRecord::of(domain, key);
        // Somebody may wait for all of the check.
        let until = Instant::now() + LOOK_TIMEOUT / 4;
        let answer = self.delegation.dns.ask(&record.name, RecordType::TXT, until).await;
        let wanted = key_of(&record.text);
        answer.texts().is_some_and(|texts| texts.iter().any(|text| key_of(text) == wanted))
    }

    /// A new version of the domain tells those who keep the old key.
    async fn begin_key(&self, domain: &DomainName, selector: &str) -> Result<(), AccountError> {
        let mut tx = self.store.begin(&Caller::new("account", Role::Service)).await?;
        let Some(change) = versions::try_enter(&mut tx, domain.as_str()).await? else { return Ok(()) };
        if !mail_keys::begin(&mut tx, domain.as_str(), selector).await? {
            return Ok(());
        }
        change.announce(&mut tx, &[]).await?;
        tx.commit().await.doing("commit a change of a signing key")?;
        tracing::info!(%domain, selector, "mail is signed with a new key");
        Ok(())
    }
}

/// Makes the key that waits for its record, unless there is one meanwhile.
async fn make_successor(place: Place, pool: &PgPool, domain: &DomainName) -> Result<(), AccountError> {
    let keys = mail_keys::of_domain(pool, domain).await?;
    if keys.iter().any(|key| key.stage == Stage::Waiting) {
        return Ok(());
    }
    let successor = place.make(next_selector(&keys)).await?;
    mail_keys::keep(pool, domain, &successor, false).await?;
    tracing::info!(%domain, selector = successor.selector, "a new signing key waits for its record");
    Ok(())
}

/// The number behind the greatest one that there is.
fn next_selector(keys: &[ShownKey]) -> String {
    let number = |key: &ShownKey| key.selector.strip_prefix(SELECTOR_WORD)?.parse::<u32>().ok();
    let greatest = keys.iter().filter_map(number).max().unwrap_or_default();
    format!("{SELECTOR_WORD}{}", greatest.saturating_add(1))
}

/// Where keys are made, one at a time: each takes a core for a good part of a second.
#[derive(Clone, Debug)]
pub(crate) struct KeyMaking(Arc<Semaphore>);

/// The right to make a key now.
struct Place(OwnedSemaphorePermit);

impl KeyMaking {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    async fn place(&self) -> Result<Place, AccountError> {
        let place = Arc::clone(&self.0).acquire_owned().await;
        place.map(Place).map_err(|_| AccountError::KeyGeneration)
    }

    /// A place where nobody has to be waited for.
    fn free_place(&self) -> Option<Place> {
        Arc::clone(&self.0).try_acquire_owned().ok().map(Place)
    }
}

impl Place {
    /// Off the async threads: primes are searched for. The place is taken until the key is there, whoever waits for it.
    async fn make(self, selector: String) -> Result<NewKey, AccountError> {
        let made = tokio::task::spawn_blocking(move || {
            let _place = self.0;
            new_pair()
        });
        let (private_pkcs8, public_spki) = made.await.ok().flatten().ok_or(AccountError::KeyGeneration)?;
        Ok(NewKey { selector, private_pkcs8, public_spki })
    }
}

/// An RSA-2048 key: PKCS#8 and SubjectPublicKeyInfo, both DER.
fn new_pair() -> Option<(Vec<u8>, Vec<u8>)> {
    let pair = KeyPair::generate(KeySize::Rsa2048).ok()?;
    let private = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).ok()?;
    let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).ok()?;
    Some((private.as_ref().to_vec(), public.as_ref().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_a_pair_and_its_record_reads_back() {
        let (private, public) = new_pair().expect("a key");
        let read = KeyPair::from_pkcs8(&private).expect("PKCS#8");
        assert_eq!(read.public_modulus_len(), 256);
        let shown = AsDer::<PublicKeyX509Der<'_>>::as_der(read.public_key()).expect("DER");
        assert_eq!(shown.as_ref(), public);
        let record = record_text(&public);
        assert!(record.starts_with("v=DKIM1; k=rsa; p=MIIBIjAN"), "{record}");
        assert_eq!(key_of(&record).map(|key| STANDARD.decode(key).expect("base64")), Some(public));
    }

    #[test]
    fn records_that_show_no_rsa_key_have_none() {
        for (text, key) in [
            ("p=AB CD", Some("ABCD")),
            ("v=DKIM1;p=AB;t=s", Some("AB")),
            ("v=DKIM1; k=rsa; p=", Some("")),
            ("v=DKIM1; k=ed25519; p=AB", None),
            ("v=DKIM2; p=AB", None),
            ("hello", None),
        ] {
            assert_eq!(key_of(text).as_deref(), key, "{text}");
        }
    }

    #[test]
    fn selectors_go_up() {
        let key = |selector: &str| ShownKey {
            selector: selector.to_owned(),
            public_spki: Vec::new(),
            stage: Stage::Ended,
            age_days: 0.0,
        };
        assert_eq!(next_selector(&[]), "postern1");
        assert_eq!(next_selector(&[key("postern9"), key("postern10"), key("other77")]), "postern11");
    }
}
