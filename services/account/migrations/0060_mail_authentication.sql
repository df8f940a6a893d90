-- Keys that change, what becomes of mail that fails DMARC, and members of lists whose copies bounce.

alter table dkim_keys
    add column begin_time timestamptz,
    add column end_time   timestamptz,
    add check (begin_time is not null or end_time is null);
update dkim_keys set begin_time = create_time;
create unique index dkim_keys_in_use on dkim_keys (domain) where begin_time is not null and end_time is null;
create unique index dkim_keys_waiting on dkim_keys (domain) where begin_time is null;
comment on column dkim_keys.begin_time is 'Since when mail is signed with it; null: it waits until DNS shows it';
comment on column dkim_keys.end_time is 'Since when mail is signed with a newer one; it is shown a while longer, then forgotten';
comment on column dkim_keys.private_pkcs8 is 'Leaves this service by LookupSigningKey only, which no person may call';

alter table domains
    add column dmarc_handling smallint not null default 1 check (dmarc_handling between 1 and 2);
comment on column domains.dmarc_handling is 'postern.account.v1.DmarcHandling';

create table sender_keys (
    key_id      bigint generated always as identity primary key,
    secret      bytea not null check (octet_length(secret) = 32),
    create_time timestamptz not null default now()
);
comment on table sender_keys is 'Keys of the marks in rewritten senders. Made when they are asked for, forgotten when no sender can have them any more';

alter table lists
    add column unsubscribe_key bytea not null default uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());
comment on column lists.unsubscribe_key is 'Of the tokens in List-Unsubscribe; they are good for as long as the list is there';

alter table list_members
    add column bounce_count       int not null default 0 check (bounce_count >= 0),
    add column bounce_time        timestamptz,
    add column delivered_time     timestamptz,
    add column probe_token_sha256 bytea,
    add column probe_time         timestamptz,
    add column suspend_time       timestamptz;
create index list_members_probed on list_members (list_id, probe_token_sha256) where probe_token_sha256 is not null;
comment on column list_members.bounce_count is 'Copies that bounced in a row';
comment on column list_members.delivered_time is 'When a remote host took the first copy after the last bounce; if that one does not bounce in time, all is forgiven';
comment on column list_members.probe_time is 'When a probe was sent last';
