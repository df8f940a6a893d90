-- Errands that wait are taken by turns over customers, as mail is, and found without passing the mail that is due: posts to lists,
-- which may take an hour each, and all others. Few rows are ever in these.
CREATE INDEX queue_turn_posts ON queue ((coalesce(customer, '') COLLATE "C"), next_attempt_time)
    WHERE state = 1 AND class = 3;
CREATE INDEX queue_turn_errands ON queue ((coalesce(customer, '') COLLATE "C"), next_attempt_time)
    WHERE state = 1 AND class > 3;
