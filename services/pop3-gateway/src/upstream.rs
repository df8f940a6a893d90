//! Questions to auth and delivery, and their answers as words of the session. Last step of the walk.
//!
//! Every call has a deadline. What was not typed by the domain is temporary (R0): `failure::reason_of` sees to that.

use std::{collections::HashMap, fmt, time::Duration};

use postern_mail::{PeerIp, Reason, sasl::Credentials};
use postern_mesh::{client::MeshChannel, failure, held_back::HeldBack, shutdown::Shutdown};
use postern_proto::{
    auth::v1::{AuthenticateRequest, Protocol, login_service_client::LoginServiceClient},
    delivery::v1::{
        CloseMaildropRequest, CloseMaildropResponse, HeldLock, OpenMaildropRequest, OpenMaildropResponse,
        ReadMessagesRequest, ReadMessagesResponse, RenewMaildropsRequest,
        maildrop_service_client::MaildropServiceClient,
    },
};
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    lock_guard::LockGuard,
    maildrop::Maildrop,
    session::{Denial, Identity, MaildropLock, Opened},
};

/// A password check may wait for its turn to hash; with the box it must be answered within 5 s (fault matrix).
const AUTHENTICATE_TIMEOUT: Duration = Duration::from_secs(4);
/// Pause between two chunks of a snapshot.
const SNAPSHOT_STALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Deletes of a large box.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);
/// Unlocking alone.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(3);

/// The channels that a gateway needs.
#[derive(Clone, Debug)]
pub struct Upstreams {
    /// To auth.
    pub auth: MeshChannel,
    /// To delivery.
    pub delivery: MeshChannel,
}

/// Who gives a password, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) peer: PeerIp,
    pub(crate) session_id: &'a str,
    /// Others can read it on its way: the domain of the login decides.
    pub(crate) clear_text: bool,
}

/// Clients of auth and delivery.
#[derive(Clone)]
pub(crate) struct Upstream {
    login: LoginServiceClient<MeshChannel>,
    maildrop: MaildropServiceClient<MeshChannel>,
    gateway: String,
    login_delay_seconds: i32,
    held_back: HeldBack,
}

impl Upstream {
    /// Over these channels, in the name of this replica. A box is left alone for so many seconds after it was opened; 0: it is not.
    #[must_use]
    pub(crate) fn new(
        upstreams: Upstreams,
        gateway: String,
        login_delay_seconds: u32,
        shutdown: &Shutdown,
    ) -> Self {
        Self {
            login: LoginServiceClient::new(upstreams.auth),
            maildrop: MaildropServiceClient::new(upstreams.delivery),
            gateway,
            login_delay_seconds: login_delay_seconds.cast_signed(),
            held_back: HeldBack::new(shutdown),
        }
    }

