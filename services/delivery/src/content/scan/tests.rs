//! What is found, taken out and kept, whole and octet by octet.

use proptest::prelude::*;

use super::*;

fn scan(pieces: &[&[u8]]) -> Result<(Vec<u8>, Found), Reason> {
    scan_with(HeaderScan::default(), pieces)
}

fn scan_with(mut scan: HeaderScan, pieces: &[&[u8]]) -> Result<(Vec<u8>, Found), Reason> {
    let mut kept = Vec::new();
    for piece in pieces {
        scan.push(Bytes::copy_from_slice(piece), &mut kept)?;
    }
    let found = scan.finish(&mut kept)?;
    Ok((kept.concat(), found))
}

#[track_caller]
fn check(given: &str, kept: &str, delivered_to: &[&str], received_count: usize) {
    let whole = scan(&[given.as_bytes()]).expect("scanned");
    assert_eq!(String::from_utf8_lossy(&whole.0), kept);
    let addresses: Vec<_> = delivered_to.iter().map(|a| a.parse().expect("an address")).collect();
    assert_eq!(whole.1, Found { delivered_to: addresses, received_count, ..Found::default() });
    let octets: Vec<&[u8]> = given.as_bytes().chunks(1).collect();
    assert_eq!(scan(&octets).expect("scanned"), whole, "octet by octet");
}

#[test]
fn s_25_return_path_goes_wherever_it_stands() {
    check(
        "Return-Path: <a@x.test>\r\nSubject: s\r\n\r\nReturn-Path: body\r\n",
        "Subject: s\r\n\r\nReturn-Path: body\r\n",
        &[],
        0,
    );
    check(
        "A: 1\r\nreturn-PATH :\r\n <a@x.test>\r\n\t(c)\r\nB: 2\r\nReturn-Path: x\r\n\r\nb",
        "A: 1\r\nB: 2\r\n\r\nb",
        &[],
        0,
    );
    check("Return-Path: x\r\n", "", &[], 0);
    check("Return-Path: x", "", &[], 0);
    check("Return-Pathology: x\r\n\r\n", "Return-Pathology: x\r\n\r\n", &[], 0);
}

#[test]
fn s_73_who_wrote_a_submission_is_collected() {
    let text = "From : Anna\r\n <anna@x.test>\r\nSubject: s\r\nSENDER: b@y.test\r\nfrom: c@z.test\r\n\r\nFrom: body\r\n";
    for size in [1, 5, 1000] {
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
        let submitted = scan_with(HeaderScan::default().of_submission(), &pieces).expect("scanned");
        let authors: Vec<_> =
            submitted.1.authors.iter().map(|value| String::from_utf8_lossy(value)).collect();
        assert_eq!(authors, [" Anna\r\n <anna@x.test>\r\n", " b@y.test\r\n", " c@z.test\r\n"]);
        assert_eq!(String::from_utf8_lossy(&submitted.0), text);
        assert!(scan(&pieces).expect("scanned").1.authors.is_empty(), "of others nobody asks");
    }
    let endless = format!("From: a@x.test{}\r\n\r\n", ",\r\n b@x.test".repeat(2000));
    let submitted = scan_with(HeaderScan::default().of_submission(), &[endless.as_bytes()]);
    assert_eq!(submitted.expect_err("no list of authors"), Reason::HeadersTooLarge);
    assert!(scan(&[endless.as_bytes()]).is_ok());
}

#[test]
fn s_24_s_26_what_a_submission_lacks_and_what_it_hides() {
    let text = "Bcc: a@x.test,\r\n b@x.test\r\nDATE: today\r\nbcc:\r\nX: 1\r\n\r\nBcc: body\r\nMessage-ID: <1@x>\r\n";
    let kept = "DATE: today\r\nX: 1\r\n\r\nBcc: body\r\nMessage-ID: <1@x>\r\n";
    let found = Found { has_date: true, ..Found::default() };
    for size in [1, 3, 1000] {
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
        let submitted = scan_with(HeaderScan::default().of_submission(), &pieces).expect("scanned");
        assert_eq!((String::from_utf8_lossy(&submitted.0).as_ref(), &submitted.1), (kept, &found));
        let relayed = scan(&pieces).expect("scanned");
        assert_eq!(String::from_utf8_lossy(&relayed.0), text, "of others nothing is taken out");
    }
    let found = scan(&[b"message-id : <1@x>\r\n\r\n"]).expect("scanned").1;
    assert!(found.has_message_id && !found.has_date);
}

#[test]
fn what_others_said_of_spam_goes_where_we_say_it() {
    let text = "X-Spam-Status: No,\r\n score=-9\r\nA: 1\r\nx-spam-flag: no\r\nX-Spam-Statusline: s\r\nX-SPAM-SCORE : 0\r\n\r\nX-Spam-Score: b\r\n";
    let kept = "A: 1\r\nX-Spam-Statusline: s\r\n\r\nX-Spam-Score: b\r\n";
    for size in [1, 7, 1000] {
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
        let scanned = scan_with(HeaderScan::default().without_spam_verdicts(), &pieces).expect("scanned");
        assert_eq!(String::from_utf8_lossy(&scanned.0), kept);
        assert_eq!(String::from_utf8_lossy(&scan(&pieces).expect("scanned").0), text);
    }
}

