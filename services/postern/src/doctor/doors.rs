//! The doors as the world has them: does somebody answer behind each, does it offer TLS, and does mail for <postmaster> find somebody.
//! What has only a health door inside (the gateways, the panel) is found dead here from wherever we stand.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use super::Findings;

/// An answer that takes longer is none. Gateways may let strangers wait a little before they greet.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer that is read, octets.
const ANSWER_MAX_BYTES: u64 = 64 * 1024;
/// Where doors are, unless somebody says otherwise.
const USUAL: [(Kind, u16); 7] = [
    (Kind::Smtp, 25),
    (Kind::Submission, 587),
    (Kind::Smtps, 465),
    (Kind::Pop3, 110),
    (Kind::Pop3s, 995),
    (Kind::Http, 80),
    (Kind::Https, 443),
];

/// What is spoken at a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Smtp,
    Submission,
    Smtps,
    Pop3,
    Pop3s,
    Http,
    Https,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Submission => "submission",
            Self::Smtps => "smtps",
            Self::Pop3 => "pop3",
            Self::Pop3s => "pop3s",
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// True where TLS begins with the first octet.
    pub(super) fn is_tls(self) -> bool {
        matches!(self, Self::Smtps | Self::Pop3s | Self::Https)
    }
}

/// A door that somebody named: `smtp=2525` at the addresses of the mail host, or `smtp=203.0.113.25:25`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Door {
    kind: Kind,
    at: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Port(u16),
    Address(SocketAddr),
}

impl FromStr for Door {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, place) = text.split_once('=').ok_or("not of the form smtp=PORT or smtp=IP:PORT")?;
        let kind = USUAL.iter().map(|(kind, _)| *kind).find(|kind| kind.name() == name);
        let kind = kind.ok_or_else(|| {
            let known = USUAL.map(|(kind, _)| kind.name()).join(", ");
            format!("{name:?} is none of {known}")
        })?;
        let at = match place.parse() {
            Ok(port) => Place::Port(port),
            Err(_) => {
                Place::Address(place.parse().map_err(|_| format!("{place:?} is no PORT and no IP:PORT"))?)
            }
        };
        Ok(Self { kind, at })
    }
}

/// Where to knock: at what was named, and for every kind that was not at its usual port.
pub(super) fn places(named: &[Door], host: &[IpAddr]) -> Vec<(Kind, SocketAddr)> {
    let mut all = Vec::new();
    for (kind, usual) in USUAL {
        let mine: Vec<_> = named.iter().filter(|door| door.kind == kind).collect();
        let at_host = |port: u16| host.iter().map(move |ip| SocketAddr::new(*ip, port));
        if mine.is_empty() {
            all.extend(at_host(usual).map(|at| (kind, at)));
        }
        for door in mine {
            match door.at {
                Place::Port(port) => all.extend(at_host(port).map(|at| (kind, at))),
                Place::Address(at) => all.push((kind, at)),
            }
        }
    }
    all
}

/// Knocks at a door without TLS.
pub(super) async fn knock(kind: Kind, at: SocketAddr, findings: &mut Findings) {
    let subject = format!("{} door at {at}", kind.name());
    let looking = async {
        match kind {
            Kind::Http | Kind::Https => http(&subject, at, findings).await,
            Kind::Pop3 | Kind::Pop3s => pop3(&subject, at, findings).await,
            Kind::Smtp | Kind::Submission | Kind::Smtps => smtp(&subject, kind, at, findings).await,
        }
    };
    let why = match tokio::time::timeout(TIMEOUT, looking).await {
        Ok(Ok(())) => return,
        Ok(Err(why)) => why,
        Err(_) => format!("no answer within {TIMEOUT:?}"),
    };
    if matches!(tokio::time::timeout(TIMEOUT, as_a_proxy(kind, at)).await, Ok(Ok(()))) {
        return findings.unknown(
            subject,
            AS_A_PROXY,
            "look from a machine that is no load balancer, or name the load balancer's doors: --doors",
        );
    }
    let advice = "is what stands behind it started, and does a firewall let the world in? Where the world's doors are elsewhere, or cannot \
                  be reached from here, name them: --doors";
    findings.wrong(subject, why, advice);
}

