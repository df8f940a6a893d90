-- A row that is at work only to be ended (removed by hand, or held until its time was over): whatever interrupts that, it does not
-- leave, but is held again.
ALTER TABLE queue ADD COLUMN ends_only boolean NOT NULL DEFAULT false;
