-- What the sender of a message wants to hear of its way (RFC 3461), kept as it was given, so that it can be passed on.
ALTER TABLE messages
    -- ENVID, xtext.
    ADD COLUMN envelope_id text,
    -- RET. 1: FULL, 2: HDRS; NULL: nothing was said.
    ADD COLUMN return_content smallint;
ALTER TABLE queue
    -- NOTIFY. 0: NEVER, else 1 SUCCESS, 2 FAILURE, 4 DELAY added up; NULL: nothing was said.
    ADD COLUMN notify smallint,
    -- ORCPT.
    ADD COLUMN original_recipient text,
    -- When the sender was told that it takes long; once.
    ADD COLUMN delay_notice_time timestamptz;