const AS_A_PROXY: &str = "it answers who begins with a PROXY header: for it we are a load balancer, since POSTERN_PROXY_NETWORKS lists our address";

/// The same as a load balancer, which every client is from a network of POSTERN_PROXY_NETWORKS: does it answer then?
async fn as_a_proxy(kind: Kind, at: SocketAddr) -> Result<(), String> {
    let mut talk = Talk::open(at).await?;
    talk.say("PROXY UNKNOWN").await?;
    let greeting = match kind {
        Kind::Http | Kind::Https => {
            talk.say(&format!("GET /controlpanel HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n")).await?;
            "HTTP/1."
        }
        Kind::Pop3 | Kind::Pop3s => "+OK",
        Kind::Smtp | Kind::Submission | Kind::Smtps => "220",
    };
    let line = talk.line().await?;
    if line.starts_with(greeting) { talk.say("QUIT").await } else { Err(line) }
}

/// Commands and answers, line by line.
struct Talk(BufReader<TcpStream>);

impl Talk {
    async fn open(at: SocketAddr) -> Result<Self, String> {
        Ok(Self(BufReader::new(TcpStream::connect(at).await.map_err(|e| e.to_string())?)))
    }

    async fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        let read =
            (&mut self.0).take(ANSWER_MAX_BYTES).read_line(&mut line).await.map_err(|e| e.to_string())?;
        if read == 0 { Err("it hung up".to_owned()) } else { Ok(line.trim_end().to_owned()) }
    }

    async fn say(&mut self, command: &str) -> Result<(), String> {
        self.0.write_all(format!("{command}\r\n").as_bytes()).await.map_err(|e| e.to_string())
    }

    /// All lines of one SMTP reply.
    async fn reply(&mut self) -> Result<Vec<String>, String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await?;
            let more = line.as_bytes().get(3) == Some(&b'-');
            lines.push(line);
            if !more {
                return Ok(lines);
            }
        }
    }

    async fn ask(&mut self, command: &str) -> Result<Vec<String>, String> {
        self.say(command).await?;
        self.reply().await
    }
}

const NO_TLS: &str = "its passwords and mail are read by whoever is on the way: give the gateway a certificate (POSTERN_TLS_CERTIFICATE)";

async fn smtp(subject: &str, kind: Kind, at: SocketAddr, findings: &mut Findings) -> Result<(), String> {
    let mut talk = Talk::open(at).await?;
    let greeting = talk.reply().await?.join(" / ");
    if !greeting.starts_with("220") {
        return Err(format!("it greets with {greeting}"));
    }
    let offers = talk.ask("EHLO doctor.postern.internal").await?;
    if offers.iter().any(|line| line.get(4..).is_some_and(|word| word.eq_ignore_ascii_case("STARTTLS"))) {
        findings.good(subject, "answers, and offers TLS");
    } else {
        findings.care(subject, "answers without STARTTLS", NO_TLS);
    }
    if kind == Kind::Smtp {
        postmaster(&mut talk, findings).await?;
    }
    talk.say("QUIT").await
}

/// RFC 5321 wants mail for <postmaster> to be taken; others complain there first.
async fn postmaster(talk: &mut Talk, findings: &mut Findings) -> Result<(), String> {
    let _ = talk.ask("MAIL FROM:<>").await?;
    let answer = talk.ask("RCPT TO:<postmaster>").await?.join(" / ");
    match answer.as_bytes().first() {
        Some(b'2') => findings.good("postmaster", "mail for <postmaster> is taken"),
        Some(b'4') => findings.care("postmaster", &answer, "a part is away; look at what else is wrong here"),
        _ => findings.wrong(
            "postmaster",
            &answer,
            "who complains about our mail writes there: set POSTERN_POSTMASTER to a mailbox or forward of this house",
        ),
    }
    Ok(())
}

