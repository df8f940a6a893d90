//! The errand of a post: makes the list's copy once, then gives it to the members, a batch at a time.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use postern_mail::{EmailAddress, MessageId, Reason, ReversePath};
use postern_mesh::{directory::refusal_of_post, failure, memory::Holder, trace_context};
use postern_proto::account::v1::{ListListMembersRequest, ListMember};
use postern_smtp::dsn::MessageDsn;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    FoundList, Lists, copy,
    names::{command_address, unsubscribe_fields},
    store::{self, Batch, CopyMessage, Target},
};
use crate::{
    accept::{AcceptUnit, MessageFlags, NewMessage, QueueClass, hop_field},
    content::{
        Header, Ingest, IngestError, IngestLimits, Ingested, growth_of, open_header, plain_message_bytes,
    },
    outbound::ContentError,
    queue::{ErrandOutcome, LeasedRow, QueueHandle, QueuedMessage},
    route,
    store::in_time,
    trace::{self, Story},
};

/// Members of one batch: transactions of a few milliseconds, so that others' mail does not wait for locks, for a processor or for the
/// disk.
const BATCH_MEMBERS: i32 = 25;
/// The same where members are forwards that lead to many.
const BATCH_MEMBERS_SMALL: i32 = 20;

/// A post rests so many times as long as its batch took: it has a twentieth of what one connection to the database can do, however
/// large the list and however fast the machine.
const REST: u32 = 19;
const REST_MAX: Duration = Duration::from_secs(5);
/// So long a post has its turn while posts of others may wait.
const TURN: Duration = Duration::from_secs(20);
/// Copies are written so many times as fast as one process lets them leave while [`ENOUGH_WAIT`]: more would only stand in the queue.
const AHEAD: f64 = 1.25;
/// Copies of any list that became due lately and that no process has taken. With fewer the senders, however many processes they are, could soon
/// have nothing to do: then copies are written as fast as a post may.
const ENOUGH_WAIT: i64 = 200;

/// Why a step did not come to its end.
enum Obstacle {
    /// There is nothing more to do.
    Over(&'static str),
    Later(String),
    Stopped,
}

impl From<Obstacle> for ErrandOutcome {
    fn from(obstacle: Obstacle) -> Self {
        match obstacle {
            Obstacle::Over(why) => Self::Finished(why),
            Obstacle::Later(why) => Self::Deferred(why),
            Obstacle::Stopped => Self::Stopped,
        }
    }
}

impl From<tonic::Status> for Obstacle {
    fn from(status: tonic::Status) -> Self {
        Self::Later(status.message().to_owned())
    }
}

impl From<sqlx::Error> for Obstacle {
    fn from(error: sqlx::Error) -> Self {
        // Committed or not: the cursor tells.
        Self::Later(format!("the database failed: {error}"))
    }
}

impl Lists {
    /// Expands a post, or what is left of it.
    pub(crate) async fn expand(
        &self,
        row: &LeasedRow,
        message: &QueuedMessage,
        queue: &QueueHandle,
        stopped: &CancellationToken,
    ) -> ErrandOutcome {
        match self.try_expand(row, message, queue, stopped).await {
            Ok(()) => ErrandOutcome::Ended,
            Err(obstacle) => obstacle.into(),
        }
    }

