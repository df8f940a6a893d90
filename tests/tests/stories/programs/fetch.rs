//! Programs that fetch mail. Each takes what is in the box away.

use std::fs;

use postern_tests::admin::PASSWORD;

use super::{BOX, Outcome, Setup, Tls, words};

pub(super) fn curl(setup: &Setup<'_>) -> Outcome {
    let (scheme, more) = match setup.tls {
        Tls::Off => ("pop3", ""),
        Tls::Start => ("pop3", "--ssl-reqd"),
        Tls::Implicit => ("pop3s", ""),
    };
    let mut arguments = words(&format!(
        "-sS --max-time 20 --cacert {} {more} {scheme}://localhost:{}/1 --user",
        setup.authority(),
        setup.pop3().port()
    ));
    arguments.push(format!("{BOX}:{PASSWORD}"));
    // curl reads one message for each URL; the same session takes it away then.
    arguments.extend(words("--next -sS --max-time 20 --cacert"));
    arguments.push(setup.authority());
    arguments.extend(words(more));
    arguments
        .extend(words(&format!("-X DELE --list-only {scheme}://localhost:{}/1 --user", setup.pop3().port())));
    arguments.push(format!("{BOX}:{PASSWORD}"));
    setup.program("curl", arguments, String::new(), None)
}

pub(super) fn mpop(setup: &Setup<'_>) -> Outcome {
    let tls = match setup.tls {
        Tls::Off => "tls off",
        Tls::Start => "tls on\ntls_starttls on",
        Tls::Implicit => "tls on\ntls_starttls off",
    };
    let spool = setup.path("mpop.mbox");
    let configuration = format!(
        "account default\nhost localhost\nport {}\nuser {BOX}\npassword {PASSWORD:?}\n{tls}\ntls_trust_file {}\n\
         auth user\nkeep off\ndelivery mbox {spool}\nuidls_file {}\n",
        setup.pop3().port(),
        setup.authority(),
        setup.path("mpop.uidls")
    );
    let file = setup.private_file("mpoprc", &configuration);
    setup.program("mpop", words(&format!("--file={file}")), String::new(), Some(spool))
}

pub(super) fn fetchmail(setup: &Setup<'_>) -> Outcome {
    let tls = match setup.tls {
        Tls::Off => "sslproto ''".to_owned(),
        Tls::Start => format!("sslproto 'TLS1.2+' sslcertck sslcertfile {:?}", setup.authority()),
        Tls::Implicit => format!("ssl sslcertck sslcertfile {:?}", setup.authority()),
    };
    let spool = setup.path("fetchmail.mbox");
    let configuration = format!(
        "poll localhost service {} protocol pop3 username {BOX:?} password {PASSWORD:?} {tls} mda \"cat >> {spool}\"\n",
        setup.pop3().port(),
    );
    let file = setup.private_file("fetchmailrc", &configuration);
    let arguments =
        words(&format!("--fetchmailrc {file} --pidfile {} --nosyslog -a -v", setup.path("fetchmail.pid")));
    setup.program("fetchmail", arguments, String::new(), Some(spool))
}

pub(super) fn getmail(setup: &Setup<'_>) -> Outcome {
    let (retriever, authority) = match setup.tls {
        Tls::Off => ("SimplePOP3Retriever", String::new()),
        _ => ("SimplePOP3SSLRetriever", format!("ca_certs = {}\n", setup.authority())),
    };
    let spool = setup.private_file("getmail.mbox", "");
    let configuration = format!(
        "[retriever]\ntype = {retriever}\nserver = localhost\nport = {}\nusername = {BOX}\npassword = {PASSWORD}\n\
         {authority}[destination]\ntype = MDA_external\npath = /usr/bin/tee\narguments = ('-a', '{spool}')\nallow_root_commands = true\n[options]\ndelete = true\nverbose = 2\n",
        setup.pop3().port()
    );
    let file = setup.private_file("getmailrc", &configuration);
    let folder = setup.path("getmail");
    fs::create_dir_all(&folder).expect("a folder for getmail");
    let arguments = words(&format!("--getmaildir {folder} --rcfile {file}"));
    setup.program("getmail", arguments, String::new(), Some(spool))
}

/// It wants a terminal, which `script` gives it, and is told what to press.
pub(super) fn mutt(setup: &Setup<'_>) -> Outcome {
    let scheme = if setup.tls == Tls::Implicit { "pops" } else { "pop" };
    let starttls = if setup.tls == Tls::Start { "yes" } else { "no" };
    let (spool, folder) = (setup.private_file("mutt.mbox", ""), setup.path("mutt"));
    // It would ask whether to make it.
    fs::create_dir_all(&folder).expect("a folder for mutt");
    let configuration = format!(
        "set pop_host = \"{scheme}://{}@localhost:{}\"\nset pop_pass = {PASSWORD:?}\nset pop_delete = yes\n\
         set ssl_starttls = {starttls}\nset ssl_force_tls = {starttls}\nset ssl_ca_certificates_file = {:?}\n\
         set folder = {:?}\nset spoolfile = {spool:?}\nset mbox_type = mbox\nset move = no\nset quit = yes\n\
         set wait_key = no\npush \"<fetch-mail><sync-mailbox><exit>\"\n",
        BOX.replace('@', "%40"),
        setup.pop3().port(),
        setup.authority(),
        folder,
    );
    let file = setup.private_file("muttrc.fetch", &configuration);
    let command = format!("mutt -n -F {file} -f {spool}");
    let arguments = vec!["-qec".to_owned(), command, "/dev/null".to_owned()];
    setup.program("script", arguments, String::new(), Some(spool))
}

pub(super) fn s_nail(setup: &Setup<'_>) -> Outcome {
    let scheme = if setup.tls == Tls::Implicit { "pop3s" } else { "pop3" };
    let quoted = |text: &str| text.replace('@', "%40").replace(' ', "%20");
    let mut arguments =
        words("-:/ -S v15-compat -S tls-verify=strict -S pop3-auth=plain -S tls-ca-no-defaults");
    arguments.extend(["-S".to_owned(), format!("tls-ca-file={}", setup.authority())]);
    if setup.tls == Tls::Start {
        arguments.extend(words("-S pop3-use-starttls"));
    }
    let url = format!("{scheme}://{}:{}@localhost:{}", quoted(BOX), quoted(PASSWORD), setup.pop3().port());
    arguments.extend(["-f".to_owned(), url]);
    setup.program("s-nail", arguments, "type *\ndelete *\nquit\n".to_owned(), None)
}

pub(super) fn python(setup: &Setup<'_>) -> Outcome {
    setup.script("python3", include_str!("check.py"), setup.pop3(), &[BOX, PASSWORD])
}

pub(super) fn perl(setup: &Setup<'_>) -> Outcome {
    setup.script("perl", include_str!("check.pl"), setup.pop3(), &[BOX, PASSWORD])
}

pub(super) fn ruby(setup: &Setup<'_>) -> Outcome {
    setup.script("ruby", include_str!("check.rb"), setup.pop3(), &[BOX, PASSWORD])
}
