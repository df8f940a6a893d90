//! TRANSACTION and UPDATE: numbers, marks, messages, and what QUIT does.

use super::*;

#[test]
fn p_60_p_61_stat_and_list() {
    let mut table = Table::open(&[100, 20, 3]);
    assert_eq!(table.line("STAT"), "+OK 3 123\r\n");
    assert_eq!(table.line("LIST"), "+OK 3 messages (123 octets)\r\n1 100\r\n2 20\r\n3 3\r\n.\r\n");
    assert_eq!(table.line("LIST 2"), "+OK 2 20\r\n");
    table.line("DELE 2");
    assert_eq!(table.line("STAT"), "+OK 2 103\r\n");
    assert_eq!(table.line("LIST"), "+OK 2 messages (103 octets)\r\n1 100\r\n3 3\r\n.\r\n");
    for line in ["LIST 0", "LIST -1", "LIST 99999999999999999999", "LIST 1x", "LIST 1 2", "LIST 4"] {
        assert!(table.line(line).starts_with("-ERR "), "{line}");
    }
    assert_eq!(Table::open(&[]).line("LIST"), "+OK 0 messages (0 octets)\r\n.\r\n");
}

#[test]
fn a_listing_of_a_full_box_comes_in_pieces() {
    let mut table = Table::open(&vec![1_000; 100_000]);
    let Effect::List(mut listing) = table.effect("LIST") else { panic!("a listing") };
    let (mut pieces, mut said) = (0, String::new());
    while table.session.write_listing(&mut listing, &mut table.out) {
        assert!(table.out.remaining() < 40_000);
        said.push_str(&table.said());
        pieces += 1;
    }
    said.push_str(&table.said());
    assert!(pieces > 10);
    assert_eq!(said.lines().count(), 100_002);
    assert!(said.ends_with("100000 1000\r\n.\r\n"));
}

#[test]
fn p_65_what_is_marked_deleted_is_gone() {
    let mut table = Table::open(&[1, 2]);
    assert!(table.line("DELE 1").starts_with("+OK "));
    for line in ["DELE 1", "RETR 1", "TOP 1 0", "LIST 1", "UIDL 1", "DELE 3", "RETR 3"] {
        assert!(table.line(line).starts_with("-ERR "), "{line}");
    }
}

#[test]
fn p_66_top_zero_is_a_number() {
    let mut table = Table::open(&[500]);
    let Effect::Retrieve(retrieval) = table.effect("TOP 1 0") else { panic!("a retrieval") };
    assert_eq!(retrieval.kind, TransferKind::Top { lines: 0 });
    table.event(Event::Retrieved(Ok(())));
    assert_eq!(table.session.tally().retrieved, 0);
    for line in ["TOP", "TOP 1", "TOP 1 -1", "TOP 1xyz 2", "TOP 1 2xyz", "TOP 1 2 3"] {
        assert!(table.line(line).starts_with("-ERR "), "{line}");
    }
}

#[test]
fn p_68_uidl() {
    let mut table = Table::open(&[1, 1]);
    assert_eq!(table.line("UIDL"), "+OK unique ids follow\r\n1 a.1\r\n2 k.1\r\n.\r\n");
    assert_eq!(table.line("UIDL 2"), "+OK 2 k.1\r\n");
}

#[test]
fn p_70_rset() {
    let mut table = Table::open(&[1, 2]);
    table.line("DELE 1");
    assert_eq!(table.line("RSET"), "+OK 2 messages\r\n");
    assert_eq!(table.line("STAT"), "+OK 2 3\r\n");
}

#[test]
fn p_45_a_message_that_is_not_to_be_had_harms_only_itself() {
    for (reason, said) in [
        (Reason::MessageDamaged, "-ERR [SYS/PERM] "),
        (Reason::MessageGone, "-ERR this message is gone"),
        (Reason::Unavailable, "-ERR [SYS/TEMP] "),
        (Reason::BadCredentials, "-ERR [SYS/TEMP] "),
        (Reason::NoSuchMailbox, "-ERR [SYS/TEMP] "),
    ] {
        let mut table = Table::open(&[1, 2]);
        assert!(matches!(table.effect("RETR 1"), Effect::Retrieve(_)));
        assert_eq!(table.event(Event::Retrieved(Err(reason))), Effect::Continue);
        assert!(table.said().starts_with(said), "{reason:?}");
        assert_eq!(table.line("STAT"), "+OK 2 3\r\n");
    }
}

#[test]
fn p_80_quit_deletes_then_answers() {
    let mut table = Table::open(&[1, 2, 3]);
    table.line("DELE 3");
    table.line("DELE 1");
    assert_eq!(table.effect("QUIT"), Effect::Close { lock: LOCK, deleted_uids: vec![10, 30] });
    assert_eq!(table.said(), "", "nothing is answered before it is done");
    assert_eq!(table.event(Event::Closed(Ok(2))), hangup(Outcome::Quit));
    assert!(table.said().starts_with("+OK "));
    assert_eq!(table.session.tally().deleted, 2);
}

#[test]
fn p_80_p_83_quit_that_fails() {
    for (reason, said, release) in [
        (Reason::Unavailable, "-ERR [SYS/TEMP] some deleted messages not removed", Some(LOCK)),
        (Reason::LockLost, "-ERR [SYS/TEMP] some deleted messages not removed", None),
        (Reason::MailboxRemoved, "-ERR [SYS/PERM] ", None),
        (Reason::BadCredentials, "-ERR [SYS/TEMP] some deleted messages not removed", Some(LOCK)),
    ] {
        let mut table = Table::open(&[1]);
        table.line("DELE 1");
        table.effect("QUIT");
        let effect = table.event(Event::Closed(Err(reason)));
        assert_eq!(effect, Effect::Hangup { release, outcome: Outcome::QuitFailed }, "{reason:?}");
        assert!(table.said().starts_with(said), "{reason:?}");
        assert_eq!(table.session.tally().deleted, 0);
    }
}

#[test]
fn quit_without_deletes_is_ok_whatever_happens() {
    let mut table = Table::open(&[1]);
    assert_eq!(table.effect("QUIT"), Effect::Close { lock: LOCK, deleted_uids: Vec::new() });
    assert_eq!(table.event(Event::Closed(Err(Reason::Unavailable))), hangup(Outcome::Quit));
    assert_eq!(table.said(), "+OK goodbye\r\n");
}
