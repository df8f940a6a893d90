//! STARTTLS, AUTH, and rights that are taken away.

use super::*;

#[test]
fn s_70_starttls_forgets_everything() {
    let mut talk = Talk::greeted(Door::Mx);
    assert_eq!(talk.says("STARTTLS"), ["220 2.0.0 ready to start TLS"]);
    assert!(matches!(talk.next, Next::StartTls));
    assert!(talk.event(Event::TlsEstablished("TLSv1.3".into())).is_empty());
    assert_eq!(talk.code("MAIL FROM:<>"), "503");
    assert_eq!(talk.code("STARTTLS"), "503");
    talk.says("EHLO c.test");
    talk.says("MAIL FROM:<>");
    talk.says("RCPT TO:<box@x.test>");
    talk.says("DATA");
    let Next::Content(envelope) = &talk.next else { panic!("content") };
    assert_eq!((envelope.with_protocol, envelope.tls.as_str()), ("ESMTPS", "TLSv1.3"));
}

#[test]
fn s_91_s_25_the_protocol_word_says_all_of_it() {
    for (door, before, word) in [
        (Door::Mx, &["STARTTLS"][..], "UTF8SMTPS"),
        (Door::Submission, &["AUTH PLAIN AHUAcmlnaHQ="], "UTF8SMTPA"),
        (Door::Submission, &["STARTTLS", "AUTH PLAIN AHUAcmlnaHQ="], "UTF8SMTPSA"),
    ] {
        let mut talk = Talk::greeted(door);
        for line in before {
            talk.says(line);
            if matches!(talk.next, Next::StartTls) {
                talk.event(Event::TlsEstablished("TLSv1.3".into()));
                talk.says("EHLO c.test");
            }
        }
        for line in ["MAIL FROM:<a@x.test> SMTPUTF8", "RCPT TO:<box@x.test>", "DATA"] {
            talk.says(line);
        }
        let Next::Content(envelope) = &talk.next else { panic!("content") };
        assert_eq!(envelope.with_protocol, word);
    }
}

#[test]
fn s_71_plain_text_behind_starttls_closes() {
    let mut talk = Talk::greeted(Door::Mx);
    talk.says("STARTTLS");
    assert_eq!(talk.event(Event::SpokeBeforeTls), ["554 5.5.0 protocol synchronization error"]);
    assert!(talk.is_closed());
}

#[test]
fn s_72_starttls_after_auth() {
    let mut talk = Talk::greeted(Door::Submission);
    assert_eq!(talk.code("AUTH PLAIN AHUAcmlnaHQ="), "235");
    assert_eq!(talk.code("STARTTLS"), "503");
}

#[test]
fn s_73_submission_needs_a_login_or_a_grant_before_mail() {
    let mut talk = Talk::greeted(Door::Submission);
    assert_eq!(
        talk.says("MAIL FROM:<u@homepage.test>"),
        ["530 5.7.0 relaying prohibited: check your mail at mail.homepage.test first, then send again"]
    );
    assert_eq!(talk.code("RCPT TO:<box@x.test>"), "503");
    assert_eq!(talk.says("MAIL FROM:<away@homepage.test>")[0][..9], *"451 4.3.0");
    assert_eq!(talk.code("MAIL FROM:<granted@homepage.test>"), "250");
    talk.says("RSET");
    assert_eq!(talk.code("AUTH PLAIN AHUAcmlnaHQ="), "235");
    assert_eq!(talk.code("MAIL FROM:<u@homepage.test>"), "250");
    talk.says("RCPT TO:<box@x.test>");
    talk.says("DATA");
    let Next::Content(envelope) = &talk.next else { panic!("content") };
    assert_eq!((envelope.with_protocol, envelope.right.clone()), ("ESMTPA", Some(right(7, true))));
}

