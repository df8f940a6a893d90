//! `MaildropService`: POP3's view of a box, translated to `maildrop`.

use std::{collections::HashMap, pin::Pin};

use futures_util::{Stream, StreamExt as _};
use jiff::Timestamp;
use postern_mail::Reason;
use postern_mesh::failure;
use postern_proto::delivery::v1::{
    CloseMaildropRequest, CloseMaildropResponse, HeldLock, MaildropHeader, MessageEnd, MessageFailure,
    OpenMaildropRequest, OpenMaildropResponse, ReadMessagesRequest, ReadMessagesResponse,
    RenewMaildropsRequest, RenewMaildropsResponse, maildrop_service_server::MaildropService,
    read_messages_response,
};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use crate::{
    lock::{Asked, Holder},
    maildrop::{Form, Frame, IndexPage, MaildropError, Maildrops, OpenBox},
};

/// Uids of one read.
const READ_MAX: usize = 1000;
/// Uids that a session names when it closes, of each kind.
const CLOSE_MAX: usize = 1_000_000;
/// Longest time that a box is left alone after it was opened.
const LOGIN_DELAY_MAX_SECONDS: u64 = 86_400;
/// Frames on their way to the gateway: with 128 KiB each the bound of its read-ahead.
const FRAMES_AHEAD: usize = 2;

type ResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The door.
pub(crate) struct MaildropDoor {
    maildrops: Maildrops,
}

impl MaildropDoor {
    pub(crate) fn new(maildrops: Maildrops) -> Self {
        Self { maildrops }
    }
}

#[tonic::async_trait]
impl MaildropService for MaildropDoor {
    type OpenMaildropStream = ResponseStream<OpenMaildropResponse>;
    type ReadMessagesStream = ResponseStream<ReadMessagesResponse>;

    async fn open_maildrop(
        &self,
        request: Request<OpenMaildropRequest>,
    ) -> Result<Response<Self::OpenMaildropStream>, Status> {
        let OpenMaildropRequest {
            mailbox_id,
            peer_ip,
            gateway,
            session_id,
            utf8,
            again,
            login_delay_seconds,
        } = request.into_inner();
        let delay_seconds = delay(login_delay_seconds)?;
        if delay_seconds > 0 && !again {
            let left_alone = self.maildrops.leave_alone(mailbox_id).await;
            left_alone.map_err(|error| status(mailbox_id, &error))?;
        }
        let holder = Holder { peer_ip, gateway, session_id };
        let asked = if again { Asked::Again } else { Asked::First };
        let opened = open_or_free(self.maildrops.clone(), mailbox_id, holder, asked, form(utf8)).await?;
        if delay_seconds > 0 {
            self.maildrops.note_opened(mailbox_id, delay_seconds).await;
        }
        let header = MaildropHeader { lock_token: opened.token, generation: opened.generation };
        let mut deltas = Deltas::default();
        let first = OpenMaildropResponse { header: Some(header), ..deltas.pack(&opened.first) };
        if opened.first.uids.is_empty() {
            return Ok(Response::new(futures_util::stream::once(async { Ok(first) }).boxed()));
        }
        let (pages, stream) = mpsc::channel(1);
        tokio::spawn(send_pages(self.maildrops.clone(), mailbox_id, opened, first, deltas, pages));
        Ok(Response::new(ReceiverStream::new(stream).boxed()))
    }

    async fn renew_maildrops(
        &self,
        request: Request<RenewMaildropsRequest>,
    ) -> Result<Response<RenewMaildropsResponse>, Status> {
        let locks: Vec<(i64, i64)> =
            request.into_inner().locks.iter().map(|lock| (lock.mailbox_id, lock.lock_token)).collect();
        let lost = self.maildrops.renew(&locks).await.map_err(|error| status(0, &error))?;
        let held = |(mailbox_id, lock_token)| HeldLock { mailbox_id, lock_token };
        Ok(Response::new(RenewMaildropsResponse { lost: lost.into_iter().map(held).collect() }))
    }

