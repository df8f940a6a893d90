//! Any line as an SMTP command: what is taken means the same when it is written down and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern_fuzz::Dice;
use postern_mail::Reason;
use postern_smtp::command::{Command, MailCommand, Offers, RcptCommand, RcptPath, is_bdat, parse};

fuzz_target!(|input: &[u8]| {
    let (mut dice, line) = Dice::part(input);
    let offers = Offers { smtp_utf8: dice.coin(), auth: dice.coin() };
    let parsed = parse(line, offers);

    let verb = line.iter().position(|octet| *octet == b' ').unwrap_or(line.len());
    let mut other_case = line.to_vec();
    for octet in &mut other_case[..verb] {
        *octet =
            if octet.is_ascii_lowercase() { octet.to_ascii_uppercase() } else { octet.to_ascii_lowercase() };
    }
    assert_eq!(parse(&other_case, offers), parsed, "verbs in any case");
    if is_bdat(line) {
        // Content follows, whatever else it says.
        let Ok(Command::Bdat(chunk)) = parsed else { panic!("{parsed:?}") };
        assert!(chunk.is_none_or(|chunk| i64::try_from(chunk.size_bytes).is_ok()));
        return;
    }
    if line.iter().any(u8::is_ascii_control) {
        assert_eq!(parsed.map_err(|refused| refused.reason), Err(Reason::BadCharacter));
        return;
    }
    let Ok(command) = parsed else { return };
    match &command {
        Command::Helo(name) | Command::Ehlo(name) => {
            let name = name.as_str();
            let safe = |c: char| c.is_ascii_graphic() && !"()<>\"\\,;@".contains(c);
            assert!(!name.is_empty() && name.len() <= 255 && name.chars().all(safe), "{name:?}");
        }
        Command::Auth(..) => assert!(offers.auth),
        Command::Mail(mail) => {
            assert!(offers.smtp_utf8 || !mail.smtp_utf8);
            assert!(mail.smtp_utf8 || mail.sender.to_string().is_ascii());
            assert_eq!(parse(written_mail(mail).as_bytes(), offers).as_ref(), Ok(&command));
        }
        Command::Rcpt(rcpt) => {
            assert_eq!(parse(written_rcpt(rcpt).as_bytes(), offers).as_ref(), Ok(&command))
        }
        _ => {}
    }
});

fn written_mail(mail: &MailCommand) -> String {
    let mut line = format!("MAIL FROM:<{}>", mail.sender);
    if let Some(size) = mail.declared_size_bytes {
        line += &format!(" SIZE={size}");
    }
    if mail.eight_bit {
        line += " BODY=8BITMIME";
    }
    if mail.smtp_utf8 {
        line += " SMTPUTF8";
    }
    if let Some(content) = mail.dsn.return_content {
        line += &format!(" RET={content}");
    }
    if let Some(id) = &mail.dsn.envelope_id {
        line += &format!(" ENVID={id}");
    }
    line
}

fn written_rcpt(rcpt: &RcptCommand) -> String {
    let mut line = match &rcpt.path {
        RcptPath::Address(address) => match &rcpt.written {
            Some(written) => format!("RCPT TO:<{written}>"),
            None => format!("RCPT TO:<{address}>"),
        },
        RcptPath::Postmaster => "RCPT TO:<postmaster>".to_owned(),
    };
    if let Some(notify) = rcpt.dsn.notify {
        line += &format!(" NOTIFY={notify}");
    }
    if let Some(original) = &rcpt.dsn.original_recipient {
        line += &format!(" ORCPT={original}");
    }
    line
}
