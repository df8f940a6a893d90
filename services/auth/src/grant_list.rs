//! The operator's view of grants: which live, and ending them.

use std::str::FromStr;

use postern_mail::{ClientKey, PeerIp, canonical_login};
use postern_mesh::{
    clock::unix_millis,
    directory::Directory,
    identity::{Caller, Role},
};
use postern_proto::{
    auth::v1::{Grant, Revocation},
    google::Timestamp,
};
use thiserror::Error;
use tonic::Status;

use crate::{
    grant::GrantEntry,
    grpc::NO_LOGIN,
    redis_store::{RedisStore, StoreError},
    revocation::Revocations,
};

/// Grants of one page unless asked for, and at most.
const PAGE_SIZE: usize = 100;
const PAGE_SIZE_MAX: usize = 1000;
/// Steps of a walk over Redis for one page; after that a shorter page is answered.
const STEPS_MAX: usize = 50;

/// Why there is no list or nothing was ended.
#[derive(Debug, Error)]
pub(crate) enum GrantListError {
    #[error("{field}: {why}")]
    BadRequest { field: &'static str, why: &'static str },
    #[error("there is no login {0:?}")]
    NoSuchLogin(String),
    #[error("directory: {}", .0.message())]
    Directory(#[source] Box<Status>),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which grants are meant; absent: any.
#[derive(Debug)]
pub(crate) struct GrantFilter {
    pub(crate) mailbox_id: Option<i64>,
    pub(crate) client: Option<String>,
    /// Only what this customer's mailboxes won.
    pub(crate) owner: Option<String>,
}

/// Where a walk over all grants goes on: a step of Redis, and how many grants of it were shown already. Grants that
/// live all the while are shown at least once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct PageToken {
    cursor: u64,
    shown: usize,
}

impl FromStr for PageToken {
    type Err = GrantListError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let bad = GrantListError::BadRequest { field: "page_token", why: "not one that was given out" };
        let parsed = text.split_once('.').and_then(|(cursor, shown)| {
            Some(Self { cursor: cursor.parse().ok()?, shown: shown.parse().ok()? })
        });
        parsed.ok_or(bad)
    }
}

/// Lists and ends grants.
pub(crate) struct GrantList {
    pub(crate) directory: Directory,
    pub(crate) store: RedisStore,
    pub(crate) revocations: Revocations,
}

impl GrantList {
    /// Turns the fields of a request, empty for "any", into a filter.
    /// Who is bound to a customer or mailbox sees what is theirs, whatever is asked for; others' logins do not exist for them.
    pub(crate) async fn filter(
        &self,
        caller: &Caller,
        login: &str,
        peer_ip: &str,
    ) -> Result<GrantFilter, GrantListError> {
        let mailbox_id = match (login.is_empty(), caller.role) {
            (true, Role::Mailbox) => Some(caller.mailbox_id),
            (true, _) => None,
            (false, _) => Some(self.mailbox_of(caller, login).await?),
        };
        let owner = if caller.is_staff() { None } else { Some(caller.customer.clone()) };
        let client = if peer_ip.is_empty() { None } else { Some(client_of(peer_ip)?.to_string()) };
        Ok(GrantFilter { mailbox_id, client, owner })
    }

    async fn mailbox_of(&self, caller: &Caller, login: &str) -> Result<i64, GrantListError> {
        let malformed = GrantListError::BadRequest { field: "login", why: NO_LOGIN };
        let canonical = canonical_login(login).ok_or(malformed)?;
        let unknown = || GrantListError::NoSuchLogin(login.to_owned());
        let found = self.directory.login(&canonical).await;
        let identity = found.map_err(|status| GrantListError::Directory(Box::new(status)))?;
        let own =
            identity.filter(|identity| caller.may_act_for_mailbox(&identity.customer, identity.mailbox_id));
        own.map(|identity| identity.mailbox_id).ok_or_else(unknown)
    }

    /// One page, and the token of the next one (empty: there is none). `page_size` 0 means 100.
    pub(crate) async fn page(
        &self,
        filter: &GrantFilter,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<Grant>, String), GrantListError> {
        let size = page_size_of(page_size)?;
        let token: PageToken = page_token.parse()?;
        if filter.mailbox_id.is_none() && filter.client.is_none() {
            return self.page_of_all(filter, size, token).await;
        }
        let grants = self.filtered(filter).await?;
        let next = token.shown.saturating_add(size);
        let more = if next < grants.len() { format!("0.{next}") } else { String::new() };
        Ok((grants.into_iter().skip(token.shown).take(size).collect(), more))
    }

    async fn filtered(&self, filter: &GrantFilter) -> Result<Vec<Grant>, GrantListError> {
        let now = unix_millis();
        let found: Vec<Grant> = match (filter.mailbox_id, &filter.client) {
            (None, Some(client)) => self.live_at(client, filter).await?,
            (Some(mailbox_id), client) => {
                let clients = match client {
                    Some(client) => vec![client.clone()],
                    None => self.store.clients_of(mailbox_id).await?,
                };
                let (redis_now, grants) = self.store.grants_of(mailbox_id, &clients).await?;
                let live = grants.into_iter().filter(|(_, entry)| entry.holds(now, redis_now));
                live.map(|(client, entry)| shown(&client, entry)).collect()
            }
            (None, None) => Vec::new(),
        };
        Ok(found)
    }

