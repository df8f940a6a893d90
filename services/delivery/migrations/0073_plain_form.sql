-- A message that came with SMTPUTF8 is shown in plain form to mail programs that do not ask for UTF-8: so many octets it has
-- then. NULL: it is as it is stored, as all mail was until now.
ALTER TABLE entries ADD COLUMN plain_size_bytes bigint;
ALTER TABLE vault ADD COLUMN plain_size_bytes bigint;
-- The listing of a box is read from an index alone, also of these.
CREATE INDEX entries_plain ON entries (mailbox_id, uid) INCLUDE (plain_size_bytes) WHERE plain_size_bytes IS NOT NULL;
