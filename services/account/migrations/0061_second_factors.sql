-- Second factors of people who sign in to the control panel: codes of an authenticator (RFC 6238).

create table second_factors (
    second_factor_id bigint generated always as identity primary key,
    customer_id      bigint unique references customers,
    mailbox_id       bigint unique references mailboxes,
    secret           bytea not null check (octet_length(secret) = 20),
    confirm_time     timestamptz,
    last_step        bigint not null default 0,
    wrong_count      int not null default 0 check (wrong_count >= 0),
    wrong_time       timestamptz,
    recovery_sha256  bytea[] not null default '{}',
    create_time      timestamptz not null default now(),
    check ((customer_id is null) <> (mailbox_id is null))
);
comment on column second_factors.secret is 'Of an authenticator; shown once, never leaves this service afterwards';
comment on column second_factors.confirm_time is 'Since when codes are asked for; null: no code has shown yet that the authenticator has the secret';
comment on column second_factors.last_step is 'Newest step whose code was taken: a code is taken once';
comment on column second_factors.wrong_time is 'When the first of the wrong codes that are counted came';
comment on column second_factors.recovery_sha256 is 'Hashes of the recovery codes that were not used; each code has 80 random bits';
