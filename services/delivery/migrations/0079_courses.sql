-- What people know the messages by that an import refused: those of an archive have names.
ALTER TABLE imports ADD COLUMN refused_names text[] NOT NULL DEFAULT '{}';

-- The course of clearings, so that it can be seen while they run and afterwards. Those before had ended.
ALTER TABLE clearings
    -- postern.delivery.v1.ClearingState
    ADD COLUMN state         smallint NOT NULL DEFAULT 2,
    -- What the box held at the begin, and what was looked at and went so far.
    ADD COLUMN total_count   bigint NOT NULL DEFAULT 0,
    ADD COLUMN checked_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN cleared_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN update_time   timestamptz NOT NULL DEFAULT now();