    async fn try_expand(
        &self,
        row: &LeasedRow,
        message: &QueuedMessage,
        queue: &QueueHandle,
        stopped: &CancellationToken,
    ) -> Result<(), Obstacle> {
        let list_id = row.subject_id.unwrap_or_default();
        let found = self.directory.look_up(list_id, None).await?;
        let found = found.ok_or(Obstacle::Over("the list was removed"))?;
        let copy = match &row.note {
            None => self.begin(row, message, &found).await?,
            // It goes on: this message is the copy.
            Some(_) => {
                let size_bytes = message.prefix.len() as u64 + message.content_bytes;
                copy_message(message.id, &found, size_bytes, self.plain_bytes(message).await?)
            }
        };
        let mut cursor = row.note.clone().unwrap_or_default();
        let turn_ends = Instant::now() + TURN;
        loop {
            if stopped.is_cancelled() || self.shutdown.is_triggered() {
                return Err(Obstacle::Stopped);
            }
            let begin = Instant::now();
            let (next, targets) = self.next_batch(&found, &cursor).await?;
            let own_fields =
                |member: &EmailAddress| unsubscribe_fields(&self.unsubscribe_url, &found, member);
            let batch = Batch {
                row_id: row.id,
                copy: &copy,
                from: &cursor,
                to: next.as_deref(),
                targets,
                own_fields: &own_fields,
            };
            let written =
                in_time(store::write(&self.answers.store, &batch)).await?.ok_or(Obstacle::Stopped)?;
            metrics::counter!("postern_list_copies_total")
                .increment((written.entries + written.queue) as u64);
            tracing::debug!(queue_id = %copy.id, list = %found.address, written.entries, written.queue, "a batch of members");
            let is_first = cursor.is_empty();
            match next {
                Some(next) => cursor = next,
                None => {
                    queue.wake();
                    break;
                }
            }
            let too_many = written.queue > 0 && self.enough_wait().await?;
            // While enough of them wait, the queue knows that there are more.
            if written.queue > 0 && (is_first || !too_many) {
                queue.wake();
            }
            let copies = if too_many { written.queue } else { 0 };
            let rest = rest_after(begin.elapsed(), copies, self.copies_per_second);
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = stopped.cancelled() => {}
                () = self.shutdown.triggered() => {}
            }
            if Instant::now() >= turn_ends {
                return Err(Obstacle::Stopped);
            }
        }
        tracing::info!(queue_id = %copy.id, list = %found.address, "a post was given to all members");
        Ok(())
    }

    /// Whether the senders have enough to do.
    async fn enough_wait(&self) -> Result<bool, Obstacle> {
        let waiting = in_time(store::copies_wait(&self.answers.store, ENOUGH_WAIT)).await?;
        Ok(waiting >= ENOUGH_WAIT)
    }

    /// Makes the copy and hangs the row on it.
    async fn begin(
        &self,
        row: &LeasedRow,
        original: &QueuedMessage,
        found: &FoundList,
    ) -> Result<CopyMessage, Obstacle> {
        let id = MessageId::new();
        let content = self.copy_content(id, original, found).await?;
        let now = Timestamp::now();
        let mut prefix = hop_field(&self.answers.mail_host, id, now).into_bytes();
        prefix.extend_from_slice(&original.prefix);
        let size_bytes = prefix.len() as u64 + content.content_bytes;
        let plain_bytes = original
            .flags
            .smtp_utf8
            .then(|| plain_message_bytes(&prefix, content.content_bytes, content.plain_growth))
            .flatten();
        let copy = copy_message(id, found, size_bytes, plain_bytes);
        let message = NewMessage {
            id,
            sender: ReversePath::Address(copy.bounces.clone()),
            prefix: Bytes::from(prefix),
            content: content.content,
            content_bytes: content.content_bytes,
            plain_bytes,
            checksum: content.checksum,
            flags: MessageFlags { smtp_utf8: plain_bytes.is_some(), ..original.flags },
            customer: copy.customer.clone(),
            login: None,
            peer_ip: None,
            // What the poster wants to hear is not the members' affair.
            dsn: MessageDsn::default(),
            traceparent: trace_context::current(),
        };
        let unit = AcceptUnit {
            message,
            entries: Vec::new(),
            queue: Vec::new(),
            finished_queue_ids: Vec::new(),
            story: Story::default(),
        };
        let list_id = found.list.list_id;
        let begun = in_time(store::begin(&self.answers.store, row.id, list_id, original.id, &unit)).await?;
        if !begun {
            return Err(Obstacle::Stopped);
        }
        tracing::info!(queue_id = %original.id, copy = %id, list = %found.address, "a post was taken");
        Ok(copy)
    }

