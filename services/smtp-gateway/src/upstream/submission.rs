//! One message on its way to delivery: a small one in a single frame, a larger one as it comes in, with backpressure.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream;
use postern_mail::{Reason, limits::FRAME_MAX_BYTES};
use postern_mesh::{client::MeshChannel, failure, memory::MemoryShare};
use postern_proto::delivery::v1::{
    Envelope, SubmitMessageRequest, SubmitMessageResponse, submission_service_client::SubmissionServiceClient,
};
use tokio::{sync::mpsc, time};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use super::believed;

/// From so many octets on content travels before the message is complete.
pub(crate) const FRAME_BYTES: usize = FRAME_MAX_BYTES / 2;
/// How long the client's final dot may wait for its answer (conformance, "Deadlines").
const ANSWER_TIMEOUT: Duration = Duration::from_secs(45);
/// No commit may start later than this after the dot.
const COMMIT_WITHIN_MILLIS: u32 = 40_000;
/// Frames that wait for delivery; the client waits for them.
const FRAMES_WAITING_MAX: usize = 1;

/// What delivery may say for good (PROMISES.md, promise 2, submission.proto).
const REASONS_OF_DELIVERY: [Reason; 17] = [
    Reason::NoSuchMailbox,
    Reason::PostingNotPermitted,
    Reason::FailsAuthentication,
    Reason::SenderTakesNoMail,
    Reason::LooksLikeSpam,
    Reason::SpamUndecided,
    Reason::MailLoop,
    Reason::BadContent,
    Reason::MessageTooLarge,
    Reason::HeadersTooLarge,
    Reason::ContentLineTooLong,
    Reason::RelayProhibited,
    Reason::SenderNotPermitted,
    Reason::AuthorNotPermitted,
    Reason::DomainNotLive,
    Reason::OverQuota,
    Reason::BudgetExhausted,
];

/// A frame and the memory that it is held by; the last one's belongs to the session, which waits for the answer.
type HeldFrame = (SubmitMessageRequest, Option<MemoryShare>);

/// Frames on their way, each held until the next one is asked for: then it has gone.
struct Frames {
    waiting: mpsc::Receiver<HeldFrame>,
    on_its_way: Option<MemoryShare>,
}

impl Stream for Frames {
    type Item = SubmitMessageRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SubmitMessageRequest>> {
        self.on_its_way = None;
        let next = ready!(self.waiting.poll_recv(cx));
        Poll::Ready(next.map(|(frame, held)| {
            self.on_its_way = held;
            frame
        }))
    }
}

type Answer = Result<Response<SubmitMessageResponse>, Status>;

/// A message on its way. Dropped before [`Self::finish`], it is none: delivery keeps nothing of it.
pub(crate) struct Submission {
    client: SubmissionServiceClient<MeshChannel>,
    envelope: Envelope,
    running: Option<Running>,
}

struct Running {
    /// `None` once delivery takes no more.
    frames: Option<mpsc::Sender<HeldFrame>>,
    answer: AbortOnDropHandle<Answer>,
}

impl Submission {
    pub(super) fn new(client: SubmissionServiceClient<MeshChannel>, envelope: Envelope) -> Self {
        Self { client, envelope, running: None }
    }

    /// Sends content ahead, held by `held` until it is on the wire; waits while delivery is behind. What delivery has to say is told by [`Self::finish`].
    ///
    /// # Errors
    /// Temporary, when delivery takes nothing for too long.
    pub(crate) async fn send(&mut self, content: Bytes, held: MemoryShare) -> Result<(), Reason> {
        let Some(running) = &mut self.running else {
            let envelope = Some(self.envelope.clone());
            let first = SubmitMessageRequest { envelope, content, ..SubmitMessageRequest::default() };
            self.running = Some(self.start((first, Some(held))));
            return Ok(());
        };
        let Some(frames) = &running.frames else { return Ok(()) };
        let frame = SubmitMessageRequest { content, ..SubmitMessageRequest::default() };
        match time::timeout(ANSWER_TIMEOUT, frames.send((frame, Some(held)))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_closed)) => {
                running.frames = None;
                Ok(())
            }
            Err(_) => Err(Reason::Unavailable),
        }
    }

    /// Sends the rest, says that the message is complete, and waits for delivery's word.
    ///
    /// # Errors
    /// What delivery said for good, else something temporary.
    pub(crate) async fn finish(self, content: Bytes, session_id: &str) -> Result<(), Reason> {
        let answer = time::timeout(ANSWER_TIMEOUT, self.answer(content))
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer to a message within 45 s")));
        match answer {
            Ok(_) => Ok(()),
            Err(status) => Err(believed(&status, &REASONS_OF_DELIVERY, "delivery", session_id)),
        }
    }

    async fn answer(self, content: Bytes) -> Answer {
        let last = SubmitMessageRequest {
            envelope: None,
            content,
            last: true,
            answer_within_millis: COMMIT_WITHIN_MILLIS,
        };
        let Some(running) = self.running else {
            let whole = SubmitMessageRequest { envelope: Some(self.envelope), ..last };
            return submit_whole(self.client, whole).await;
        };
        if let Some(frames) = running.frames {
            // When nobody takes it, the answer is there already and says why.
            let _ = frames.send((last, None)).await;
        }
        running.answer.await.map_err(|_| Status::internal("the submission task ended"))?
    }

    fn start(&self, first: HeldFrame) -> Running {
        let (frames, waiting) = mpsc::channel(FRAMES_WAITING_MAX);
        // The channel is empty and open: there is room for the first frame.
        let _ = frames.try_send(first);
        let mut client = self.client.clone();
        let request = Request::new(Frames { waiting, on_its_way: None });
        let answer = tokio::spawn(async move { client.submit_message(request).await }.in_current_span());
        Running { frames: Some(frames), answer: AbortOnDropHandle::new(answer) }
    }
}

/// Told once more when the replica that was told is away: by its id a message is stored once, whoever stores it.
async fn submit_whole(client: SubmissionServiceClient<MeshChannel>, whole: SubmitMessageRequest) -> Answer {
    let submit = async |message| {
        let mut request = Request::new(tokio_stream::once(message));
        request.set_timeout(ANSWER_TIMEOUT);
        client.clone().submit_message(request).await
    };
    match submit(whole.clone()).await {
        Err(status) if failure::is_away(&status) => submit(whole).await,
        answer => answer,
    }
}
