-- The story of each message, a row for each of its recipients, written by the statement that accepts it and kept for
-- POSTERN_TRACE_DAYS whatever becomes of the message.
CREATE TABLE trace (
    message_id         uuid NOT NULL,
    -- As in queue.recipient, or what Delivered-To says. COLLATE "C": part of the order of lists.
    recipient          text COLLATE "C" NOT NULL,
    -- Address of ours that led there.
    via                text,
    sender             text NOT NULL,
    -- Whose address took it; NULL: it leaves.
    customer           text,
    mailbox_id         bigint,
    -- Who sent it; NULL: a stranger.
    submit_customer    text,
    submit_mailbox_id  bigint,
    login              text,
    peer_ip            text,
    size_bytes         bigint NOT NULL,
    -- postern.delivery.v1.TraceState
    state              smallint NOT NULL,
    accept_time        timestamptz NOT NULL DEFAULT now(),
    outcome            text NOT NULL DEFAULT '',
    outcome_time       timestamptz,
    read_time          timestamptz,
    delete_time        timestamptz
);
-- Ids begin with the time: each index grows at one end, and every list is newest first.
CREATE INDEX trace_message ON trace (message_id, recipient);
CREATE INDEX trace_customer ON trace (customer, message_id) WHERE customer IS NOT NULL;
CREATE INDEX trace_mailbox ON trace (mailbox_id, message_id) WHERE mailbox_id IS NOT NULL;
CREATE INDEX trace_submit_customer ON trace (submit_customer, message_id) WHERE submit_customer IS NOT NULL;
CREATE INDEX trace_submit_mailbox ON trace (submit_mailbox_id, message_id) WHERE submit_mailbox_id IS NOT NULL;
-- No index holds a column that is ever updated: what is noted later stays in its page.
ALTER TABLE trace SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.2);

-- Attempts that did not end a queue row.
CREATE TABLE trace_attempts (
    message_id    uuid NOT NULL,
    recipient     text NOT NULL,
    attempt_time  timestamptz NOT NULL DEFAULT now(),
    outcome       text NOT NULL
);
CREATE INDEX trace_attempts_message ON trace_attempts (message_id, attempt_time);

-- What came in and went out in each hour.
CREATE TABLE traffic (
    customer        text NOT NULL,
    domain          text NOT NULL,
    hour            timestamptz NOT NULL,
    received_count  bigint NOT NULL DEFAULT 0,
    received_bytes  bigint NOT NULL DEFAULT 0,
    sent_count      bigint NOT NULL DEFAULT 0,
    sent_bytes      bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (customer, domain, hour)
);
CREATE INDEX traffic_hour ON traffic (hour);
ALTER TABLE traffic SET (fillfactor = 70);