    /// Checks a password; a good one writes the relay grant of the peer.
    ///
    /// # Errors
    /// [`Reason::BadCredentials`] is the only "no"; [`Reason::EncryptionRequired`] asks for TLS first.
    pub(crate) async fn authenticate(
        &self,
        credentials: Credentials,
        asker: Asker<'_>,
    ) -> Result<Identity, Reason> {
        let mut request = Request::new(AuthenticateRequest {
            login: credentials.login,
            password: credentials.password.0,
            protocol: Protocol::Pop3.into(),
            peer_ip: asker.peer.to_string(),
            session_id: asker.session_id.to_owned(),
            clear_text: asker.clear_text,
        });
        request.set_timeout(AUTHENTICATE_TIMEOUT);
        match self.login.clone().authenticate(request).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                Ok(Identity { login: answer.login, mailbox_id: answer.mailbox_id })
            }
            Err(status) => {
                failed("authenticate", asker.session_id, &status);
                Err(self.held_back.reason_of(&status).await)
            }
        }
    }

    /// Locks the box and reads its snapshot, with the sizes of what a client gets that takes UTF-8 in headers, or does not.
    /// Asked once more when the replica that was asked is away: it may have locked the box before.
    ///
    /// # Errors
    /// [`Reason::MailboxInUse`] and [`Reason::LoginTooSoon`] with their details, [`Reason::MailboxRemoved`], or temporary.
    pub(crate) async fn open(
        &self,
        mailbox_id: i64,
        peer: PeerIp,
        session_id: &str,
        utf8: bool,
    ) -> Result<(Opened, LockGuard), Denial> {
        let request = OpenMaildropRequest {
            mailbox_id,
            peer_ip: peer.to_string(),
            gateway: self.gateway.clone(),
            session_id: session_id.to_owned(),
            utf8,
            again: false,
            login_delay_seconds: self.login_delay_seconds,
        };
        let mut guard = None;
        let mut opened = self.open_once(request.clone(), &mut guard).await;
        if opened.as_ref().is_err_and(failure::is_away) {
            opened = self.open_once(OpenMaildropRequest { again: true, ..request }, &mut guard).await;
        }
        let opened = opened.and_then(|(generation, maildrop)| {
            let guard = guard.take().ok_or_else(|| Status::internal("a snapshot without its header"))?;
            Ok((Opened { lock_token: guard.lock().token, generation, maildrop }, guard))
        });
        if let Some(guard) = guard {
            // The lock was taken already: it must not outlive the failed login.
            guard.release(Vec::new()).await;
        }
        opened.map_err(|status| denial(session_id, &status))
    }

    /// Guards the lock as soon as it is ours.
    async fn open_once(
        &self,
        request: OpenMaildropRequest,
        guard: &mut Option<LockGuard>,
    ) -> Result<(u32, Maildrop), Status> {
        let mailbox_id = request.mailbox_id;
        let chunks = self.maildrop.clone().open_maildrop(request).await?.into_inner();
        read_snapshot(chunks, |token| {
            let ours = LockGuard::new(MaildropLock { mailbox_id, token }, self.clone());
            if let Some(before) = guard.replace(ours) {
                // The second call took it over.
                before.ended();
            }
        })
        .await
    }

    /// Renews locks; returns those that are lost.
    ///
    /// # Errors
    /// When delivery or its lock store is away.
    pub(crate) async fn renew(&self, locks: &[MaildropLock]) -> Result<Vec<MaildropLock>, Status> {
        let locks = locks
            .iter()
            .map(|lock| HeldLock { mailbox_id: lock.mailbox_id, lock_token: lock.token })
            .collect();
        let answer = self.maildrop.clone().renew_maildrops(RenewMaildropsRequest { locks }).await?;
        let lost = answer.into_inner().lost.into_iter();
        Ok(lost.map(|lock| MaildropLock { mailbox_id: lock.mailbox_id, token: lock.lock_token }).collect())
    }

    /// Streams messages in the order asked for.
    ///
    /// # Errors
    /// When the stream cannot begin.
    pub(crate) async fn read(
        &self,
        mailbox_id: i64,
        uids: Vec<u64>,
        session_id: &str,
        utf8: bool,
    ) -> Result<Streaming<ReadMessagesResponse>, Reason> {
        match self.maildrop.clone().read_messages(ReadMessagesRequest { mailbox_id, uids, utf8 }).await {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) => Err(failed("read", session_id, &status)),
        }
    }

    /// Deletes, then unlocks. Returns how many messages were removed.
    ///
    /// # Errors
    /// [`Reason::LockLost`], [`Reason::MailboxRemoved`], or temporary.
    pub(crate) async fn close(
        &self,
        lock: MaildropLock,
        deleted_uids: Vec<u64>,
        retrieved_uids: Vec<u64>,
        session_id: &str,
    ) -> Result<u32, Reason> {
        match self.close_maildrop(lock, deleted_uids, retrieved_uids).await {
            Ok(answer) => Ok(u32::try_from(answer.deleted_count).unwrap_or(0)),
            Err(status) => Err(failed("close", session_id, &status)),
        }
    }

    /// Unlocks without deletes. If that fails, the lock frees itself in 60 s.
    pub(crate) async fn release(&self, lock: MaildropLock, retrieved_uids: Vec<u64>) {
        if let Err(status) = self.close_maildrop(lock, Vec::new(), retrieved_uids).await {
            tracing::debug!(mailbox_id = lock.mailbox_id, %status, "lock is left to free itself");
        }
    }

    /// Asked once more when the replica that was asked is away. When that one had done it, what was deleted is gone and the lock
    /// is free: "lost" is no answer then, for nobody knows.
    async fn close_maildrop(
        &self,
        lock: MaildropLock,
        deleted_uids: Vec<u64>,
        retrieved_uids: Vec<u64>,
    ) -> Result<CloseMaildropResponse, Status> {
        let limit = if deleted_uids.is_empty() { RELEASE_TIMEOUT } else { CLOSE_TIMEOUT };
        let closing = CloseMaildropRequest {
            mailbox_id: lock.mailbox_id,
            lock_token: lock.token,
            deleted_uids,
            retrieved_uids,
        };
        let ask = async |closing| {
            let mut request = Request::new(closing);
            request.set_timeout(limit);
            self.maildrop.clone().close_maildrop(request).await.map(Response::into_inner)
        };
        match ask(closing.clone()).await {
            Err(status) if failure::is_away(&status) => ask(closing).await.map_err(|second| {
                if failure::reason_of(&second) == Reason::LockLost { status } else { second }
            }),
            answer => answer,
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

/// To its last page; `locked` hears the token of the lock with the first one.
async fn read_snapshot(
    mut chunks: Streaming<OpenMaildropResponse>,
    mut locked: impl FnMut(i64),
) -> Result<(u32, Maildrop), Status> {
    let mut generation = 0;
    let mut maildrop = Maildrop::default();
    loop {
        let chunk = timeout(SNAPSHOT_STALL_TIMEOUT, chunks.message())
            .await
            .map_err(|_| Status::deadline_exceeded("the snapshot stalled"))??;
        let Some(chunk) = chunk else { break };
        if let Some(header) = chunk.header {
            locked(header.lock_token);
            generation = header.generation;
        }
        maildrop
            .extend(&chunk.uid_deltas, &chunk.sizes_bytes)
            .map_err(|e| Status::internal(e.to_string()))?;
    }
    maildrop.seal();
    Ok((generation, maildrop))
}

/// The reason of a failed call; what is not an answer of the domain is logged here, once.
fn failed(call: &'static str, session_id: &str, status: &Status) -> Reason {
    let reason = failure::reason_of(status);
    if matches!(reason, Reason::Unavailable | Reason::Misconfigured | Reason::InsufficientStorage) {
        tracing::warn!(session_id, call, %status, "upstream failed");
    }
    reason
}

fn denial(session_id: &str, status: &Status) -> Denial {
    let reason = failed("open", session_id, status);
    let metadata = failure::metadata_of(status);
    let detail = match reason {
        Reason::MailboxInUse => Some(in_use(&metadata)),
        Reason::LoginTooSoon => {
            let seconds = metadata.get("seconds").and_then(|text| text.parse().ok());
            seconds.map(Reason::login_again_in)
        }
        _ => None,
    };
    Denial { reason, detail }
}

/// Since when and from where. What the metadata does not say, or says in a wrong form, is left out.
fn in_use(metadata: &HashMap<String, String>) -> String {
    let since = metadata.get("since").and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let peer = metadata.get("peer_ip").and_then(|text| text.parse::<PeerIp>().ok());
    Reason::held_since(since.map(jiff::Timestamp::as_second), peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_40_who_holds_the_box() {
        let metadata =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(
            in_use(&metadata(&[("since", "2026-11-23T12:03:44.5Z"), ("peer_ip", "::ffff:203.0.113.9")])),
            "in use since 12:03 from 203.0.113.9; it frees itself within 60 s of that session ending"
        );
        assert_eq!(
            in_use(&metadata(&[("since", "2026-11-23T13:03:44+01:00"), ("peer_ip", "x\r\n+OK")])),
            "in use since 12:03; it frees itself within 60 s of that session ending"
        );
        assert_eq!(in_use(&HashMap::new()), "in use; it frees itself within 60 s of that session ending");
    }
}
