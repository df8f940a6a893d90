-- no-transaction
-- Posts to lists that wait are taken by turns over customers, as mail is, and found without passing the mail that is due. Few rows are
-- ever in it.
CREATE INDEX CONCURRENTLY IF NOT EXISTS queue_turn_posts ON queue ((coalesce(customer, '') COLLATE "C"), next_attempt_time)
    WHERE state = 1 AND class = 3;
