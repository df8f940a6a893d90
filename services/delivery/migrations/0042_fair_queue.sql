-- The next rows to be tried are taken by turns over customers and over destinations, so that a million rows of one of them
-- do not hide the others'. Rows that are at work are in none of these: accepting a message writes none of them.
CREATE INDEX queue_turn_customer ON queue ((coalesce(customer, '') COLLATE "C"), next_attempt_time)
    WHERE state = 1 AND class < 2;
CREATE INDEX queue_turn_domain ON queue ((recipient_domain COLLATE "C"), next_attempt_time)
    WHERE state = 1 AND class < 2;
CREATE INDEX queue_turn_customer_copies ON queue ((coalesce(customer, '') COLLATE "C"), next_attempt_time)
    WHERE state = 1 AND class = 2;
CREATE INDEX queue_turn_domain_copies ON queue ((recipient_domain COLLATE "C"), next_attempt_time)
    WHERE state = 1 AND class = 2;
-- Lists by customer, and of what is held.
CREATE INDEX queue_customer ON queue (customer, id) WHERE customer IS NOT NULL;
CREATE INDEX queue_held ON queue (id) WHERE state = 3;
