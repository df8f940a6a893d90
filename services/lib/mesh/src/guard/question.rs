//! How long the question of a call may take to come. Our own peers send it with the call; a handler that waits for the rest of one
//! holds a place among the calls, and the deadline that a caller sets is the caller's to leave out.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::Frame;
use tokio::time::{Sleep, sleep};
use tonic::{Status, body::Body};

/// From the first time that it is waited for to its last octet. The longest is a password's or a page of names: some KiB.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// A body that ends with `DEADLINE_EXCEEDED` when it is not there in time.
pub(super) fn in_time(body: Body, timeout: Duration) -> Body {
    Body::new(InTime { body, timeout, patience: None })
}

struct InTime {
    body: Body,
    timeout: Duration,
    /// Begun when something is waited for: most questions are there at once.
    patience: Option<Pin<Box<Sleep>>>,
}

impl http_body::Body for InTime {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        let timeout = self.timeout;
        let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(timeout)));
        match patience.as_mut().poll(cx) {
            Poll::Ready(()) => {
                metrics::counter!("postern_rpc_questions_cut_total").increment(1);
                Poll::Ready(Some(Err(Status::deadline_exceeded("the question did not come in time"))))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