#[test]
fn results_in_our_name_go_however_they_are_written_and_cut() {
    let own = |pieces: &[&[u8]]| {
        let (mut scan, mut kept) = (HeaderScan::default().without_results_of("mail.x.test"), Vec::new());
        for piece in pieces {
            scan.push(Bytes::copy_from_slice(piece), &mut kept).expect("good");
        }
        scan.finish(&mut kept).expect("good");
        String::from_utf8(kept.concat()).expect("text")
    };
    for (field, stays) in [
        ("Authentication-Results: mail.x.test; spf=pass\r\n", false),
        ("authentication-results : MAIL.X.TEST 1; spf=pass\r\n", false),
        ("Authentication-Results:\r\n\t(a (b) \\) c) \"mail.x.test\";\r\n spf=pass\r\n", false),
        ("Authentication-Results: mail.x.test\r\n", false),
        ("Authentication-Results: mail.x.test.evil.test; spf=pass\r\n", true),
        ("Authentication-Results: other.test;\r\n spf=pass (mail.x.test)\r\n", true),
        ("Authentication-Results-X: mail.x.test; spf=pass\r\n", true),
        ("ARC-Authentication-Results: i=1; mail.x.test; spf=pass\r\n", true),
    ] {
        let text = format!("A: 1\r\n{field}B: 2\r\n\r\nAuthentication-Results: mail.x.test; body\r\n");
        let wanted = if stays { text.clone() } else { text.replacen(field, "", 1) };
        assert_eq!(own(&[text.as_bytes()]), wanted, "{field:?}");
        let octets: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(own(&octets), wanted, "octet by octet: {field:?}");
        assert_eq!(own(&[field.as_bytes()]), if stays { field } else { "" }, "alone: {field:?}");
    }
    let long = format!("Authentication-Results: y; {}\r\nB: 2\r\n\r\n", "x".repeat(RESULTS_MAX_BYTES));
    assert_eq!(own(&[long.as_bytes()]), "B: 2\r\n\r\n");
}

#[test]
fn f_02_delivered_to_and_received_are_found() {
    let text = "Delivered-To: a@x.test\r\nReceived: 1\r\n by me\r\nDELIVERED-TO:\r\n <b@x.test>\r\n\
                Received: 2\r\nX: Received: 3\r\n\r\nDelivered-To: c@x.test\r\nReceived: 4\r\n";
    check(text, text, &["a@x.test", "b@x.test"], 2);
    check("Delivered-To: a@x.test", "Delivered-To: a@x.test", &["a@x.test"], 0);
    check("Delivered-To: nonsense\r\n\r\n", "Delivered-To: nonsense\r\n\r\n", &[], 0);
}

#[test]
fn what_is_no_header_is_kept_as_it_is() {
    for text in
        ["", "\r\n", ".\r\n", "just text\r\nReceived: no\r\n", " folded first\r\nA: b\r\n", ":\r\n\r\n"]
    {
        check(text, text, &[], 0);
    }
    let long = format!("{}: Received\r\nReceived: 1\r\n\r\n", "n".repeat(300));
    check(&long, &long, &[], 1);
}

/// What a long first line was once depended on where it was cut.
#[test]
fn a_long_line_is_a_field_or_the_body_however_it_is_cut() {
    let text = format!("{}\r\nReturn-Path: body\r\nReceived: body\r\n", "words ".repeat(20));
    check(&text, &text, &[], 0);
    let spaced = format!("Received{}: x\r\n\r\n", " ".repeat(80));
    check(&spaced, &spaced, &[], 0);
    let long = format!("{}: x\r\nReturn-Path: x\r\n\r\n", "n".repeat(70));
    check(&long, &long.replace("Return-Path: x\r\n", ""), &[], 0);
}

#[test]
fn s_27_too_many_hops_are_a_loop() {
    let hops = |n| format!("{}\r\n", "Received: x\r\n".repeat(n));
    assert_eq!(scan(&[hops(100).as_bytes()]).expect("scanned").1.received_count, 100);
    assert_eq!(scan(&[hops(101).as_bytes()]), Err(Reason::MailLoop));
    let visits = "Delivered-To: a@x.test\r\n".repeat(101);
    assert_eq!(scan(&[visits.as_bytes()]), Err(Reason::MailLoop));
}

#[test]
fn an_endless_header_is_refused() {
    let endless = format!("A: {}\r\n", "x".repeat(limits::HEADER_BLOCK_MAX_BYTES));
    assert_eq!(scan(&[endless.as_bytes()]), Err(Reason::HeadersTooLarge));
    let body = format!("A: b\r\n\r\n{}", "x".repeat(limits::HEADER_BLOCK_MAX_BYTES));
    assert!(scan(&[body.as_bytes()]).is_ok());
}

proptest! {
    #[test]
    fn cuts_change_nothing(
        lines in prop::collection::vec(
            prop::sample::select(vec![
                "Return-Path: <a@x.test>\r\n", "Received: from x\r\n", "Delivered-To: a@x.test\r\n",
                " continued\r\n", "\tcontinued: too\r\n", "Subject: s\r\n", "\r\n", "text\r\n", "Re", "turn-path:",
                ":\r\n", "\n", "\r", " ",
            ]), 0..20),
        cuts in prop::collection::vec(0usize..400, 0..8),
    ) {
        let text = lines.concat();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut begin = 0;
        for cut in cuts {
            pieces.push(&text.as_bytes()[begin..cut]);
            begin = cut;
        }
        pieces.push(&text.as_bytes()[begin..]);
        prop_assert_eq!(scan(&pieces), scan(&[text.as_bytes()]));
    }

    #[test]
    fn without_a_return_path_every_octet_is_kept(octets in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assume!(!octets.to_ascii_lowercase().windows(11).any(|w| w == b"return-path"));
        let kept = scan(&[&octets]).expect("scanned").0;
        prop_assert_eq!(kept, octets);
    }
}
