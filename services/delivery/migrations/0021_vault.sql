-- What was cleared from a box and can be brought back. A row here holds on to its message as an entry does:
-- messages.references_count counts entries, vault rows and queue rows.
CREATE TABLE clearings (
    clearing_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    mailbox_id   bigint NOT NULL,
    -- postern.delivery.v1.ClearScope
    scope        smallint NOT NULL CHECK (scope IN (1, 2)),
    clear_time   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX clearings_of_box ON clearings (mailbox_id, clearing_id);
CREATE INDEX clearings_by_age ON clearings (clear_time);

-- An entry as it was, with its uid.
CREATE TABLE vault (
    mailbox_id   bigint NOT NULL,
    clearing_id  bigint NOT NULL,
    uid          bigint NOT NULL,
    size_bytes   bigint NOT NULL,
    message_id   uuid NOT NULL,
    accept_time  timestamptz NOT NULL,
    prefix       bytea NOT NULL,
    PRIMARY KEY (mailbox_id, clearing_id, uid) INCLUDE (size_bytes)
);
