//! Connections to all replicas behind a service's name: found by DNS, one HTTP/2 connection each, the least busy one
//! takes a call, one that failed rests while others stand.

mod member;

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{
        Arc, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use tokio::sync::watch;
use tonic::{Code, Status, body::Body};

use crate::{StartError, mesh_tls::ClientTls};
use member::{Failed, Member};

/// How often a name is looked up again, and how soon while it has no address.
const RESOLVE_EVERY: Duration = Duration::from_secs(3);
const RESOLVE_AGAIN: Duration = Duration::from_millis(250);
/// Replicas that one call tries before it gives up.
const ATTEMPTS_MAX: usize = 3;
/// Retries saved up at most, in tenths.
const BUDGET_MAX_TENTHS: i64 = 100;

/// One service, wherever its replicas are.
#[derive(Debug)]
pub(crate) struct Pool {
    /// For messages.
    url: String,
    targets: Vec<Target>,
    members: RwLock<Members>,
    /// Told after each look-up.
    looked_up: watch::Sender<()>,
    /// How replicas are met; `None`: without TLS.
    tls: Option<Arc<ClientTls>>,
    watching_names: AtomicBool,
    /// Each call saves a tenth of a retry.
    budget_tenths: AtomicI64,
}

#[derive(Debug)]
struct Target {
    host: String,
    port: u16,
}

/// All replicas known now.
type Members = Arc<[Arc<Member>]>;

impl Pool {
    /// Reads `http://host:port[,http://host:port...]`, `https://` with TLS; nothing is connected or looked up yet.
    pub(crate) fn new(url: &str, tls: Option<ClientTls>) -> Result<Arc<Self>, StartError> {
        let tls = tls.map(Arc::new);
        let mut targets = Vec::new();
        let mut members = Vec::new();
        for part in url.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let target = Target::parse(part, tls.is_some())?;
            match target.literal() {
                Some(address) => members.push(Arc::new(Member::new(address, tls.clone())?)),
                None => targets.push(target),
            }
        }
        if targets.is_empty() && members.is_empty() {
            return Err(StartError::setting("POSTERN_..._URL", "is empty; http://host:port is needed"));
        }
        Ok(Arc::new(Self {
            url: url.to_owned(),
            targets,
            members: RwLock::new(members.into()),
            looked_up: watch::Sender::new(()),
            tls,
            watching_names: AtomicBool::new(false),
            budget_tenths: AtomicI64::new(BUDGET_MAX_TENTHS),
        }))
    }

    /// Sends a call whose body may be gone after one attempt: tried at another replica only if it was never sent.
    pub(crate) async fn send_once(
        self: &Arc<Self>,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, Status> {
        let members = self.members().await?;
        let mut tried = [None; ATTEMPTS_MAX];
        let mut last = None;
        for attempt in 0..ATTEMPTS_MAX {
            let Some(member) = pick(&members, &tried) else { break };
            tried[attempt] = Some(member.address);
            match member.send(request).await {
                Ok(response) => return Ok(response),
                Err(Failed { status, unsent: Some(unsent) }) => {
                    last = Some(status);
                    request = *unsent;
                }
                Err(Failed { status, unsent: None }) => return Err(status),
            }
        }
        Err(last.unwrap_or_else(|| Status::unavailable(format!("no replica behind {}", self.url))))
    }

    /// Sends a call that may be asked twice: once more when a replica is away, while the budget lasts.
    pub(crate) async fn send_read(
        self: &Arc<Self>,
        request: Request<Body>,
    ) -> Result<Response<Body>, Status> {
        let _ = self.budget_tenths.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tenths| {
            (tenths < BUDGET_MAX_TENTHS).then_some(tenths + 1)
        });
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let again = || Request::from_parts(parts.clone(), Body::new(Full::<Bytes>::new(body.clone())));
        let first = self.send_once(again()).await;
        let away = match &first {
            Ok(response) => {
                Status::from_header_map(response.headers()).is_some_and(|s| s.code() == Code::Unavailable)
            }
            Err(status) => status.code() == Code::Unavailable,
        };
        if away && self.take_retry() { self.send_once(again()).await } else { first }
    }

    fn take_retry(&self) -> bool {
        self.budget_tenths
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tenths| {
                (tenths >= 10).then_some(tenths - 10)
            })
            .is_ok()
    }

    async fn members(self: &Arc<Self>) -> Result<Members, Status> {
        if !self.targets.is_empty() && !self.watching_names.swap(true, Ordering::Relaxed) {
            tokio::spawn(watch_names(Arc::downgrade(self)));
        }
        // Only the watch looks names up: calls that give up at their deadline leave no look-up behind.
        let mut looked_up = self.looked_up.subscribe();
        let known = self.known();
        if !known.is_empty() {
            return Ok(known);
        }
        let _ = looked_up.changed().await;
        let known = self.known();
        if known.is_empty() {
            return Err(Status::unavailable(format!("{}: the name has no address", self.url)));
        }
        Ok(known)
    }

    fn known(&self) -> Members {
        Arc::clone(&self.members.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the addresses that the names have now; while one cannot be looked up, those known before stay.
    async fn resolve(&self) {
        let mut now = HashSet::new();
        let mut complete = true;
        for target in &self.targets {
            match tokio::net::lookup_host((target.host.as_str(), target.port)).await {
                Ok(addresses) => now.extend(addresses),
                Err(error) => {
                    tracing::warn!(host = target.host, %error, "name cannot be looked up");
                    complete = false;
                }
            }
        }
        let known = self.known();
        let stay = |address: &SocketAddr| !complete || self.is_literal(*address);
        now.extend(known.iter().map(|member| member.address).filter(stay));
        if known.len() == now.len() && known.iter().all(|member| now.contains(&member.address)) {
            return;
        }
        let mut members: Vec<_> =
            known.iter().filter(|member| now.remove(&member.address)).map(Arc::clone).collect();
        let member = |address| Member::new(address, self.tls.clone()).ok().map(Arc::new);
        members.extend(now.into_iter().filter_map(member));
        *self.members.write().unwrap_or_else(PoisonError::into_inner) = members.into();
    }

    fn is_literal(&self, address: SocketAddr) -> bool {
        self.url
            .split(',')
            .filter_map(|part| Target::parse(part.trim(), self.tls.is_some()).ok()?.literal())
            .any(|a| a == address)
    }
}

async fn watch_names(pool: Weak<Pool>) {
    loop {
        let Some(pool) = pool.upgrade() else { return };
        pool.resolve().await;
        pool.looked_up.send_replace(());
        let pause = if pool.known().is_empty() { RESOLVE_AGAIN } else { RESOLVE_EVERY };
        drop(pool);
        tokio::time::sleep(pause).await;
    }
}

/// The least busy replica that was not tried yet, from a random one on; one that rests only when nothing else is left.
fn pick<'a>(members: &'a [Arc<Member>], tried: &[Option<SocketAddr>]) -> Option<&'a Arc<Member>> {
    let start = if members.len() > 1 { rand::random_range(0..members.len()) } else { 0 };
    let (before, from) = members.split_at(start);
    from.iter()
        .chain(before)
        .filter(|member| !tried.contains(&Some(member.address)))
        .min_by_key(|member| (member.rests(), member.busy()))
}

impl Target {
    fn parse(url: &str, tls: bool) -> Result<Self, StartError> {
        let wrong = |why: &str| StartError::setting("POSTERN_..._URL", format!("{url:?}: {why}"));
        let uri: Uri = url.parse().map_err(|_| wrong("is no URL; http://host:port is needed"))?;
        match (uri.scheme_str(), tls) {
            (Some("http"), false) | (Some("https"), true) => {}
            (_, false) => return Err(wrong("must begin with http:// (https:// needs POSTERN_MESH_TLS_CA)")),
            (_, true) => return Err(wrong("must begin with https://, for POSTERN_MESH_TLS_CA is set")),
        }
        let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else {
            return Err(wrong("names no host and port; http://host:port is needed"));
        };
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return Err(wrong("has a path; http://host:port is needed"));
        }
        Ok(Self { host: host.trim_start_matches('[').trim_end_matches(']').to_owned(), port })
    }

    fn literal(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.host.parse().ok()?, self.port))
    }
}
