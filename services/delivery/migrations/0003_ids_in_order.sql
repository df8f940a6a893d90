-- Ids that each connection keeps in store come out of order when several connections write; a box and the queue are
-- listed oldest first.
ALTER SEQUENCE entry_uid CACHE 1;
ALTER TABLE queue ALTER COLUMN id SET CACHE 1;