    /// The copy's content: another header, the same body, which is never in memory as a whole when it is large.
    async fn copy_content(
        &self,
        id: MessageId,
        original: &QueuedMessage,
        found: &FoundList,
    ) -> Result<Ingested, Obstacle> {
        let mut opened = open_header(&*self.contents, original).await.map_err(unreadable)?;
        if let Some(why) = copy::unwanted(&opened.header, &found.address) {
            metrics::counter!("postern_list_posts_discarded_total").increment(1);
            tracing::warn!(queue_id = %original.id, list = %found.address, why, "a post was thrown away");
            return Err(Obstacle::Over(why));
        }
        let limits = IngestLimits { inline_max_bytes: self.inline_max_bytes, message_max_bytes: None };
        let held = self.budget.share(Holder::default());
        let mut ingest = Ingest::begin(id, &self.blobs, held, limits);
        if original.flags.smtp_utf8 {
            ingest = ingest.of_smtp_utf8();
        }
        let from_list = self.must_be_from_list(original, &opened.header, found).await?;
        let header = copy::header_of(&opened.header, &found.list, &found.address, from_list);
        ingest.push(Bytes::from(header)).await.map_err(not_kept)?;
        ingest.push(opened.begun).await.map_err(not_kept)?;
        while let Some(piece) = opened.rest.next().await {
            ingest.push(piece.map_err(unreadable)?).await.map_err(not_kept)?;
        }
        ingest.finish().await.map_err(not_kept)
    }

    /// Octets of a stored copy in plain form, as when it was made.
    async fn plain_bytes(&self, copy: &QueuedMessage) -> Result<Option<u64>, Obstacle> {
        if !copy.flags.smtp_utf8 {
            return Ok(None);
        }
        let opened = open_header(&*self.contents, copy).await.map_err(unreadable)?;
        Ok(plain_message_bytes(&copy.prefix, copy.content_bytes, growth_of(&opened.header)))
    }

    /// Whether the copy has to say that it is from the list: others would refuse it in the author's name, or it would bear the
    /// signature of a domain of ours whose author it is not from.
    async fn must_be_from_list(
        &self,
        original: &QueuedMessage,
        header: &Header,
        found: &FoundList,
    ) -> Result<bool, Obstacle> {
        let Some((_, author)) = header.author() else { return Ok(false) };
        let domain = author.domain();
        if self.departures.is_live(domain).await? {
            let list_owner = Some(found.customer.as_str());
            return Ok(!(self.departures.may_write_as(domain, original.customer.as_deref()).await?
                && self.departures.may_write_as(domain, list_owner).await?));
        }
        Ok(self.checks.policy_is_strict(domain).await)
    }

    /// The next page of members and where it leads; the cursor behind it unless it is the last one.
    async fn next_batch(
        &self,
        found: &FoundList,
        cursor: &str,
    ) -> Result<(Option<String>, BTreeMap<String, Target>), Obstacle> {
        let mut size = BATCH_MEMBERS;
        loop {
            let request = ListListMembersRequest {
                list: found.list.address.clone(),
                page_size: size,
                page_token: cursor.to_owned(),
                ..Default::default()
            };
            let page = self.directory.account.clone().list_list_members(request).await?.into_inner();
            let members: Vec<EmailAddress> = page
                .members
                .iter()
                .filter(gets_posts)
                .filter_map(|member| member.address.parse().ok())
                .collect();
            match self.targets(found, &members).await {
                Ok(targets) => {
                    return Ok((Some(page.next_page_token).filter(|token| !token.is_empty()), targets));
                }
                Err(status)
                    if failure::reason_of(&status) == Reason::TooManyRecipients
                        && size > BATCH_MEMBERS_SMALL =>
                {
                    size = BATCH_MEMBERS_SMALL;
                }
                Err(status) => return Err(status.into()),
            }
        }
    }

