-- Bit 4 of the flags: the message was checked, and neither SPF nor a signature showed that its sender sent it. What fails of
-- such a message behind a forward is not told to the sender, who is most likely somebody else.
COMMENT ON COLUMN messages.flags IS
    'Bit 0: eight bit content, 1: SMTPUTF8, 2: the client had proved who it is, 3: a bounce of ours, 4: checked, and nothing proves the sender';
