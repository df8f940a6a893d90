//! Valid and invalid lines, table by table.

use proptest::prelude::*;

use super::*;

const ALL: Offers = Offers { smtp_utf8: true, auth: true };
const PLAIN: Offers = Offers { smtp_utf8: false, auth: false };

fn reason(line: &str, offers: Offers) -> Option<Reason> {
    parse(line.as_bytes(), offers).err().map(|refused| refused.reason)
}

fn sender(line: &str) -> String {
    match parse(line.as_bytes(), PLAIN) {
        Ok(Command::Mail(mail)) => mail.sender.to_string(),
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn s_09_verbs_and_keywords_in_any_case() {
    for line in
        ["MAIL FROM:<a@b.test>", "mail from:<a@b.test>", "Mail From: <a@b.test>", "MAIL FROM:<a@b.test> "]
    {
        assert_eq!(sender(line), "a@b.test", "{line}");
    }
    for line in ["quit", "QUIT ", "rset", "DATA", "noop", "NOOP what ever", "help", "HELP MAIL", "starttls"] {
        assert!(parse(line.as_bytes(), PLAIN).is_ok(), "{line}");
    }
}

#[test]
fn s_10_null_sender_and_postmaster() {
    assert_eq!(sender("MAIL FROM:<>"), "");
    assert_eq!(
        parse(b"RCPT TO:<postmaster>", PLAIN),
        Ok(Command::Rcpt(RcptCommand {
            path: RcptPath::Postmaster,
            written: None,
            dsn: RecipientDsn::default()
        }))
    );
    assert_eq!(
        parse(b"RCPT TO:<PostMaster>", PLAIN),
        Ok(Command::Rcpt(RcptCommand {
            path: RcptPath::Postmaster,
            written: None,
            dsn: RecipientDsn::default()
        }))
    );
    assert_eq!(reason("RCPT TO:<>", PLAIN), Some(Reason::BadRecipientAddress));
}

#[test]
fn s_12_source_routes_are_stripped() {
    assert_eq!(sender("MAIL FROM:<@a.test,@b.test:user@c.test>"), "user@c.test");
    assert_eq!(sender("MAIL FROM:<@[1.2.3.4]:user@c.test>"), "user@c.test");
    for line in [
        "MAIL FROM:<@:a@b.test>",
        "MAIL FROM:<@a.test>",
        "MAIL FROM:<@a.test,b.test:a@c.test>",
        "MAIL FROM:<@a.test:>",
    ] {
        assert_eq!(reason(line, PLAIN), Some(Reason::BadSenderAddress), "{line}");
    }
}

#[test]
fn s_12_quoted_local_parts() {
    assert_eq!(sender("MAIL FROM:<\"a b\"@c.test>"), "\"a b\"@c.test");
    assert_eq!(sender("MAIL FROM:<\"a>b\"@c.test> SIZE=1"), "\"a>b\"@c.test");
    assert_eq!(sender("MAIL FROM:<\"a\\\">b\"@c.test>"), "\"a\\\">b\"@c.test");
    // Not routed anywhere else: the text after the last @ is the domain.
    assert_eq!(sender("MAIL FROM:<\"a@evil.test\"@c.test>"), "\"a@evil.test\"@c.test");
    assert_eq!(sender("MAIL FROM:<a%evil.test@c.test>"), "a%evil.test@c.test");
}

#[test]
fn refused_lines() {
    let long_local = format!("RCPT TO:<{}@b.test>", "a".repeat(65));
    for (line, expected) in [
        ("", Reason::UnknownCommand),
        (" ", Reason::UnknownCommand),
        ("NONSENSE", Reason::UnknownCommand),
        ("averyveryverylongverb x", Reason::UnknownCommand),
        ("GET / HTTP/1.1", Reason::UnknownCommand),
        ("EXPN list", Reason::NotImplemented),
        ("TURN", Reason::NotImplemented),
        ("AUTH PLAIN AGEAYg==", Reason::NotImplemented),
        ("HELO", Reason::BadArguments),
        ("EHLO ", Reason::BadArguments),
        ("EHLO a b", Reason::BadArguments),
        ("DATA x", Reason::BadArguments),
        ("RSET x", Reason::BadArguments),
        ("QUIT x", Reason::BadArguments),
        ("STARTTLS x", Reason::BadArguments),
        ("VRFY", Reason::BadArguments),
        ("MAIL", Reason::BadArguments),
        ("MAIL <a@b.test>", Reason::BadArguments),
        ("MAIL FROM <a@b.test>", Reason::BadArguments),
        ("MAIL FROM:a@b.test", Reason::BadSenderAddress),
        ("MAIL FROM:  <a@b.test>", Reason::BadSenderAddress),
        ("MAIL FROM:<a@b.test", Reason::BadSenderAddress),
        ("MAIL FROM:<a@b.test>x", Reason::BadSenderAddress),
        ("MAIL FROM:<a@b.test>>", Reason::BadSenderAddress),
        ("MAIL FROM:<<a@b.test>>", Reason::BadSenderAddress),
        ("MAIL FROM:<a b@c.test>", Reason::BadSenderAddress),
        ("MAIL FROM:<a>", Reason::BadSenderAddress),
        ("MAIL FROM:<a@b..test>", Reason::BadSenderAddress),
        ("MAIL FROM:<a@[127.0.0.1]>", Reason::BadSenderAddress),
        ("MAIL FROM:<\u{fc}@b.test>", Reason::NonAsciiAddress),
        ("RCPT TO:<a@b.test", Reason::BadRecipientAddress),
        ("RCPT TO:a@b.test", Reason::BadRecipientAddress),
        ("RCPT FROM:<a@b.test>", Reason::BadArguments),
        ("RCPT TO:<a@\u{fc}.test>", Reason::NonAsciiAddress),
        ("RCPT TO:<a@b.test> SIZE=5", Reason::UnknownParameter),
        ("RCPT TO:<a@b.test> NOTIFY=NEVER,FAILURE", Reason::BadArguments),
        ("RCPT TO:<a@b.test> NOTIFY", Reason::BadArguments),
        ("RCPT TO:<a@b.test> ORCPT=a@b.test", Reason::BadArguments),
        ("RCPT TO:<a@b.test> ORCPT=rfc822;a+2b", Reason::BadArguments),
        ("RCPT TO:<a@b.test> NOTIFY=NEVER NOTIFY=NEVER", Reason::BadArguments),
        (&long_local, Reason::BadRecipientAddress),
    ] {
        assert_eq!(reason(line, PLAIN), Some(expected), "{line}");
    }
    assert_eq!(parse(b"MAIL FROM:<\xff@b.test>", PLAIN).map_err(|r| r.reason), Err(Reason::BadArguments));
}

#[test]
fn s_91_paths_that_are_not_ascii() {
    let sender = |line: &str| match parse(line.as_bytes(), ALL) {
        Ok(Command::Mail(mail)) => Ok((mail.sender.to_string(), mail.smtp_utf8)),
        Ok(other) => panic!("{line}: {other:?}"),
        Err(refused) => Err(refused.reason),
    };
    assert_eq!(
        sender("MAIL FROM:<\u{fc}@m\u{fc}ller.test> SMTPUTF8"),
        Ok(("\u{fc}@xn--mller-kva.test".into(), true))
    );
    assert_eq!(sender("MAIL FROM:<a@b.test> smtputf8 BODY=8BITMIME"), Ok(("a@b.test".into(), true)));
    assert_eq!(sender("MAIL FROM:<\u{fc}@b.test>"), Err(Reason::NonAsciiAddress));
    assert_eq!(sender("MAIL FROM:<a@m\u{fc}ller.test>"), Err(Reason::NonAsciiAddress));
    assert_eq!(sender("MAIL FROM:<a\u{202e}b@c.test> SMTPUTF8"), Err(Reason::BadSenderAddress));
    assert_eq!(sender("MAIL FROM:<a@\u{fc}..test> SMTPUTF8"), Err(Reason::BadSenderAddress));
    assert_eq!(
        parse(b"MAIL FROM:<\xfc@b.test> SMTPUTF8", ALL).map_err(|r| r.reason),
        Err(Reason::BadArguments)
    );

    let rcpt = |line: &str| match parse(line.as_bytes(), ALL) {
        Ok(Command::Rcpt(RcptCommand { path: RcptPath::Address(address), written, dsn })) => {
            (address.to_string(), written, dsn.original_recipient)
        }
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(rcpt("RCPT TO:<a@b.test>"), ("a@b.test".into(), None, None));
    let written = Some("a@M\u{dc}ller.test".to_owned());
    assert_eq!(rcpt("RCPT TO:<a@M\u{dc}ller.test>"), ("a@xn--mller-kva.test".into(), written.clone(), None));
    assert_eq!(rcpt("RCPT TO:<@x.test:a@M\u{dc}ller.test>"), ("a@xn--mller-kva.test".into(), written, None));
    let original = Some("utf-8;\\x{FC}@c.test".to_owned());
    assert_eq!(rcpt("RCPT TO:<a@b.test> ORCPT=utf-8;\u{fc}@c.test"), ("a@b.test".into(), None, original));
    assert_eq!(reason("RCPT TO:<a@b.test> ORCPT=utf-8;\u{fc}@c.test", PLAIN), Some(Reason::BadArguments));
    assert_eq!(reason("RCPT TO:<\u{fc}@b.test>", PLAIN), Some(Reason::NonAsciiAddress));
}

#[test]
fn control_octets_stand_in_no_command() {
    for line in ["NOOP\0", "MAIL FROM:<a\0@b.test>", "EHLO a\rb", "EHLO a\tb", "QUIT\x7f", "EHLO a\x1b"] {
        assert_eq!(reason(line, ALL), Some(Reason::BadCharacter), "{line:?}");
    }
}

#[test]
fn s_62_a_line_that_says_bdat_is_never_refused_for_content_follows_it() {
    let lines: [&[u8]; 8] = [
        b"BDAT 30\t",
        b"bdat\t30",
        b"BDAT 30 LAST\0",
        b"BDAT 30\xff",
        b"BDAT-30",
        b"BDAT:3000000000000",
        b"BDAT",
        b"BDAT  5",
    ];
    for line in lines {
        assert_eq!(parse(line, PLAIN), Ok(Command::Bdat(None)), "{}", line.escape_ascii());
        assert!(is_bdat(line), "{}", line.escape_ascii());
    }
    let chunk = Chunk { size_bytes: 5, last: true };
    assert_eq!(parse(b"bdat 5 last ", PLAIN), Ok(Command::Bdat(Some(chunk))));
    for line in [&b"BDATA 5\t"[..], b" BDAT 5\t", b"BDA"] {
        assert!(!is_bdat(line) && parse(line, PLAIN).is_err(), "{}", line.escape_ascii());
    }
}

#[test]
fn s_41_what_ends_a_group_is_known_by_its_verb() {
    for line in ["EHLO", "helo\t", "DATA x", "AUTH CRAM-MD5", "STARTTLS\0", "EHLO a b c d e f"] {
        assert!(ends_group(line.as_bytes()), "{line:?}");
    }
    for line in ["", " EHLO", "NOOP", "MAIL FROM:<a@b.test>", "BDAT 5", "QUIT", "DATABASE", "STARTTL"] {
        assert!(!ends_group(line.as_bytes()), "{line:?}");
    }
}

#[test]
fn s_14_parameters() {
    for (line, expected) in [
        ("MAIL FROM:<a@b.test> SIZE=10", None),
        ("MAIL FROM:<a@b.test> size=0 body=8bitmime", None),
        ("MAIL FROM:<a@b.test>  BODY=7BIT", None),
        ("MAIL FROM:<a@b.test> AUTH=<>", None),
        ("MAIL FROM:<a@b.test> AUTH=e+3Dmc2@x.test", None),
        ("MAIL FROM:<a@b.test> AUTH=e+3dx", Some(Reason::BadArguments)),
        ("MAIL FROM:<a@b.test> AUTH=+", Some(Reason::BadArguments)),
        ("MAIL FROM:<a@b.test> AUTH", Some(Reason::BadArguments)),
        ("MAIL FROM:<a@b.test> SMTPUTF8", None),
        ("MAIL FROM:<a@b.test> SMTPUTF8=1", Some(Reason::UnknownParameter)),
        ("MAIL FROM:<a@b.test> FOO=1", Some(Reason::UnknownParameter)),
        ("MAIL FROM:<a@b.test> RET=FULL ENVID=a+2B7", None),
        ("MAIL FROM:<a@b.test> RET=BODY", Some(Reason::BadArguments)),
        ("MAIL FROM:<a@b.test> RET", Some(Reason::BadArguments)),
        ("MAIL FROM:<a@b.test> ENVID=a+2b", Some(Reason::BadArguments)),
        ("MAIL FROM:<a@b.test> REQUIRETLS", Some(Reason::UnknownParameter)),
        ("MAIL FROM:<a@b.test> SIZE=1 SIZE=1", Some(Reason::BadArguments)),
        ("MAIL FROM:<a@b.test> BODY=7BIT body=7bit", Some(Reason::BadArguments)),
        ("MAIL FROM:<a@b.test> BODY=X", Some(Reason::BadArguments)),
        ("MAIL FROM:<a@b.test> BODY=BINARYMIME", Some(Reason::BadArguments)),
        ("MAIL FROM:<a@b.test> BODY", Some(Reason::BadArguments)),
        ("MAIL FROM:<a@b.test> SIZE", Some(Reason::BadArguments)),
        ("MAIL FROM:<a@b.test> SIZE=", Some(Reason::BadArguments)),
        ("MAIL FROM:<a@b.test> SIZE=abc", Some(Reason::BadArguments)),
        ("MAIL FROM:<a@b.test> SIZE=-1", Some(Reason::BadArguments)),
        ("MAIL FROM:<a@b.test> SIZE=+1", Some(Reason::BadArguments)),
        ("MAIL FROM:<a@b.test> SIZE=99999999999999999999", Some(Reason::BadArguments)),
        ("MAIL FROM:<a@b.test> =1", Some(Reason::BadArguments)),
        ("MAIL FROM:<a@b.test> X=a=b", Some(Reason::BadArguments)),
    ] {
        assert_eq!(reason(line, ALL), expected, "{line}");
    }
    assert_eq!(reason("MAIL FROM:<a@b.test> AUTH=<>", PLAIN), Some(Reason::UnknownParameter));
    assert_eq!(reason("MAIL FROM:<a@b.test> SMTPUTF8", PLAIN), Some(Reason::UnknownParameter));
}

#[test]
fn s_50_size_is_kept() {
    let parsed = parse(b"MAIL FROM:<> SIZE=12345 BODY=8BITMIME", PLAIN);
    let expected = MailCommand {
        sender: ReversePath::Null,
        declared_size_bytes: Some(12345),
        eight_bit: true,
        smtp_utf8: false,
        dsn: MessageDsn::default(),
    };
    assert_eq!(parsed, Ok(Command::Mail(expected)));
}

#[test]
fn s_02_a_client_name_is_safe_for_a_header() {
    for (line, name) in [
        ("EHLO mail.x.test", "mail.x.test"),
        ("EHLO [192.0.2.1]", "[192.0.2.1]"),
        ("EHLO [IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
        ("EHLO under_score", "under_score"),
        ("EHLO a(b)c;d<e>\"f\\", "a?b?c?d?e??f?"),
        ("EHLO m\u{fc}ller.test", "m?ller.test"),
    ] {
        match parse(line.as_bytes(), PLAIN) {
            Ok(Command::Ehlo(given)) => assert_eq!(given.as_str(), name),
            other => panic!("{line}: {other:?}"),
        }
    }
    assert_eq!(reason(&format!("EHLO {}", "a".repeat(256)), PLAIN), Some(Reason::BadArguments));
    assert_eq!(reason(&format!("EHLO {}", "a".repeat(255)), PLAIN), None);
}

#[test]
fn s_81_auth_lines() {
    let answer = |word| Answer::read_initial(word).expect("base64");
    assert_eq!(parse(b"auth plain", ALL), Ok(Command::Auth(Mechanism::Plain, None)));
    assert_eq!(parse(b"AUTH PLAIN =", ALL), Ok(Command::Auth(Mechanism::Plain, Some(answer(b"=")))));
    assert_eq!(parse(b"AUTH LOGIN dQ==", ALL), Ok(Command::Auth(Mechanism::Login, Some(answer(b"dQ==")))));
    for (line, expected) in [
        ("AUTH", Reason::BadArguments),
        ("AUTH CRAM-MD5", Reason::UnknownMechanism),
        ("AUTH PLAIN !!", Reason::AuthenticationMalformed),
        ("AUTH PLAIN a b", Reason::BadArguments),
    ] {
        assert_eq!(reason(line, ALL), Some(expected), "{line}");
    }
}

proptest! {
    #[test]
    fn no_line_panics(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&octets, ALL);
    }

    #[test]
    fn no_path_panics(path in "[<>@:,\"\\\\a-z.ü ]{0,40}") {
        for verb in ["MAIL FROM:", "RCPT TO:"] {
            let _ = parse(format!("{verb}{path}").as_bytes(), ALL);
        }
    }
}