    async fn targets(
        &self,
        found: &FoundList,
        members: &[EmailAddress],
    ) -> Result<BTreeMap<String, Target>, tonic::Status> {
        let plans = route::plan_each(&self.answers.directory, members).await?;
        let mut targets = BTreeMap::new();
        for (member, plan) in members.iter().zip(plans) {
            let mut add = |target: Target| {
                targets.entry(target.key()).or_insert(target);
            };
            for entry in plan.entries {
                let owner = self.owner_of(entry.delivered_to.parse().ok().as_ref()).await;
                add(Target::Box { entry, member: member.clone(), owner });
            }
            for remote in plan.queue {
                let owner = self.owner_of(remote.via.as_ref()).await;
                add(Target::Remote { remote, member: member.clone(), owner });
            }
            for failed in plan.failed {
                metrics::counter!("postern_list_members_failed_total").increment(1);
                tracing::info!(list = %found.address, %member, recipient = %failed.recipient, why = %failed.reason, "a member cannot be reached");
            }
            for errand in plan.errands {
                // A list is answered by nobody, and gives its commands to no other list.
                if errand.class == QueueClass::ListPost && self.may_post_to(found, errand.subject_id).await? {
                    add(Target::List(errand));
                }
            }
        }
        Ok(targets)
    }

    /// Whose address it is, as a story tells it; the directory keeps its answers.
    async fn owner_of(&self, address: Option<&EmailAddress>) -> Option<String> {
        trace::owner(&self.answers.directory, address?.domain()).await
    }

    /// A list in the list: of the same owner it is as meant; of another one it is asked as anybody who posts.
    async fn may_post_to(&self, found: &FoundList, list_id: i64) -> Result<bool, tonic::Status> {
        let Some(inner) = self.directory.look_up(list_id, Some(&found.address)).await? else {
            return Ok(false);
        };
        let may = inner.customer == found.customer
            || refusal_of_post(&inner.list, inner.is_member, Some(&found.address), 0).is_none();
        if !may {
            tracing::info!(list = %found.address, member = %inner.address, "a list does not take posts of this list");
        }
        Ok(may)
    }
}

/// How long a post rests after a batch that took so long and brought so many copies into the queue that they have to wait there.
/// `per_second`: how many leave; 0 = as many as can.
fn rest_after(took: Duration, copies: usize, per_second: u32) -> Duration {
    let leaving = match per_second {
        0 => Duration::ZERO,
        _ => Duration::from_secs_f64(copies as f64 / (f64::from(per_second) * AHEAD)),
    };
    (took * REST).max(leaving).min(REST_MAX)
}

/// Whose copies bounced for too long gets none.
fn gets_posts(member: &&ListMember) -> bool {
    member.suspend_time.is_none()
}

fn copy_message(id: MessageId, found: &FoundList, size_bytes: u64, plain_bytes: Option<u64>) -> CopyMessage {
    CopyMessage {
        id,
        list: found.address.clone(),
        bounces: command_address(&found.address, "bounces"),
        size_bytes,
        plain_bytes,
        list_id: found.list.list_id,
        customer: Some(found.customer.clone()).filter(|customer| !customer.is_empty()),
    }
}

fn unreadable(error: ContentError) -> Obstacle {
    Obstacle::Later(format!("the post cannot be read: {error}"))
}

fn not_kept(error: IngestError) -> Obstacle {
    match error {
        IngestError::Message(Reason::MailLoop) => Obstacle::Over("loop: too many hops"),
        // Its header was within bounds when it came, and grew over them.
        IngestError::Message(_) => Obstacle::Over("the copy is no message that can be kept"),
        error => Obstacle::Later(format!("the copy cannot be kept: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_rests_for_its_batch_and_for_the_queue() {
        let rest = |took, copies, rate| rest_after(Duration::from_millis(took), copies, rate).as_millis();
        assert_eq!(rest(10, 0, 10), 190, "boxes here wait for nobody");
        assert_eq!(rest(10, 24, 10), 1920, "24 copies leave in 2.4 s");
        assert_eq!(rest(10, 24, 200), 190);
        assert_eq!(rest(10, 24, 0), 190);
        assert_eq!(rest(10, 25, 1), 5000);
        assert_eq!(rest(1000, 25, 10), 5000);
    }
}