    async fn page_of_all(
        &self,
        filter: &GrantFilter,
        size: usize,
        mut token: PageToken,
    ) -> Result<(Vec<Grant>, String), GrantListError> {
        let mut page = Vec::new();
        for _ in 0..STEPS_MAX {
            let (next, mut clients) = self.store.scan_clients(token.cursor).await?;
            clients.sort_unstable();
            let mut seen = 0;
            for client in clients {
                for grant in self.live_at(&client, filter).await? {
                    seen += 1;
                    if seen <= token.shown {
                        continue;
                    }
                    if page.len() == size {
                        return Ok((page, format!("{}.{}", token.cursor, seen - 1)));
                    }
                    page.push(grant);
                }
            }
            if next == 0 {
                return Ok((page, String::new()));
            }
            token = PageToken { cursor: next, shown: 0 };
        }
        Ok((page, format!("{}.0", token.cursor)))
    }

    async fn live_at(&self, client: &str, filter: &GrantFilter) -> Result<Vec<Grant>, GrantListError> {
        let found = self.store.grants_at(client).await?;
        let now = unix_millis();
        let mut live = Vec::new();
        for entry in found.entries.into_iter().filter(|entry| entry.holds(now, found.redis_now)) {
            if self.is_of(&filter.owner, entry.mailbox_id).await? {
                live.push(entry);
            }
        }
        live.sort_unstable_by_key(|entry| entry.mailbox_id);
        Ok(live.into_iter().map(|entry| shown(client, entry)).collect())
    }

    /// True when this mailbox belongs to the customer, if one is meant.
    async fn is_of(&self, owner: &Option<String>, mailbox_id: i64) -> Result<bool, GrantListError> {
        let Some(owner) = owner else { return Ok(true) };
        let found = self.directory.mailbox(mailbox_id).await;
        let mailbox = found.map_err(|status| GrantListError::Directory(Box::new(status)))?;
        Ok(mailbox.is_some_and(|mailbox| &mailbox.customer == owner))
    }

    /// At one client, what a customer's own mailboxes won there, one after the other.
    async fn revoke_own_at(&self, client: &str, filter: &GrantFilter) -> Result<u32, GrantListError> {
        let mut revoked = 0;
        for grant in self.live_at(client, filter).await? {
            revoked += self.store.revoke_of(grant.mailbox_id, &[client.to_owned()]).await?;
            let revocation = Revocation { client: client.to_owned(), mailbox_id: grant.mailbox_id };
            self.revocations.announce(revocation).await?;
        }
        Ok(revoked)
    }

    /// Ends the grants now and tells the gateways of all replicas; how many there were.
    pub(crate) async fn revoke(&self, filter: &GrantFilter) -> Result<u32, GrantListError> {
        let revoked = match (filter.mailbox_id, &filter.client) {
            (None, None) => {
                let why = "name a login, a client address, or both";
                return Err(GrantListError::BadRequest { field: "login", why });
            }
            (None, Some(client)) if filter.owner.is_some() => {
                return self.revoke_own_at(client, filter).await;
            }
            (None, Some(client)) => self.store.revoke_at(client).await?,
            (Some(mailbox_id), Some(client)) => {
                self.store.revoke_of(mailbox_id, std::slice::from_ref(client)).await?
            }
            (Some(mailbox_id), None) => {
                let clients = self.store.clients_of(mailbox_id).await?;
                self.store.revoke_of(mailbox_id, &clients).await?
            }
        };
        let revocation = Revocation {
            client: filter.client.clone().unwrap_or_default(),
            mailbox_id: filter.mailbox_id.unwrap_or(0),
        };
        self.revocations.announce(revocation).await?;
        Ok(revoked)
    }
}

/// A client address as typed, or the form in which grants are listed (`2001:db8::/64`).
fn client_of(text: &str) -> Result<ClientKey, GrantListError> {
    let address = text.strip_suffix("/64").unwrap_or(text);
    let peer: PeerIp = address
        .parse()
        .map_err(|_| GrantListError::BadRequest { field: "peer_ip", why: "not an IP address" })?;
    Ok(peer.client_key())
}

fn page_size_of(asked: i32) -> Result<usize, GrantListError> {
    match usize::try_from(asked) {
        Ok(0) => Ok(PAGE_SIZE),
        Ok(size) if size <= PAGE_SIZE_MAX => Ok(size),
        _ => Err(GrantListError::BadRequest { field: "page_size", why: "1 to 1000, or 0 for 100" }),
    }
}

fn shown(client: &str, entry: GrantEntry) -> Grant {
    let time = |millis: i64| {
        let nanos = i32::try_from(millis.rem_euclid(1000) * 1_000_000).unwrap_or(0);
        Some(Timestamp { seconds: millis.div_euclid(1000), nanos })
    };
    Grant {
        client: client.to_owned(),
        mailbox_id: entry.mailbox_id,
        issue_time: time(entry.issued_at),
        expire_time: time(entry.expires_at()),
        login: entry.login,
        domain: entry.domain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_tokens_read_back_and_junk_is_refused() {
        assert_eq!("".parse::<PageToken>().unwrap(), PageToken::default());
        assert_eq!("17.3".parse::<PageToken>().unwrap(), PageToken { cursor: 17, shown: 3 });
        for bad in ["x", "1", "1.", ".1", "-1.0", "1.2.3"] {
            assert!(bad.parse::<PageToken>().is_err(), "{bad}");
        }
        assert_eq!(page_size_of(0).unwrap(), 100);
        assert_eq!(page_size_of(1000).unwrap(), 1000);
        assert!(page_size_of(1001).is_err() && page_size_of(-1).is_err());
    }

    #[test]
    fn a_client_may_be_named_as_it_is_listed() {
        assert_eq!(client_of("2001:db8::/64").unwrap(), client_of("2001:db8::7").unwrap());
        assert_eq!(client_of("::ffff:203.0.113.9").unwrap().to_string(), "203.0.113.9");
        assert!(client_of("homepage").is_err());
    }
}