#[test]
fn s_73_a_login_does_not_open_another_customers_name_nor_one_that_nobody_can_tell_of() {
    let mut talk = Talk::greeted(Door::Submission);
    talk.says("AUTH PLAIN AHUAcmlnaHQ=");
    for (sender, heard) in [
        ("boss@rival.test", "550 5.7.1 this sender address belongs to another customer"),
        ("away@homepage.test", "451 4.3.0 temporary failure on our side, please try again later"),
    ] {
        assert_eq!(talk.says(&format!("MAIL FROM:<{sender}>")), [heard]);
        assert_eq!(talk.code("RCPT TO:<box@x.test>"), "503", "{sender}");
    }
    assert_eq!(talk.code("MAIL FROM:<u@homepage.test>"), "250");
    // Who may write in this name: boxes here are reached, what leaves is put off while nobody can tell.
    assert_eq!(talk.code("RCPT TO:<away@y.test>"), "451");
    assert_eq!(talk.code("RCPT TO:<box@x.test>"), "250");
    talk.says("DATA");
    let Next::Content(envelope) = &talk.next else { panic!("content") };
    assert_eq!(envelope.right, Some(right(7, true)));
}

#[test]
fn s_80_auth_plain_and_login() {
    let mut talk = Talk::greeted(Door::Submission);
    assert_eq!(talk.says("AUTH PLAIN"), ["334 "]);
    assert!(matches!(talk.next, Next::SaslLine));
    assert!(talk.event(Event::SaslLine(b"AHUAcmlnaHQ=".to_vec())).is_empty());
    let Next::Ask(question) = &talk.next else { panic!("asks") };
    let Question::Login { credentials, .. } = question else { panic!("login") };
    assert_eq!((credentials.login.as_str(), &credentials.password.0[..]), ("u", &b"right"[..]));
    let event = answer(question);
    assert_eq!(talk.event(event), ["235 2.7.0 authentication succeeded"]);
    assert_eq!(talk.code("AUTH PLAIN AHUAcmlnaHQ="), "503");

    let mut talk = Talk::greeted(Door::Smtps);
    assert_eq!(talk.says("AUTH LOGIN"), ["334 VXNlcm5hbWU6"]);
    assert_eq!(talk.event(Event::SaslLine(b"dQ==".to_vec())), ["334 UGFzc3dvcmQ6"]);
    talk.event(Event::SaslLine(b"cmlnaHQ=".to_vec()));
    assert!(matches!(talk.next, Next::Ask(Question::Login { .. })));
    assert_eq!(talk.event(Event::LoginAnswered(Ok(login()))), ["235 2.7.0 authentication succeeded"]);
}

#[test]
fn in_clear_text_the_domain_is_asked_where_the_site_leaves_it_to_domains() {
    for (plaintext_by_domain, tls, clear_text) in
        [(true, false, true), (true, true, false), (false, false, false)]
    {
        let mut talk = Talk::new(Profile { plaintext_by_domain, ..profile(Door::Submission) });
        talk.says("EHLO c.test");
        if tls {
            talk.says("STARTTLS");
            talk.event(Event::TlsEstablished("TLSv1.3".into()));
            talk.says("EHLO c.test");
        }
        talk.says("AUTH PLAIN");
        talk.event(Event::SaslLine(b"AHUAcmlnaHQ=".to_vec()));
        let Next::Ask(Question::Login { clear_text: asked, .. }) = &talk.next else { panic!("asks") };
        assert_eq!(*asked, clear_text, "by domain {plaintext_by_domain}, TLS {tls}");
        let refused = talk.event(Event::LoginAnswered(Err(Reason::EncryptionRequired)));
        assert!(refused[0].starts_with("538 5.7.11 "), "{refused:?}");
    }
}

