-- Tokens of tools, app passwords of mailboxes, and how much a customer may have.

create table api_tokens (
    token_id      bigint generated always as identity primary key,
    role          smallint not null check (role between 1 and 3),
    customer_id   bigint references customers,
    display_name  text not null,
    scopes        text[] not null,
    secret_sha256 bytea not null,
    create_time   timestamptz not null default now(),
    expire_time   timestamptz not null,
    last_use_time timestamptz,
    check ((role = 3) = (customer_id is not null))
);
create index api_tokens_of_customer on api_tokens (customer_id, token_id);
comment on column api_tokens.role is 'postern.account.v1.TokenRole';
comment on column api_tokens.secret_sha256 is 'The secret has 256 random bits: nobody can try them all';

create table app_passwords (
    app_password_id bigint generated always as identity primary key,
    mailbox_id      bigint not null references mailboxes,
    protocol        smallint not null check (protocol in (1, 2)),
    display_name    text not null,
    secret_sha256   bytea not null,
    create_time     timestamptz not null default now()
);
create index app_passwords_of_mailbox on app_passwords (mailbox_id, app_password_id);
comment on column app_passwords.protocol is 'postern.account.v1.AppProtocol';

create table limits (
    customer_id           bigint primary key references customers,
    domains               bigint check (domains >= -1),
    mailboxes             bigint check (mailboxes >= -1),
    forwards              bigint check (forwards >= -1),
    lists                 bigint check (lists >= -1),
    list_members          bigint check (list_members >= -1),
    autoresponders        bigint check (autoresponders >= -1),
    storage_bytes         bigint check (storage_bytes >= -1),
    mailbox_storage_bytes bigint check (mailbox_storage_bytes >= -1),
    messages_per_hour     bigint check (messages_per_hour >= -1),
    revision              bigint not null
);
comment on table limits is 'As set for a customer: null is the platform''s default, -1 no limit';
