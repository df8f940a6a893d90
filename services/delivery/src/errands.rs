//! Which errand of the queue is whose: posts and commands go to `lists`, autoreplies to `autoreply`.

use std::sync::Arc;

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio_util::sync::CancellationToken;

use crate::{
    accept::QueueClass,
    autoreply::Autoreply,
    content::whole_header,
    lists::Lists,
    queue::{ContentSource, ErrandOutcome, ErrandRunner, LeasedRow, QueueHandle, QueuedMessage},
};

/// All who do errands.
pub(crate) struct Errands {
    pub(crate) lists: Lists,
    pub(crate) autoreply: Autoreply,
    pub(crate) contents: Arc<dyn ContentSource>,
}

impl Errands {
    async fn answer(&self, row: &LeasedRow, message: &QueuedMessage, queue: &QueueHandle) -> ErrandOutcome {
        let header = match whole_header(&*self.contents, message).await {
            Ok(header) => header,
            Err(error) => return ErrandOutcome::Deferred(format!("the message cannot be read: {error}")),
        };
        match row.class {
            QueueClass::Autoreply => self.autoreply.answer(row, message, &header, queue).await,
            _ => self.lists.command(row, message, &header, queue).await,
        }
    }
}

impl ErrandRunner for Errands {
    fn run<'a>(
        &'a self,
        row: &'a LeasedRow,
        message: &'a QueuedMessage,
        queue: &'a QueueHandle,
        stopped: &'a CancellationToken,
    ) -> BoxFuture<'a, ErrandOutcome> {
        match row.class {
            QueueClass::ListPost => self.lists.expand(row, message, queue, stopped).boxed(),
            _ => self.answer(row, message, queue).boxed(),
        }
    }
}
