-- What account was told of each box. usage_version grows with each change of what a box holds; no index holds either column,
-- so a delivery still updates its row in place.
ALTER TABLE mailboxes
    ADD COLUMN usage_version bigint NOT NULL DEFAULT 1,
    -- The usage_version that account has confirmed.
    ADD COLUMN reported_version bigint NOT NULL DEFAULT 0;