    async fn read_messages(
        &self,
        request: Request<ReadMessagesRequest>,
    ) -> Result<Response<Self::ReadMessagesStream>, Status> {
        let ReadMessagesRequest { mailbox_id, uids, utf8 } = request.into_inner();
        if uids.is_empty() || uids.len() > READ_MAX {
            let why = format!("uids: 1 to {READ_MAX} are read at once");
            return Err(failure::status_with(Reason::InvalidArgument, why));
        }
        let uids: Vec<i64> = uids.into_iter().map(u64::cast_signed).collect();
        let reader = self.maildrops.reader(mailbox_id, form(utf8));
        let (frames, stream) = mpsc::channel(FRAMES_AHEAD);
        tokio::spawn(async move { reader.run(&uids, &frames).await });
        Ok(Response::new(
            ReceiverStream::new(stream).map(|(index, frame)| Ok(response(index, frame))).boxed(),
        ))
    }

    async fn close_maildrop(
        &self,
        request: Request<CloseMaildropRequest>,
    ) -> Result<Response<CloseMaildropResponse>, Status> {
        let CloseMaildropRequest { mailbox_id, lock_token, deleted_uids, retrieved_uids } =
            request.into_inner();
        let deleted = set_of("deleted_uids", deleted_uids)?;
        let retrieved = set_of("retrieved_uids", retrieved_uids)?;
        let maildrops = self.maildrops.clone();
        // A caller that goes away meanwhile changes nothing: all or none, and the lock is freed.
        let closing = async move {
            maildrops.note_retrieved(mailbox_id, &retrieved).await;
            maildrops.close(mailbox_id, lock_token, &deleted).await
        };
        let closing = tokio::spawn(closing.in_current_span());
        let closed =
            closing.await.map_err(|error| failure::status_with(Reason::Unavailable, error.to_string()))?;
        let deleted = closed.map_err(|error| status(mailbox_id, &error))?;
        Ok(Response::new(CloseMaildropResponse { deleted_count: i32::try_from(deleted).unwrap_or(i32::MAX) }))
    }
}

/// What a session gets that asked for UTF-8, or did not.
fn form(utf8: bool) -> Form {
    if utf8 { Form::Stored } else { Form::Plain }
}

fn delay(seconds: i32) -> Result<u64, Status> {
    u64::try_from(seconds).ok().filter(|seconds| *seconds <= LOGIN_DELAY_MAX_SECONDS).ok_or_else(|| {
        let why = format!("login_delay_seconds: 0 to {LOGIN_DELAY_MAX_SECONDS}");
        failure::status_with(Reason::InvalidArgument, why)
    })
}

/// Uids of one field, each once.
fn set_of(field: &'static str, uids: Vec<u64>) -> Result<Vec<i64>, Status> {
    if uids.len() > CLOSE_MAX {
        let why = format!("{field}: at most {CLOSE_MAX} at once");
        return Err(failure::status_with(Reason::InvalidArgument, why));
    }
    let mut uids: Vec<i64> = uids.into_iter().map(u64::cast_signed).collect();
    uids.sort_unstable();
    uids.dedup();
    Ok(uids)
}

/// Opens a box in a task of its own: a caller that gave up meanwhile leaves no lock behind.
async fn open_or_free(
    maildrops: Maildrops,
    mailbox_id: i64,
    holder: Holder,
    asked: Asked,
    form: Form,
) -> Result<OpenBox, Status> {
    let (caller, answer) = oneshot::channel();
    let opening = async move {
        let opened = maildrops.open(mailbox_id, &holder, asked, form).await;
        if let Err(Ok(unwanted)) = caller.send(opened) {
            maildrops.free(mailbox_id, unwanted.token).await;
        }
    };
    tokio::spawn(opening.in_current_span());
    match answer.await {
        Ok(opened) => opened.map_err(|error| status(mailbox_id, &error)),
        Err(_) => Err(failure::status(Reason::Unavailable)),
    }
}

