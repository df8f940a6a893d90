-- The trace (W3C traceparent) that a message was accepted in, so that an attempt to send it days later is part of it; NULL when
-- none was exported.
ALTER TABLE messages ADD COLUMN traceparent text;