#[test]
fn s_81_auth_that_goes_wrong() {
    for (line, reply) in
        [(&b"*"[..], "501 5.5.2"), (b"!!!", "501 5.5.2"), (b"b3RoZXIAdQByaWdodA==", "535 5.7.8")]
    {
        let mut talk = Talk::greeted(Door::Submission);
        talk.says("AUTH PLAIN");
        let replies = talk.event(Event::SaslLine(line.to_vec()));
        assert_eq!(replies[0][..9], *reply, "{line:?}");
        assert!(matches!(talk.next, Next::Command));
        assert_eq!(talk.code("NOOP"), "250");
    }
    // Whoever checks passwords says of the empty one that it is wrong.
    let mut talk = Talk::greeted(Door::Submission);
    talk.says("AUTH PLAIN");
    assert!(talk.event(Event::SaslLine(b"AHUA".to_vec())).is_empty());
    assert!(matches!(talk.next, Next::Ask(Question::Login { .. })));
    let mut talk = Talk::greeted(Door::Submission);
    talk.says("AUTH PLAIN");
    assert_eq!(talk.event(Event::SaslLineTooLong)[0][..9], *"500 5.5.6");
    assert_eq!(talk.code("AUTH CRAM-MD5"), "504");
    assert_eq!(talk.code("AUTH PLAIN AHUAYXdheQ=="), "454");
    let mut talk = Talk::at(Door::Submission);
    assert_eq!(talk.code("AUTH PLAIN AHUAcmlnaHQ="), "503");
    let mut talk = Talk::greeted(Door::Submission);
    talk.says("MAIL FROM:<granted@homepage.test>");
    assert_eq!(talk.code("AUTH PLAIN AHUAcmlnaHQ="), "503");
    assert_eq!(Talk::greeted(Door::Mx).code("AUTH PLAIN AHUAcmlnaHQ="), "502");
}

#[test]
fn s_83_logins_that_are_put_off_count_like_failed_ones() {
    let mut talk = Talk::greeted(Door::Submission);
    assert_eq!(talk.code("AUTH PLAIN AHUAb2Z0ZW4="), "454");
    assert_eq!(talk.code("AUTH PLAIN AHUAd3Jvbmc="), "535");
    assert_eq!(talk.code("AUTH PLAIN AHUAb2Z0ZW4="), "421");
    assert!(talk.is_closed());
}

#[test]
fn s_83_three_failed_logins() {
    let mut talk = Talk::greeted(Door::Submission);
    assert_eq!(talk.code("AUTH PLAIN AHUAd3Jvbmc="), "535");
    assert_eq!(talk.code("AUTH PLAIN AHUAYXdheQ=="), "454");
    assert_eq!(talk.code("AUTH PLAIN AHUAd3Jvbmc="), "535");
    assert_eq!(talk.code("AUTH PLAIN AHUAd3Jvbmc="), "421");
    assert!(talk.is_closed());
}

#[test]
fn revocations_cut_those_who_rely_on_the_right() {
    let any = Revocation { client: None, mailbox_id: None };
    let of_box = |id| Revocation { client: None, mailbox_id: Some(id) };
    let of_client = |client: &str| Revocation { client: Some(client.into()), mailbox_id: None };
    let granted = || {
        let mut talk = Talk::greeted(Door::Mx);
        talk.says("MAIL FROM:<>");
        talk.says("RCPT TO:<far@y.test>");
        talk
    };
    let with_login = || {
        let mut talk = Talk::greeted(Door::Submission);
        talk.says("AUTH PLAIN AHUAcmlnaHQ=");
        talk
    };
    let stranger = || Talk::greeted(Door::Mx);
    let table: [(&dyn Fn() -> Talk, Revocation, bool); 10] = [
        (&granted, of_box(7), true),
        (&granted, of_box(8), false),
        (&granted, of_client("203.0.113.9"), true),
        (&granted, of_client("203.0.113.10"), false),
        (&granted, Revocation { client: Some("203.0.113.9".into()), mailbox_id: Some(8) }, false),
        (&granted, any.clone(), true),
        (&with_login, of_box(7), true),
        (&with_login, of_client("203.0.113.9"), false),
        (&stranger, any, false),
        (&stranger, of_box(7), false),
    ];
    for (make, revocation, cut) in table {
        let mut talk = make();
        let replies = talk.event(Event::Revoked(revocation.clone()));
        assert_eq!(talk.is_closed(), cut, "{revocation:?}");
        let expected: &[&str] = if cut { &["421 4.7.0 disconnected by administrator"] } else { &[] };
        assert_eq!(replies, expected);
    }
}