/// Sends the pages of the listing. When nobody takes them to the end there is no session: the lock is freed.
async fn send_pages(
    maildrops: Maildrops,
    mailbox_id: i64,
    opened: OpenBox,
    first: OpenMaildropResponse,
    mut deltas: Deltas,
    pages: mpsc::Sender<Result<OpenMaildropResponse, Status>>,
) {
    let OpenBox { token, mut rest, .. } = opened;
    let mut page = Some(Ok(first));
    while let Some(next) = page {
        let is_failure = next.is_err();
        if pages.send(next).await.is_err() || is_failure {
            return maildrops.free(mailbox_id, token).await;
        }
        page = match rest.next().await {
            Ok(next) => next.map(|next| Ok(deltas.pack(&next))),
            Err(error) => Some(Err(status(mailbox_id, &MaildropError::from(error)))),
        };
    }
}

/// Packs pages: uids as differences over the whole stream.
#[derive(Default)]
struct Deltas {
    last: i64,
}

impl Deltas {
    fn pack(&mut self, page: &IndexPage) -> OpenMaildropResponse {
        let mut uid_deltas = Vec::with_capacity(page.uids.len());
        for uid in &page.uids {
            uid_deltas.push(uid.wrapping_sub(self.last).cast_unsigned());
            self.last = *uid;
        }
        let sizes_bytes = page.sizes_bytes.iter().map(|size| size.cast_unsigned()).collect();
        OpenMaildropResponse { header: None, uid_deltas, sizes_bytes }
    }
}

fn response(index: u32, frame: Frame) -> ReadMessagesResponse {
    use read_messages_response::Frame as Wire;
    let frame = match frame {
        Frame::Size(size_bytes) => Wire::SizeBytes(size_bytes),
        Frame::Content(octets) => Wire::Content(octets),
        Frame::End => Wire::End(MessageEnd {}),
        Frame::Failure(reason) => Wire::Failure(MessageFailure { reason: reason.name().to_owned() }),
    };
    ReadMessagesResponse { index, frame: Some(frame) }
}

fn status(mailbox_id: i64, error: &MaildropError) -> Status {
    let reason = error.reason();
    match error {
        MaildropError::InUse { since_micros, peer_ip } => {
            let since = Timestamp::from_microsecond(*since_micros).unwrap_or(Timestamp::UNIX_EPOCH);
            let metadata = HashMap::from([
                ("since".to_owned(), since.to_string()),
                ("peer_ip".to_owned(), peer_ip.clone()),
            ]);
            let detail = format!("box {mailbox_id} is in use since {since} from {peer_ip}");
            failure::status_with_metadata(reason, detail, metadata)
        }
        MaildropError::TooSoon { left } => {
            // Up: after so many whole seconds it may.
            let seconds = left.as_millis().div_ceil(1000);
            let metadata = HashMap::from([("seconds".to_owned(), seconds.to_string())]);
            failure::status_with_metadata(reason, format!("box {mailbox_id}: {error}"), metadata)
        }
        MaildropError::LockLost | MaildropError::Removed => failure::status_with(reason, error.to_string()),
        MaildropError::Lock(_) | MaildropError::Database(_) | MaildropError::Directory(_) => {
            let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            tracing::warn!(mailbox_id, %error, cause, "a box is not to be had now");
            failure::status_with(reason, format!("{error}: {cause}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_travel_as_differences_over_all_pages() {
        let mut deltas = Deltas::default();
        let page = |uids: &[i64]| IndexPage { uids: uids.to_vec(), sizes_bytes: vec![7; uids.len()] };
        assert_eq!(deltas.pack(&page(&[5, 6, 9])).uid_deltas, [5, 1, 3]);
        assert_eq!(deltas.pack(&page(&[10, 20])).uid_deltas, [1, 10]);
    }

    #[test]
    fn p_40_the_holder_is_named() {
        let error =
            MaildropError::InUse { since_micros: 1_795_435_200_000_000, peer_ip: "203.0.113.9".to_owned() };
        let status = status(1, &error);
        assert_eq!(failure::reason_of(&status), Reason::MailboxInUse);
        let metadata = failure::metadata_of(&status);
        assert_eq!(metadata["since"], "2026-11-23T12:00:00Z");
        assert_eq!(metadata["peer_ip"], "203.0.113.9");
    }
}
