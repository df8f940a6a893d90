//! Auth and delivery as small plays: one login, one box.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use postern_mail::Reason;
use postern_mesh::failure;
use postern_proto::{
    auth::v1::{
        AuthenticateRequest, AuthenticateResponse, ExchangeTokenRequest, ExchangeTokenResponse,
        GetLoginHistoryRequest, GetLoginHistoryResponse,
        login_service_server::{LoginService, LoginServiceServer},
    },
    delivery::v1::{
        CloseMaildropRequest, CloseMaildropResponse, HeldLock, MaildropHeader, MessageEnd, MessageFailure,
        OpenMaildropRequest, OpenMaildropResponse, ReadMessagesRequest, ReadMessagesResponse,
        RenewMaildropsRequest, RenewMaildropsResponse,
        maildrop_service_server::{MaildropService, MaildropServiceServer},
        read_messages_response::Frame,
    },
};
use tonic::{Request, Response, Status, service::Routes};

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[derive(Clone, Default)]
pub(super) struct Auth {
    pub(super) away: Arc<AtomicBool>,
}

impl Auth {
    pub(super) fn routes(&self) -> Routes {
        Routes::new(LoginServiceServer::new(self.clone()))
    }
}

#[tonic::async_trait]
impl LoginService for Auth {
    async fn authenticate(
        &self,
        request: Request<AuthenticateRequest>,
    ) -> Result<Response<AuthenticateResponse>, Status> {
        if self.away.load(Ordering::Relaxed) {
            return Err(Status::unavailable("away"));
        }
        let request = request.into_inner();
        if &request.password[..] != b"secret" {
            return Err(failure::status(Reason::BadCredentials));
        }
        Ok(Response::new(AuthenticateResponse { mailbox_id: 7, login: request.login, ..Default::default() }))
    }

    async fn exchange_token(
        &self,
        _request: Request<ExchangeTokenRequest>,
    ) -> Result<Response<ExchangeTokenResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn get_login_history(
        &self,
        _request: Request<GetLoginHistoryRequest>,
    ) -> Result<Response<GetLoginHistoryResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

#[derive(Default)]
struct Store {
    messages: Vec<(u64, Bytes)>,
    /// Uid, and after how many octets the damage shows.
    damaged: HashMap<u64, usize>,
    lock: Option<i64>,
    last_token: i64,
    reads: Vec<Vec<u64>>,
    /// Of each question: whether UTF-8 was asked for.
    utf8: Vec<bool>,
    retrieved: Vec<u64>,
}

#[derive(Clone, Default)]
pub(super) struct Delivery {
    store: Arc<Mutex<Store>>,
    pub(super) away: Arc<AtomicBool>,
    /// Octets of content that were handed out.
    pub(super) produced: Arc<AtomicU64>,
    pub(super) renewals: Arc<AtomicU64>,
    /// Listings stand still behind their first page.
    pub(super) stalls: Arc<AtomicBool>,
}

impl Delivery {
    pub(super) fn with(messages: Vec<Vec<u8>>) -> Self {
        let delivery = Self::default();
        let uids = (1..).map(|n| n * 10);
        delivery.store.lock().unwrap().messages = uids.zip(messages.into_iter().map(Bytes::from)).collect();
        delivery
    }

    pub(super) fn routes(&self) -> Routes {
        Routes::new(MaildropServiceServer::new(self.clone()))
    }

    pub(super) fn uids(&self) -> Vec<u64> {
        self.store.lock().unwrap().messages.iter().map(|(uid, _)| *uid).collect()
    }

    pub(super) fn is_locked(&self) -> bool {
        self.store.lock().unwrap().lock.is_some()
    }

    pub(super) fn reads(&self) -> Vec<Vec<u64>> {
        self.store.lock().unwrap().reads.clone()
    }

    /// Whether UTF-8 was asked for, in the order of the questions.
    pub(super) fn asked_for_utf8(&self) -> Vec<bool> {
        self.store.lock().unwrap().utf8.clone()
    }

    /// What sessions told of when they closed.
    pub(super) fn retrieved(&self) -> Vec<u64> {
        self.store.lock().unwrap().retrieved.clone()
    }

    pub(super) fn damage(&self, uid: u64, after: usize) {
        self.store.lock().unwrap().damaged.insert(uid, after);
    }

    pub(super) fn take_lock_away(&self) {
        self.store.lock().unwrap().lock = None;
    }

    fn here(&self) -> Result<std::sync::MutexGuard<'_, Store>, Status> {
        if self.away.load(Ordering::Relaxed) {
            return Err(Status::unavailable("away"));
        }
        Ok(self.store.lock().unwrap())
    }
}

