-- Autoresponders: one for an address at most, beside a mailbox or a forward, or alone.
create table autoresponders (
    autoresponder_id bigint generated always as identity primary key,
    address          text collate "C" not null unique,
    domain           text collate "C" not null references domains,
    subject          text not null,
    text             text not null,
    start_time       timestamptz,
    end_time         timestamptz,
    interval_seconds bigint not null check (interval_seconds between 3600 and 31536000),
    text_version     bigint not null,
    next_turn_time   timestamptz,
    revision         bigint not null,
    create_time      timestamptz not null default now(),
    update_time      timestamptz not null default now(),
    check (end_time > start_time)
);
create unique index autoresponders_of_domain on autoresponders (domain, address);
create index autoresponders_by_turn on autoresponders (next_turn_time) where next_turn_time is not null;
comment on column autoresponders.next_turn_time is 'When it begins or ends next: whoever cached where its address leads is told then';
