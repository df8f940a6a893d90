-- The sweep asks whether any message names a blob. Only large messages have a row here.
CREATE INDEX messages_blob ON messages (blob_key) WHERE blob_key IS NOT NULL;
