-- What a first page shows: members of lists that are suspended, and how a box came to hold what it holds.
create index list_members_suspended on list_members (list_id, suspend_time) where suspend_time is not null;

create table box_usage_days (
    mailbox_id    bigint not null,
    day           date not null,
    used_bytes    bigint not null,
    message_count bigint not null,
    primary key (mailbox_id, day)
);
-- Rows come day by day: the old ones lie together.
create index box_usage_days_by_age on box_usage_days using brin (day);
comment on table box_usage_days is 'What a box held as delivery told it first on a day (UTC); a day without a change has no row';
