-- Mailing lists: the list, its members, and the changes that somebody asked for by mail and has to confirm.
create table lists (
    list_id           bigint generated always as identity primary key,
    address           text collate "C" not null,
    domain            text collate "C" not null,
    posting           smallint not null check (posting between 1 and 3),
    replies           smallint not null check (replies between 1 and 2),
    subject_prefix    text not null,
    owner             text not null,
    owner_key         text collate "C" not null,
    description       text not null,
    message_max_bytes bigint not null check (message_max_bytes >= 0),
    listserv          text not null,
    listserv_key      text collate "C" not null,
    member_count      int not null default 0 check (member_count >= 0),
    revision          bigint not null,
    create_time       timestamptz not null default now(),
    update_time       timestamptz not null default now(),
    removed_time      timestamptz
);
-- The mail path asks by address.
create unique index lists_live on lists (address) where removed_time is null;
create unique index lists_of_domain on lists (domain, address) where removed_time is null;
create index lists_by_owner on lists (owner_key) where removed_time is null;
create index lists_by_listserv on lists (listserv_key) where removed_time is null and listserv_key <> '';
create index lists_by_removal on lists (removed_time) where removed_time is not null;
comment on table lists is 'Removed ones stay with their members for the days of the vault, so that they can be restored';
comment on column lists.posting is 'postern.account.v1.ListPosting';
comment on column lists.replies is 'postern.account.v1.ListReplies';
comment on column lists.owner_key is 'The owner in canonical form';

create table list_members (
    list_id     bigint not null references lists on delete cascade,
    member      text collate "C" not null,
    address     text not null,
    domain      text collate "C" not null,
    origin      smallint not null check (origin between 1 and 2),
    create_time timestamptz not null default now(),
    primary key (list_id, member)
);
create index list_members_by_member on list_members (member, list_id);
comment on column list_members.member is 'In canonical form';
comment on column list_members.address is 'In the spelling it was added with';
comment on column list_members.origin is 'postern.account.v1.MemberOrigin';

create table list_changes (
    token_sha256 bytea primary key,
    list_id      bigint not null references lists on delete cascade,
    member       text collate "C" not null,
    address      text not null,
    change       smallint not null check (change between 1 and 2),
    create_time  timestamptz not null default now(),
    used_time    timestamptz
);
create index list_changes_of_member on list_changes (member, create_time);
create index list_changes_of_list on list_changes (list_id);
create index list_changes_by_age on list_changes (create_time);
comment on table list_changes is 'Tokens that were sent to somebody who asked to be, or not to be, a member; hashed, for one use';
comment on column list_changes.change is 'postern.account.v1.ListChange';
