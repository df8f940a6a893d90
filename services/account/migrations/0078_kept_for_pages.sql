-- What DNS said of each record of a domain, so that a page tells what is missing without asking.
create table dns_findings (
    domain      text collate "C" not null references domains on delete cascade,
    position    smallint not null,
    purpose     smallint not null,
    name        text not null,
    record_type text not null,
    found       text[] not null,
    expected    text[] not null,
    ttl_seconds bigint,
    verdict     smallint not null,
    needed      boolean not null,
    advice      text not null,
    primary key (domain, position)
);
comment on table dns_findings is 'As the last check found it, in the order a person should mend it; written when something differs. Of a record that DNS did not answer for, what it said before';
comment on column dns_findings.purpose is 'postern.account.v1.DnsPurpose';
comment on column dns_findings.verdict is 'postern.account.v1.DnsVerdict';
comment on column dns_findings.ttl_seconds is 'As of the check that wrote it';

-- Members that are added in several calls: how far that is, and which lines were not taken.
create table list_additions (
    addition_id      uuid primary key,
    list_id          bigint not null references lists on delete cascade,
    total_count      int not null,
    done_count       int not null,
    added_count      int not null,
    duplicate_count  int not null,
    refused_count    int not null,
    refused_lines    text[] not null,
    refused_outcomes smallint[] not null,
    refused_reasons  text[] not null,
    create_time      timestamptz not null default now(),
    update_time      timestamptz not null default now()
);
create index list_additions_of_list on list_additions (list_id, create_time desc);
create index list_additions_by_age on list_additions (create_time);
comment on column list_additions.refused_lines is 'The first 1000, each with what became of it (postern.account.v1.MemberLineOutcome) and why';
