-- no-transaction
-- The same for all other errands: a post may take an hour.
CREATE INDEX CONCURRENTLY IF NOT EXISTS queue_turn_errands ON queue ((coalesce(customer, '') COLLATE "C"), next_attempt_time)
    WHERE state = 1 AND class > 3;
