-- What domains said over MTA-STS (RFC 8461), kept for as long as they said: no restart, and no other replica, may be told anything else
-- meanwhile by whoever spoils their DNS.
CREATE TABLE mta_sts_policies (
    domain      text COLLATE "C" PRIMARY KEY,
    -- Of the record in DNS.
    id          text NOT NULL,
    -- As it was served.
    policy      text NOT NULL,
    fetch_time  timestamptz NOT NULL DEFAULT now(),
    end_time    timestamptz NOT NULL
);
CREATE INDEX mta_sts_policies_end ON mta_sts_policies (end_time);
