-- How a domain comes into service: second names, claims, what DNS said, and the keys its mail is to be signed with.

alter table domains
    -- A second name has no boxes: no default box and no login of it.
    alter column login drop not null,
    alter column default_mailbox_id drop not null,
    add column alias_of         text collate "C" references domains,
    add column plaintext_login  boolean not null default false,
    add column live_without_dns boolean not null default false,
    add column check_time       timestamptz,
    add column grace_end_time   timestamptz,
    add column next_check_time  timestamptz not null default now(),
    add check (alias_of <> domain),
    add check ((alias_of is null) = (login is not null)),
    add check ((login is null) = (default_mailbox_id is null));
create index domains_of_target on domains (alias_of) where alias_of is not null;
create index domains_by_next_check on domains (next_check_time);
comment on column domains.alias_of is 'Whose boxes, forwards and lists are reached under this name; never a second name itself';
comment on column domains.live_without_dns is 'The operator put it into service; until DNS has pointed here once, DNS does not take it out again';
comment on column domains.grace_end_time is 'While a live domain no longer points here: when it becomes lost';
comment on column domains.next_check_time is 'Also a lease: who moves it asks DNS';
-- Until now the operator alone put domains into service.
update domains set live_without_dns = true where state = 2;

create table domain_claims (
    claim_id    bigint generated always as identity primary key,
    domain      text collate "C" not null,
    customer_id bigint not null references customers,
    token       text collate "C" not null default replace(gen_random_uuid()::text, '-', ''),
    held        boolean not null,
    waiting     boolean not null,
    alias_of    text collate "C",
    create_time timestamptz not null default now(),
    unique (domain, customer_id),
    check (held or waiting)
);
create index domain_claims_waiting on domain_claims (customer_id, domain) where waiting;
comment on table domain_claims is 'Who has, had or wants a domain. Written under the lock of the domain''s version';
comment on column domain_claims.token is 'What `_postern.<domain>` must say to prove it; random, the same for as long as the row is there';
comment on column domain_claims.held is 'The domain is or was hosted for this customer. Such rows stay: a former owner is remembered';
comment on column domain_claims.waiting is 'Asked for while another customer has it';
comment on column domain_claims.alias_of is 'Of a waiting claim: the domain that it shall be a second name of';
insert into domain_claims (domain, customer_id, held, waiting)
    select domain, customer_id, true, false from domains
    union select domain, customer_id, true, false from logins where domain is not null;

create table dkim_keys (
    domain        text collate "C" not null,
    selector      text collate "C" not null,
    private_pkcs8 bytea not null,
    public_spki   bytea not null,
    create_time   timestamptz not null default now(),
    primary key (domain, selector)
);
comment on table dkim_keys is 'RSA keys of domains (RFC 6376), DER. They stay when a domain goes, so that it can come home without a change in its DNS';
comment on column dkim_keys.private_pkcs8 is 'Never leaves this service by any call';
