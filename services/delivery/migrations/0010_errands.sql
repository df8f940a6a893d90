-- Queue rows that are work inside the house (errands): expand a post to a mailing list, do what a mail to one of a list's
-- command addresses asks for, answer by an autoresponder. Beside them the copies of a list, a class of their own.
--
-- class: 0 mail, 1 a bounce or answer of ours, 2 a copy of a list; errands: 3 post, 4 subscribe, 5 unsubscribe, 6 request,
-- 7 autoreply.
ALTER TABLE queue
    -- The list or autoresponder that an errand is about.
    ADD COLUMN subject_id bigint,
    -- A post: where its next batch of members begins, NULL before its copy is made. A request: its token. A copy of a
    -- list: the member it is for, when another address than the recipient.
    ADD COLUMN note text,
    -- A post whose copy is made: the first such copy, also for the lists in that list.
    ADD COLUMN parent uuid;
CREATE INDEX queue_parent ON queue (parent) WHERE parent IS NOT NULL;

-- Mail goes before the copies of lists: each has its own order.
DROP INDEX queue_due;
CREATE INDEX queue_due ON queue (next_attempt_time) WHERE state = 1 AND class <> 2;
CREATE INDEX queue_due_copies ON queue (next_attempt_time) WHERE state = 1 AND class = 2;

-- Who has got a post already (a box, a remote address, a list), while it is being expanded.
CREATE TABLE post_recipients (
    parent     uuid NOT NULL,
    recipient  text NOT NULL,
    PRIMARY KEY (parent, recipient)
);
ALTER TABLE post_recipients SET (autovacuum_vacuum_scale_factor = 0.05);

-- Whom we answered by ourselves, and when, so that nobody is answered again too soon.
CREATE TABLE answers (
    -- 1 autoreply, 2 a word about a list's commands.
    kind         smallint NOT NULL,
    -- The autoresponder or list.
    subject_id   bigint NOT NULL,
    -- Of an autoresponder's text: who got another one may be answered again.
    version      bigint NOT NULL,
    -- Canonical address.
    recipient    text NOT NULL,
    answer_time  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, subject_id, version, recipient)
);
CREATE INDEX answers_recent ON answers (kind, subject_id, answer_time);
