//! A running queue with all that it stands on, for tests.

use super::*;

pub(super) fn settings(retry_seconds: u64, lifetime_seconds: u64) -> QueueSettings {
    QueueSettings {
        queue_retry_seconds: vec![retry_seconds],
        queue_lifetime_seconds: lifetime_seconds,
        queue_delay_notice_seconds: 14_400,
        limit_outbound_connections: 10,
        limit_outbound_connections_per_domain: 5,
        limit_list_copies_per_second: 0,
        resolver: Vec::new(),
        outbound_port: 25,
        outbound_allowed_networks: Vec::new(),
        outbound_tls: Vec::new(),
        outbound_ca_file: None,
        mta_sts: false,
        mta_sts_port: 443,
    }
}

/// A message with this content, as it comes from acceptance.
pub(super) fn message_of(sender: &str, content: Bytes) -> NewMessage {
    NewMessage {
        id: MessageId::new(),
        sender: sender.parse().expect("sender"),
        prefix: Bytes::from_static(b"Received: by mail.postern.test\r\n"),
        content_bytes: content.len() as u64,
        plain_bytes: None,
        checksum: crc32c::crc32c(&content),
        content: StoredContent::Inline(content),
        flags: MessageFlags::default(),
        customer: None,
        login: None,
        peer_ip: None,
        dsn: MessageDsn::default(),
        traceparent: None,
    }
}

/// A running queue that sends everything to one host.
pub(super) struct House {
    pub(super) store: Store,
    pub(super) acceptor: Acceptor,
    pub(super) queue: Queue,
    pub(super) shutdown: Shutdown,
    pub(super) _blobs: tempfile::TempDir,
    pub(super) _postgres: Postgres,
}

impl House {
    pub(super) async fn open(host: &Host, retry_seconds: u64, lifetime_seconds: u64) -> Self {
        let settings = settings(retry_seconds, lifetime_seconds);
        Self::open_as(host, &settings, Arc::new(NoErrands)).await
    }

    pub(super) async fn open_as(
        host: &Host,
        settings: &QueueSettings,
        errands: Arc<dyn ErrandRunner>,
    ) -> Self {
        let smarthost = Smarthost { host: host.address.ip().to_string(), port: host.address.port() };
        Self::open_towards(Some(smarthost), settings, errands).await
    }

    /// `smarthost`: where everything goes; `None`: where DNS says.
    pub(super) async fn open_towards(
        smarthost: Option<Smarthost>,
        settings: &QueueSettings,
        errands: Arc<dyn ErrandRunner>,
    ) -> Self {
        let (postgres, store) = Postgres::start().await;
        let shutdown = Shutdown::new();
        let replica = Uuid::new_v4();
        let acceptor = Acceptor::start(&store, replica);
        let folder = tempfile::tempdir().expect("folder");
        let blobs = Blobs::open(&format!("file://{}", folder.path().display())).expect("blobs");
        let outbound = OutboundSettings {
            smarthost,
            timeouts: Timeouts {
                banner: Duration::from_secs(3),
                dot: Duration::from_secs(3),
                ..Timeouts::default()
            },
            ..settings.outbound(None, "mail.postern.test").expect("settings")
        };
        let parts = QueueParts {
            store: QueueStore::new(store.pool().clone(), replica, settings.lifetime())
                .telling_delays(settings.delay_notice()),
            acceptor: acceptor.clone(),
            directory: fake_directory(&shutdown),
            contents: Arc::new(StoredContents::new(blobs)),
            errands,
            departures: fake_departures(&shutdown),
            fates: CopyFates::new().0,
        };
        let queue = super::start(parts, settings, outbound, &shutdown).expect("queue");
        Self { store, acceptor, queue, shutdown, _blobs: folder, _postgres: postgres }
    }

    /// Accepts a message for remote recipients and hands its rows over, as the submission door does.
    pub(super) async fn submit(&self, sender: &str, recipients: &[(&str, Option<&str>)]) {
        let content = Bytes::from_static(b"Subject: hello\r\n\r\n.body\r\n");
        let queue_row = |(recipient, via): &(&str, Option<&str>)| NewQueueRow {
            via: via.map(|via| via.parse().expect("via")),
            ..NewQueueRow::to(recipient.parse().expect("recipient"), QueueClass::Mail)
        };
        let rows: Vec<NewQueueRow> = recipients.iter().map(queue_row).collect();
        let message = message_of(sender, content);
        let unit = AcceptUnit {
            message: message.clone(),
            entries: Vec::new(),
            queue: rows.clone(),
            finished_queue_ids: Vec::new(),
            story: Story::default(),
        };
        let by = tokio::time::Instant::now() + Duration::from_secs(10);
        let committed = self.acceptor.commit(unit, by).await.expect("commit");
        self.queue.handle.offer(born(&message, &rows, &committed.queue_ids));
    }

    pub(super) async fn until_empty(&self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while count(&self.store, "queue").await > 0 {
            assert!(tokio::time::Instant::now() < deadline, "the queue does not drain");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The one bounce in box 1.
    pub(super) async fn bounce(&self) -> String {
        let row = sqlx::query(
            "SELECT e.mailbox_id, e.prefix || m.prefix || m.content AS whole FROM entries e JOIN messages m ON m.id = e.message_id",
        )
        .fetch_one(self.store.pool())
        .await
        .expect("one bounce");
        assert_eq!(row.get::<i64, _>("mailbox_id"), 1);
        String::from_utf8(row.get::<Vec<u8>, _>("whole")).expect("text")
    }
}
