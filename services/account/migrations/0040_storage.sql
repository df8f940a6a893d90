-- How much boxes may hold, what they hold as delivery told last, and removed ones that can still be brought back.
alter table mailboxes
    add column quota_bytes    bigint check (quota_bytes = -1 or quota_bytes between 1 and 9007199254740992),
    add column over_quota     boolean not null default false,
    add column expired_time   timestamptz,
    add column destroyed_time timestamptz;
comment on column mailboxes.quota_bytes is 'Null: as the limits of its customer say; -1: no bound of its own';
comment on column mailboxes.over_quota is 'Mail to it is answered 452 4.2.2; written under the lock of its domain';
comment on column mailboxes.expired_time is 'When its days in the vault were over: it cannot be restored any more';
comment on column mailboxes.destroyed_time is 'When its mail was destroyed';
comment on column mailboxes.password_phc is 'argon2id; null for a default box (the customer''s own is used) and once destroyed';

-- Removed mailboxes, newest first, and those whose mail is still to be destroyed.
create index mailboxes_removed on mailboxes (domain, removed_time desc, mailbox_id desc)
    where removed_time is not null and destroyed_time is null;
create index mailboxes_to_destroy on mailboxes (removed_time) where removed_time is not null and destroyed_time is null;
create index mailboxes_of_customer on mailboxes (customer_id) where removed_time is null;

-- A table of its own: reports come at any moment and must not wait for, or hold up, a write to a domain.
create table box_usage (
    mailbox_id    bigint primary key,
    used_bytes    bigint not null,
    message_count bigint not null,
    version       bigint not null
) with (fillfactor = 70);
comment on table box_usage is 'What boxes hold, as delivery told last';
comment on column box_usage.version is 'Of the box at delivery: of several reports the newest counts';

-- Hardly ever a row: what RCPT asks beside each address costs nothing.
create index mailboxes_full on mailboxes (login) include (mailbox_id) where over_quota and removed_time is null;
create index mailboxes_removed_login on mailboxes (login) where removed_time is not null and destroyed_time is null;