async fn pop3(subject: &str, at: SocketAddr, findings: &mut Findings) -> Result<(), String> {
    let mut talk = Talk::open(at).await?;
    let greeting = talk.line().await?;
    if !greeting.starts_with("+OK") {
        return Err(format!("it greets with {greeting}"));
    }
    talk.say("CAPA").await?;
    let mut tls = false;
    loop {
        let line = talk.line().await?;
        tls |= line.eq_ignore_ascii_case("STLS");
        if line == "." || line.starts_with("-ERR") {
            break;
        }
    }
    if tls {
        findings.good(subject, "answers, and offers TLS");
    } else {
        findings.care(subject, "answers without STLS", NO_TLS);
    }
    talk.say("QUIT").await
}

async fn http(subject: &str, at: SocketAddr, findings: &mut Findings) -> Result<(), String> {
    let mut talk = Talk::open(at).await?;
    talk.say(&format!("GET /controlpanel HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n")).await?;
    let status = talk.line().await?;
    let code =
        status.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse().ok());
    match code {
        Some(200..500_u16) => findings.good(subject, "the control panel answers"),
        _ => return Err(format!("it answers {status}")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn door(text: &str) -> Door {
        text.parse().expect(text)
    }

    #[test]
    fn doors_are_at_their_usual_ports_unless_named() {
        let host = ["203.0.113.25".parse().expect("an address")];
        let all = places(&[], &host);
        assert_eq!(all.len(), 7);
        assert!(all.contains(&(Kind::Smtp, "203.0.113.25:25".parse().expect("an address"))));
        let named = [door("smtp=2525"), door("pop3=127.0.0.1:1110"), door("pop3=[::1]:1110")];
        let all = places(&named, &host);
        let of = |kind: Kind| {
            all.iter().filter(|place| place.0 == kind).map(|place| place.1.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(of(Kind::Smtp), ["203.0.113.25:2525"]);
        assert_eq!(of(Kind::Pop3), ["127.0.0.1:1110", "[::1]:1110"]);
        assert_eq!(of(Kind::Https), ["203.0.113.25:443"]);
        // A host without an address has only what was named with one.
        assert_eq!(places(&named, &[]).len(), 2);
    }

    /// Answers one connection after another: this where the first line is a PROXY header, nothing else.
    async fn behind_a_proxy(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a door");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut talk = Talk(BufReader::new(stream));
                // Whoever waits for a greeting has said nothing.
                let first = tokio::time::timeout(Duration::from_millis(200), talk.line()).await;
                if matches!(&first, Ok(Ok(line)) if line.starts_with("PROXY ")) {
                    let _ = talk.say(answer).await;
                    let _ = talk.line().await;
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn a_door_that_takes_us_for_a_load_balancer_is_told_from_a_dead_one() {
        for (kind, answer) in [(Kind::Smtp, "220 here"), (Kind::Pop3, "+OK"), (Kind::Http, "HTTP/1.1 200 OK")]
        {
            let (mut findings, at) = (Findings::default(), behind_a_proxy(answer).await);
            knock(kind, at, &mut findings).await;
            assert_eq!(findings.count(super::super::State::Unknown), 1, "{findings}");
            assert!(findings.to_string().contains("we are a load balancer"), "{findings}");
        }
        let (mut findings, at) = (Findings::default(), behind_a_proxy("421 going down").await);
        knock(Kind::Smtp, at, &mut findings).await;
        assert_eq!(findings.count(super::super::State::Wrong), 1, "{findings}");
    }

    #[test]
    fn what_is_no_door_is_told() {
        for (text, told) in [("smtp", "form"), ("imap=143", "none of smtp"), ("smtp=mx:25", "no IP:PORT")] {
            let why = text.parse::<Door>().expect_err(text);
            assert!(why.contains(told), "{text}: {why}");
        }
    }
}
