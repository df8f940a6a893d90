-- The course of imports, so that it can be seen while they run and afterwards.
CREATE TABLE imports (
    import_id        uuid PRIMARY KEY,
    mailbox_id       bigint NOT NULL,
    -- Of the file, for people.
    file_name        text NOT NULL,
    -- postern.delivery.v1.ImportState
    state            smallint NOT NULL,
    total_bytes      bigint NOT NULL,
    read_bytes       bigint NOT NULL DEFAULT 0,
    imported_count   bigint NOT NULL DEFAULT 0,
    duplicate_count  bigint NOT NULL DEFAULT 0,
    refused_count    bigint NOT NULL DEFAULT 0,
    -- The first of those: place in the file from 0, and a reason of the failure table.
    refused_indexes  bigint[] NOT NULL DEFAULT '{}',
    refused_reasons  text[] NOT NULL DEFAULT '{}',
    -- Why it stopped early.
    reason           text NOT NULL DEFAULT '',
    begin_time       timestamptz NOT NULL DEFAULT now(),
    update_time      timestamptz NOT NULL DEFAULT now(),
    end_time         timestamptz
);
CREATE INDEX imports_of_box ON imports (mailbox_id, begin_time DESC);
CREATE INDEX imports_by_age ON imports (begin_time);
