//! `LockService`: who holds a box, translated to `lock`.

use postern_mail::Reason;
use postern_mesh::{
    audit::{Action, Thing},
    failure,
    identity::Caller,
    opened,
};
use postern_proto::{
    delivery::v1::{
        GetLockRequest, GetLockResponse, ListLocksRequest, ListLocksResponse, Lock, ReleaseLockRequest,
        ReleaseLockResponse, lock_service_server::LockService,
    },
    google::Timestamp,
};
use tonic::{Request, Response, Status};

use super::rights::{Deed, Rights};
use crate::lock::{HeldLock, LockError, Locks};

const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1000;

/// The door.
pub(crate) struct LockDoor {
    locks: Locks,
    rights: Rights,
}

impl LockDoor {
    pub(crate) fn new(locks: Locks, rights: Rights) -> Self {
        Self { locks, rights }
    }

    /// Up to `limit` locks of boxes that are the caller's, above `after`; and the box to go on after, if there are more.
    async fn own_locks(
        &self,
        caller: &Caller,
        mut after: i64,
        limit: usize,
    ) -> Result<(Vec<HeldLock>, Option<i64>), Status> {
        if caller.is_staff() {
            return self.locks.list(after, limit).await.map_err(away);
        }
        let mut own = Vec::new();
        loop {
            let (held, more) = self.locks.list(after, PAGE_MAX).await.map_err(away)?;
            for lock in held {
                if !self.rights.is_own(caller, lock.mailbox_id).await? {
                    continue;
                }
                if own.len() == limit {
                    let last = own.last().map(|lock: &HeldLock| lock.mailbox_id);
                    return Ok((own, last));
                }
                own.push(lock);
            }
            match more {
                Some(last) => after = last,
                None => return Ok((own, None)),
            }
        }
    }
}

#[tonic::async_trait]
impl LockService for LockDoor {
    async fn get_lock(&self, request: Request<GetLockRequest>) -> Result<Response<GetLockResponse>, Status> {
        let (caller, GetLockRequest { mailbox_id }) = opened(request)?;
        self.rights.may_touch_box(&caller, mailbox_id, || free(mailbox_id)).await?;
        let held = self.locks.get(mailbox_id).await.map_err(away)?.ok_or_else(|| free(mailbox_id))?;
        Ok(Response::new(GetLockResponse { lock: Some(lock(held)) }))
    }

    async fn list_locks(
        &self,
        request: Request<ListLocksRequest>,
    ) -> Result<Response<ListLocksResponse>, Status> {
        let (caller, ListLocksRequest { page_size, page_token }) = opened(request)?;
        let limit = match usize::try_from(page_size) {
            Ok(0) => PAGE_DEFAULT,
            Ok(size) if size <= PAGE_MAX => size,
            _ => {
                return Err(failure::status_with(
                    Reason::InvalidArgument,
                    format!("page_size: 0 to {PAGE_MAX}"),
                ));
            }
        };
        let after = if page_token.is_empty() { Ok(i64::MIN) } else { page_token.parse() };
        let after = after
            .map_err(|_| failure::status_with(Reason::InvalidArgument, "page_token: not one of ours"))?;
        let (held, last) = self.own_locks(&caller, after, limit).await?;
        let next_page_token = last.map(|id| id.to_string()).unwrap_or_default();
        Ok(Response::new(ListLocksResponse { locks: held.into_iter().map(lock).collect(), next_page_token }))
    }

    async fn release_lock(
        &self,
        request: Request<ReleaseLockRequest>,
    ) -> Result<Response<ReleaseLockResponse>, Status> {
        let (caller, ReleaseLockRequest { mailbox_id }) = opened(request)?;
        self.rights.may_touch_box(&caller, mailbox_id, || free(mailbox_id)).await?;
        let held =
            self.locks.force_release(mailbox_id).await.map_err(away)?.ok_or_else(|| free(mailbox_id))?;
        tracing::info!(mailbox_id, session_id = held.holder.session_id, "a lock was taken from its holder");
        let lock = lock(held);
        let before_json = serde_json::to_string(&lock).unwrap_or_default();
        let (kind, action, after_json) = (Thing::Lock, Action::Release, String::new());
        let deed = Deed { mailbox_id, kind, action, before_json, after_json };
        self.rights.record(&caller, deed).await;
        Ok(Response::new(ReleaseLockResponse { lock: Some(lock) }))
    }
}

fn lock(held: HeldLock) -> Lock {
    let micros = held.since_micros;
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1000).unwrap_or(0);
    Lock {
        mailbox_id: held.mailbox_id,
        peer_ip: held.holder.peer_ip,
        gateway: held.holder.gateway,
        session_id: held.holder.session_id,
        since_time: Some(Timestamp { seconds: micros.div_euclid(1_000_000), nanos }),
        lock_token: held.token,
        remaining_seconds: held.remaining_seconds,
    }
}

fn free(mailbox_id: i64) -> Status {
    failure::status_with(Reason::NotFound, format!("nobody holds box {mailbox_id}"))
}

fn away(error: LockError) -> Status {
    tracing::warn!(%error, "locks are not to be had now");
    failure::status_with(Reason::Unavailable, error.to_string())
}