/// Frames of one message.
fn frames(content: Bytes, damaged_after: Option<usize>) -> Vec<Frame> {
    let failure = || Frame::Failure(MessageFailure { reason: Reason::MessageDamaged.name().to_owned() });
    if damaged_after == Some(0) {
        return vec![failure()];
    }
    let mut frames = vec![Frame::SizeBytes(content.len() as u64)];
    let good = content.slice(..damaged_after.unwrap_or(content.len()).min(content.len()));
    frames.extend(
        (0..good.len())
            .step_by(50_000)
            .map(|at| Frame::Content(good.slice(at..(at + 50_000).min(good.len())))),
    );
    frames.push(if damaged_after.is_some() { failure() } else { Frame::End(MessageEnd {}) });
    frames
}

#[tonic::async_trait]
impl MaildropService for Delivery {
    type OpenMaildropStream = Answers<OpenMaildropResponse>;
    type ReadMessagesStream = Answers<ReadMessagesResponse>;

    async fn open_maildrop(
        &self,
        request: Request<OpenMaildropRequest>,
    ) -> Result<Response<Self::OpenMaildropStream>, Status> {
        let mut store = self.here()?;
        store.utf8.push(request.into_inner().utf8);
        if store.lock.is_some() {
            let metadata = [("since", "2026-11-23T12:03:00Z"), ("peer_ip", "203.0.113.9")];
            let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
            return Err(failure::status_with_metadata(Reason::MailboxInUse, "in use", metadata));
        }
        store.last_token += 1;
        store.lock = Some(store.last_token);
        let header = Some(MaildropHeader { lock_token: store.last_token, generation: 5 });
        let mut answers = vec![Ok(OpenMaildropResponse { header, ..Default::default() })];
        let mut last = 0;
        for (uid, content) in &store.messages {
            let (uid_deltas, sizes_bytes) = (vec![uid - last], vec![content.len() as u64]);
            answers.push(Ok(OpenMaildropResponse { header: None, uid_deltas, sizes_bytes }));
            last = *uid;
        }
        if self.stalls.load(Ordering::Relaxed) {
            answers.truncate(1);
            return Ok(Response::new(stream::iter(answers).chain(stream::pending()).boxed()));
        }
        Ok(Response::new(stream::iter(answers).boxed()))
    }

    async fn renew_maildrops(
        &self,
        request: Request<RenewMaildropsRequest>,
    ) -> Result<Response<RenewMaildropsResponse>, Status> {
        let store = self.here()?;
        self.renewals.fetch_add(1, Ordering::Relaxed);
        let is_lost = |held: &HeldLock| store.lock != Some(held.lock_token);
        let lost = request.into_inner().locks.into_iter().filter(is_lost).collect();
        Ok(Response::new(RenewMaildropsResponse { lost }))
    }

    async fn read_messages(
        &self,
        request: Request<ReadMessagesRequest>,
    ) -> Result<Response<Self::ReadMessagesStream>, Status> {
        let mut store = self.here()?;
        let ReadMessagesRequest { uids, utf8, .. } = request.into_inner();
        store.utf8.push(utf8);
        let mut answers = Vec::new();
        for (index, uid) in uids.iter().enumerate() {
            let found =
                store.messages.iter().find(|(stored, _)| stored == uid).map(|(_, content)| content.clone());
            let frames = match found {
                Some(content) => frames(content, store.damaged.get(uid).copied()),
                None => {
                    vec![Frame::Failure(MessageFailure { reason: Reason::MessageGone.name().to_owned() })]
                }
            };
            let index = u32::try_from(index).unwrap();
            answers
                .extend(frames.into_iter().map(|frame| ReadMessagesResponse { index, frame: Some(frame) }));
        }
        store.reads.push(uids);
        let produced = Arc::clone(&self.produced);
        let counted = stream::iter(answers).map(move |answer| {
            if let Some(Frame::Content(octets)) = &answer.frame {
                produced.fetch_add(octets.len() as u64, Ordering::Relaxed);
            }
            Ok(answer)
        });
        Ok(Response::new(counted.boxed()))
    }

    async fn close_maildrop(
        &self,
        request: Request<CloseMaildropRequest>,
    ) -> Result<Response<CloseMaildropResponse>, Status> {
        let mut store = self.here()?;
        let request = request.into_inner();
        if store.lock != Some(request.lock_token) {
            return Err(failure::status(Reason::LockLost));
        }
        let before = store.messages.len();
        store.retrieved.extend(&request.retrieved_uids);
        store.messages.retain(|(uid, _)| !request.deleted_uids.contains(uid));
        store.lock = None;
        let deleted_count = i32::try_from(before - store.messages.len()).unwrap();
        Ok(Response::new(CloseMaildropResponse { deleted_count }))
    }
}
