-- What exists: customers, logins, domains, mailboxes, forwards; and the version of each domain.
--
-- Rules that the tables hold by themselves:
--   * a login belongs to one customer for ever (logins, never deleted);
--   * a live address is one mailbox at most, a domain has one default box (partial unique indexes);
--   * mailbox ids are never used again (identity; removed rows stay).
-- Names compare by octets (collate "C"): they are stored in canonical form.

-- Versions of domains and revisions (etags) of rows. Drawn while the row they go to is locked, so that the versions of
-- one domain grow in commit order.
create sequence change_number;

create table versions (
    domain  text collate "C" primary key,
    version bigint not null
) with (fillfactor = 70);
comment on table versions is 'Newest change of each domain that was ever hosted. Every write to a domain locks its row first.';

create table customers (
    customer_id        bigint generated always as identity primary key,
    login              text collate "C" not null unique,
    display_name       text not null,
    password_phc       text not null,
    credential_version bigint not null default 1,
    state              smallint not null check (state in (1, 2)),
    revision           bigint not null,
    create_time        timestamptz not null default now(),
    update_time        timestamptz not null default now(),
    removed_time       timestamptz
);
comment on column customers.state is 'postern.account.v1.ActivityState';
comment on column customers.password_phc is 'argon2id; empty once removed';

create table logins (
    login        text collate "C" primary key,
    customer_id  bigint not null references customers,
    domain       text collate "C",
    removed_time timestamptz
);
create unique index logins_of_domain on logins (customer_id, domain) where domain is not null;
comment on table logins is 'Every login of 1 to 8 characters that was ever given, and to whom. Rows are never deleted.';
comment on column logins.domain is 'Whose default box it opens, or opened; null for a customer login without one';

create table domains (
    domain             text collate "C" primary key,
    customer_id        bigint not null references customers,
    state              smallint not null check (state in (1, 2, 3)),
    login              text collate "C" not null references logins,
    default_mailbox_id bigint not null,
    default_action     smallint not null default 1 check (default_action between 1 and 4),
    default_target     text not null default '',
    grant_ttl_seconds  int check (grant_ttl_seconds between 300 and 3600),
    auth_only          boolean not null default false,
    sender_policy      smallint not null default 1 check (sender_policy between 1 and 3),
    allowed_senders    text[] not null default '{}',
    revision           bigint not null,
    create_time        timestamptz not null default now(),
    update_time        timestamptz not null default now(),
    check ((default_action = 4) = (default_target <> ''))
);
create index domains_of_customer on domains (customer_id, domain);
comment on column domains.state is 'postern.account.v1.DomainState';
comment on column domains.default_action is 'postern.account.v1.DefaultAction';
comment on column domains.sender_policy is 'postern.account.v1.SenderPolicy';

create table mailboxes (
    mailbox_id         bigint generated always as identity primary key,
    login              text collate "C" not null,
    address            text collate "C" not null,
    domain             text collate "C" not null,
    customer_id        bigint not null references customers,
    default_box        boolean not null,
    password_phc       text,
    credential_version bigint not null default 1,
    state              smallint not null check (state in (1, 2)),
    display_name       text not null default '',
    revision           bigint not null,
    create_time        timestamptz not null default now(),
    update_time        timestamptz not null default now(),
    removed_time       timestamptz,
    check (default_box = (address = '')),
    check (default_box or removed_time is not null or password_phc is not null),
    check (not default_box or password_phc is null)
) with (fillfactor = 90);
-- The mail path asks by login: the address, or the login of a default box (those have no @).
create unique index mailboxes_live_login on mailboxes (login) include (mailbox_id) where removed_time is null;
create unique index mailboxes_live_address on mailboxes (domain, address) where removed_time is null;
comment on column mailboxes.address is 'Empty for a default box';
comment on column mailboxes.password_phc is 'argon2id; null for a default box (the customer''s own is used) and once removed';

create table forwards (
    address     text collate "C" primary key,
    domain      text collate "C" not null references domains,
    targets     text[] not null check (cardinality(targets) between 1 and 100),
    keep_copy   boolean not null,
    revision    bigint not null,
    create_time timestamptz not null default now(),
    update_time timestamptz not null default now()
);
create unique index forwards_of_domain on forwards (domain, address);

create table requests (
    kind        text collate "C" not null,
    request_id  text collate "C" not null,
    subject     text not null,
    answer      bytea,
    create_time timestamptz not null default now(),
    primary key (kind, request_id)
);
create index requests_by_age on requests (create_time);
comment on table requests is 'Answers of creates by request_id, kept for 24 hours';
