-- Who changed what. A row is written in the transaction of the change it tells of, and never changed.
create table audit (
    audit_id    bigint generated always as identity primary key,
    time        timestamptz not null default now(),
    actor_role  text not null,
    actor       text not null,
    peer_ip     text not null,
    customer    text collate "C" not null,
    kind        text collate "C" not null,
    name        text collate "C" not null,
    action      text collate "C" not null,
    before_json text not null,
    after_json  text not null
);
create index audit_of_customer on audit (customer, audit_id);
create index audit_of_thing on audit (kind, name, audit_id);
create index audit_by_age on audit (time);
comment on column audit.customer is 'Login of the customer whose thing it is; empty for the platform''s own';
comment on column audit.before_json is 'protobuf JSON, never a secret; empty where there is none';
