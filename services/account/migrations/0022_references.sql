-- What points at an address is found by index, so that a removal can say what is left behind.
alter table forwards add column target_keys text[] not null default '{}';
update forwards set target_keys = array(select lower(target) from unnest(targets) target);
create index forwards_by_target on forwards using gin (target_keys);
comment on column forwards.target_keys is 'The targets in canonical form';

create index domains_by_default_target on domains (lower(default_target)) where default_action = 4;
