-- What becomes of mail by the word of the spam scanner.

alter table domains
    add column spam_handling smallint not null default 2 check (spam_handling between 1 and 4),
    add column spam_mailbox  text not null default '';
comment on column domains.spam_handling is 'postern.account.v1.SpamHandling';
comment on column domains.spam_mailbox is 'Address of the mailbox for spam; it may have been removed since';
