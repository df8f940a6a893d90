//! Programs that send a letter outside, without a password: a login by POP3 must have gone before.

use super::{BOX, Outcome, Setup, TEXT, Tls, letter, words};

const TO: &str = "you@outside.test";

pub(super) fn curl(setup: &Setup<'_>) -> Outcome {
    let (scheme, more) = match setup.tls {
        Tls::Off => ("smtp", ""),
        Tls::Start => ("smtp", "--ssl-reqd"),
        Tls::Implicit => ("smtps", ""),
    };
    let file = setup.private_file("letter.eml", &letter());
    let arguments = words(&format!(
        "-sSv --max-time 20 --cacert {} {more} {scheme}://localhost:{}/client.homepage.test --mail-from {BOX} \
         --mail-rcpt {TO} -T {file}",
        setup.authority(),
        setup.smtp().port()
    ));
    setup.program("curl", arguments, String::new(), None)
}

pub(super) fn swaks(setup: &Setup<'_>) -> Outcome {
    let tls = match setup.tls {
        Tls::Off => "",
        Tls::Start => "--tls",
        Tls::Implicit => "--tls-on-connect",
    };
    let mut arguments =
        words(&format!("--server localhost --port {} --from {BOX} --to {TO} {tls}", setup.smtp().port()));
    if setup.tls != Tls::Off {
        arguments.extend(["--tls-verify".to_owned(), "--tls-ca-path".to_owned(), setup.authority()]);
    }
    arguments.extend(["--data".to_owned(), letter().replace("\r\n", "\n")]);
    setup.program("swaks", arguments, String::new(), None)
}

pub(super) fn msmtp(setup: &Setup<'_>) -> Outcome {
    let tls = match setup.tls {
        Tls::Off => "--tls=off",
        Tls::Start => "--tls=on --tls-starttls=on",
        Tls::Implicit => "--tls=on --tls-starttls=off",
    };
    let arguments = words(&format!(
        "--host=localhost --port={} --from={BOX} --auth=off {tls} --tls-trust-file={} {TO}",
        setup.smtp().port(),
        setup.authority()
    ));
    setup.program("msmtp", arguments, letter(), None)
}

pub(super) fn mutt(setup: &Setup<'_>) -> Outcome {
    let scheme = if setup.tls == Tls::Implicit { "smtps" } else { "smtp" };
    let starttls = if setup.tls == Tls::Start { "yes" } else { "no" };
    let configuration = format!(
        "set smtp_url = \"{scheme}://localhost:{}/\"\nset from = {BOX:?}\nset use_envelope_from = yes\nset copy = no\n\
         set ssl_starttls = {starttls}\nset ssl_force_tls = {starttls}\nset ssl_ca_certificates_file = {:?}\n\
         set folder = {:?}\n",
        setup.smtp().port(),
        setup.authority(),
        setup.path("mutt"),
    );
    let file = setup.private_file("muttrc.send", &configuration);
    let arguments = words(&format!("-n -F {file} -s hello -- {TO}"));
    setup.program("mutt", arguments, TEXT.replace("\r\n", "\n"), None)
}

pub(super) fn s_nail(setup: &Setup<'_>) -> Outcome {
    let scheme = if setup.tls == Tls::Implicit { "smtps" } else { "smtp" };
    let mut arguments =
        words("-:/ -S v15-compat -S tls-verify=strict -S smtp-auth=none -S sendwait -S tls-ca-no-defaults");
    arguments.extend(["-S".to_owned(), format!("tls-ca-file={}", setup.authority())]);
    arguments.extend(["-S".to_owned(), format!("mta={scheme}://localhost:{}", setup.smtp().port())]);
    if setup.tls == Tls::Start {
        arguments.extend(words("-S smtp-use-starttls"));
    }
    arguments.extend(words(&format!("-S hostname=client.homepage.test -r {BOX} -s hello {TO}")));
    setup.program("s-nail", arguments, TEXT.replace("\r\n", "\n"), None)
}

pub(super) fn python(setup: &Setup<'_>) -> Outcome {
    setup.script("python3", include_str!("send.py"), setup.smtp(), &[BOX, TO, &letter()])
}

pub(super) fn perl(setup: &Setup<'_>) -> Outcome {
    setup.script("perl", include_str!("send.pl"), setup.smtp(), &[BOX, TO, &letter()])
}

pub(super) fn ruby(setup: &Setup<'_>) -> Outcome {
    setup.script("ruby", include_str!("send.rb"), setup.smtp(), &[BOX, TO, &letter()])
}
