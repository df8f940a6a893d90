//! Paths and parameters of MAIL and RCPT: their order means nothing, a source route means nothing, and no address can
//! break the line or header field that it is written into.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern_fuzz::Dice;
use postern_smtp::command::{Command, Offers, RcptPath, parse};

fuzz_target!(|input: &[u8]| {
    let (mut dice, sent) = Dice::part(input);
    let offers = Offers { smtp_utf8: dice.coin(), auth: dice.coin() };
    let verb = if dice.coin() { "MAIL FROM:" } else { "RCPT TO:" };
    let Ok(text) = std::str::from_utf8(sent) else { return };
    let mut words = text.split('\n');
    let path = words.next().unwrap_or_default();
    let parameters: Vec<&str> = words.collect();
    let line = |path: &str, parameters: &[&str]| {
        let all: String = parameters.iter().map(|word| format!(" {word}")).collect();
        parse(format!("{verb}<{path}>{all}").as_bytes(), offers)
    };
    let read = line(path, &parameters);

    let mut turned = parameters.clone();
    turned.reverse();
    // What a quote in the path leaves open may be closed behind it: then they are not parameters.
    if parameters.iter().all(|word| !word.contains([' ', '"'])) && !path.contains('>') {
        assert_eq!(line(path, &turned).ok(), read.clone().ok(), "parameters in any order");
    }
    // Nor is there a route to nobody, whose path ends with its first ">".
    if !path.is_empty() && !path.starts_with(['@', '>']) && !path.eq_ignore_ascii_case("postmaster") {
        let routed = format!("@one.test,@two.test:{path}");
        assert_eq!(line(&routed, &parameters).ok(), read.clone().ok(), "a source route is read over");
    }
    let (address, written) = match &read {
        Ok(Command::Mail(mail)) => (mail.sender.to_string(), None),
        Ok(Command::Rcpt(rcpt)) => match &rcpt.path {
            RcptPath::Address(address) => (address.to_string(), rcpt.written.clone()),
            RcptPath::Postmaster => return,
        },
        _ => return,
    };
    assert!(address.len() <= 254 && !address.chars().any(char::is_control), "{address:?}");
    // How it was written is kept only where it needs SMTPUTF8, as a domain of U-labels does.
    let alone = written.unwrap_or(address);
    assert!(!alone.chars().any(char::is_control), "{alone:?}");
    // Behind a ">" that ends the path there may be parameters, which are not of the address.
    if !path.contains('>') {
        assert_eq!(line(&alone, &parameters), read, "the address alone means the same");
    }
});
