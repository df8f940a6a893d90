//! A letter to a member whose copies bounce: if it comes back too, account suspends the member.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use postern_mail::{EmailAddress, MessageId, ReversePath};
use postern_proto::account::v1::ListProbe;
use postern_smtp::dsn::MessageDsn;
use tokio::time::Instant;

use super::{FoundList, ListDirectory, names::command_address, senders::probe_note};
use crate::{
    accept::{
        AcceptUnit, Acceptor, MessageFlags, NewMessage, NewQueueRow, QueueClass, StoredContent, hop_field,
    },
    answer::Letter,
    content::{Header, plain_bytes_of},
    queue::{self, QueueHandle},
    route,
    trace::Story,
};
use postern_mesh::{directory::Directory, trace_context};

/// Time for the commit of a probe.
const COMMIT_TIME: Duration = Duration::from_secs(30);

/// Sends probes.
#[derive(Clone)]
pub(crate) struct Probes {
    pub(crate) lists: ListDirectory,
    pub(crate) directory: Directory,
    pub(crate) acceptor: Acceptor,
    pub(crate) queue: QueueHandle,
    pub(crate) mail_host: Arc<str>,
}

impl Probes {
    /// Sends one; what fails is only logged: the next bounces ask for another one.
    pub(crate) async fn send(&self, list_id: i64, probe: &ListProbe) {
        if let Err(why) = self.try_send(list_id, probe).await {
            tracing::warn!(list_id, member = probe.member, why, "a probe cannot be sent");
        }
    }

    async fn try_send(&self, list_id: i64, probe: &ListProbe) -> Result<(), String> {
        let said = |status: tonic::Status| status.message().to_owned();
        let Some(list) = self.lists.look_up(list_id, None).await.map_err(said)? else { return Ok(()) };
        let member: EmailAddress = probe.member.parse().map_err(|_| "no address".to_owned())?;
        let plans = route::plan_each(&self.directory, std::slice::from_ref(&member)).await.map_err(said)?;
        let plan = plans.into_iter().next().unwrap_or_default();
        let row = |remote| NewQueueRow {
            subject_id: Some(list_id),
            note: Some(probe_note(&probe.token)),
            ..NewQueueRow::leaving(remote, QueueClass::ListCopy)
        };
        let unit = AcceptUnit {
            message: self.message(&list, &member),
            entries: plan.entries,
            queue: plan.queue.into_iter().map(row).collect(),
            finished_queue_ids: Vec::new(),
            story: Story::default(),
        };
        if unit.entries.is_empty() && unit.queue.is_empty() {
            return Err("it leads nowhere".to_owned());
        }
        let (message, rows) = (unit.message.clone(), unit.queue.clone());
        let committed = self.acceptor.commit(unit, Instant::now() + COMMIT_TIME).await;
        let committed = committed.map_err(|error| error.to_string())?;
        tracing::info!(queue_id = %message.id, list = %list.address, %member, "copies bounce, a probe is sent");
        self.queue.offer(queue::born(&message, &rows, &committed.queue_ids));
        Ok(())
    }

    fn message(&self, list: &FoundList, member: &EmailAddress) -> NewMessage {
        let (id, now) = (MessageId::new(), Timestamp::now());
        let address = &list.address;
        let text = format!(
            "Posts of the mailing list {address} to {member} came back several times.\n\n\
             If you can read this there is nothing to be done. If this letter comes back too, the list\n\
             sends no more posts to this address until it is added again.\n"
        );
        let letter = Letter {
            id,
            from: &command_address(address, "owner"),
            reply_to: None,
            to: member,
            subject: &format!("Your address on the mailing list {address}"),
            text: &text,
            answered: &Header::default(),
        };
        let built = letter.build(&self.mail_host, now);
        let prefix = hop_field(&self.mail_host, id, now);
        NewMessage {
            id,
            sender: ReversePath::Address(command_address(address, "bounces")),
            plain_bytes: plain_bytes_of(prefix.as_bytes(), &built.octets),
            prefix: Bytes::from(prefix),
            content_bytes: built.octets.len() as u64,
            checksum: crc32c::crc32c(&built.octets),
            content: StoredContent::Inline(Bytes::from(built.octets)),
            dsn: MessageDsn::default(),
            flags: MessageFlags { smtp_utf8: built.smtp_utf8, ..MessageFlags::default() },
            customer: Some(list.customer.clone()).filter(|customer| !customer.is_empty()),
            login: None,
            peer_ip: None,
            traceparent: trace_context::current(),
        }
    }
}
