//! `tests/transcripts/<door>/*.txt`: what a client says and what it must hear, run against the real gateways.
//!
//! One file is one connection. Its lines:
//!
//!     # S-03: what it shows; the ids are those of the conformance list
//!     mail: Subject: a\r\n\r\nb\r\n     a message that lies in `{box}@homepage.test` before the session
//!     granted                          the client has checked its mail before
//!     C: NOOP                          a line of the client, with CRLF; lines that follow one another are one write
//!     B: NOOP\r\n\x00                  octets of the client, without more
//!     S: 250 2.* {box}                 a line of the server; `*` is anything, also nothing
//!     S~                               lines of the server, up to one that fits what is expected next
//!     FIN                              the client says no more
//!     END                              the server closes the connection
//!
//! `{box}` is the local part of a mailbox of this transcript's own, `{password}` its password, `{plain}` both for AUTH PLAIN.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use postern_tests::{
    admin::{Admin, PASSWORD},
    eventually,
    platform::{Blueprint, Platform},
    smtp,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// How long the server may take for one line.
const LINE_LIMIT: Duration = Duration::from_secs(20);

/// One step of a transcript and the line it stands in.
#[derive(Debug)]
struct Step {
    line: usize,
    does: Does,
}

#[derive(Debug)]
enum Does {
    Say(Vec<u8>),
    Hear(String),
    SkipTo,
    Finish,
    IsClosed,
}

#[derive(Debug, Default)]
struct Transcript {
    shows: String,
    mails: Vec<Vec<u8>>,
    granted: bool,
    steps: VecDeque<Step>,
}

impl Transcript {
    fn read(text: &str, names: &Names) -> anyhow::Result<Self> {
        let mut read = Self::default();
        for (number, line) in text.lines().enumerate() {
            let line_number = number + 1;
            let (tag, rest) = line.split_once(' ').unwrap_or((line, ""));
            let rest = names.fill(rest);
            let does = match tag {
                "" => continue,
                "#" => {
                    read.shows.push_str(&rest);
                    read.shows.push(' ');
                    continue;
                }
                "mail:" => {
                    read.mails.push(octets(&rest)?);
                    continue;
                }
                "granted" => {
                    read.granted = true;
                    continue;
                }
                "C:" => Does::Say(format!("{rest}\r\n").into_bytes()),
                "B:" => Does::Say(octets(&rest)?),
                "S:" => Does::Hear(rest),
                "S~" => Does::SkipTo,
                "FIN" => Does::Finish,
                "END" => Does::IsClosed,
                other => bail!("line {line_number}: {other:?} is none of C: B: S: S~ FIN END"),
            };
            // What a client says in one go leaves in one write.
            if let (Does::Say(more), Some(Step { does: Does::Say(said), .. })) =
                (&does, read.steps.back_mut())
            {
                said.extend_from_slice(more);
                continue;
            }
            read.steps.push_back(Step { line: line_number, does });
        }
        ensure!(read.shows.contains('-'), "its first line names what it shows, as in `# P-03: ...`");
        ensure!(read.steps.iter().any(|step| matches!(step.does, Does::Hear(_))), "it expects nothing");
        Ok(read)
    }
}

/// What stands for `{...}` in a transcript.
struct Names {
    mailbox: String,
}

impl Names {
    fn fill(&self, text: &str) -> String {
        let plain = STANDARD.encode(format!("\0{}@homepage.test\0{PASSWORD}", self.mailbox));
        text.replace("{box}", &self.mailbox).replace("{password}", PASSWORD).replace("{plain}", &plain)
    }
}

/// `\r`, `\n`, `\\`, `\x41`, and `\{n*text}` for so many times the text, which may have such escapes but this one.
fn octets(text: &str) -> anyhow::Result<Vec<u8>> {
    let mut said = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        said.extend_from_slice(before.as_bytes());
        let kind = after.chars().next().context("an escape without an end")?;
        rest = &after[kind.len_utf8()..];
        match kind {
            'r' => said.push(b'\r'),
            'n' => said.push(b'\n'),
            't' => said.push(b'\t'),
            '\\' => said.push(b'\\'),
            'x' => {
                said.push(u8::from_str_radix(rest.get(..2).context("two hex digits")?, 16)?);
                rest = &rest[2..];
            }
            '{' => {
                let (repeat, after) = rest.split_once('}').context("\\{n*text}")?;
                let (count, what) = repeat.split_once('*').context("\\{n*text}")?;
                said.extend(octets(what)?.repeat(count.parse()?));
                rest = after;
            }
            other => bail!("there is no escape \\{other}"),
        }
    }
    said.extend_from_slice(rest.as_bytes());
    Ok(said)
}

/// `*` is anything.
fn fits(pattern: &str, line: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else { return pattern == line };
    let Some(line) = line.strip_prefix(begin) else { return false };
    (0..=line.len()).filter(|at| line.is_char_boundary(*at)).any(|at| fits(rest, &line[at..]))
}

struct Session {
    stream: BufReader<TcpStream>,
    heard: Vec<String>,
}

impl Session {
    async fn connect(door: SocketAddr, client: &str) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(format!("{client}:0").parse()?)?;
        let stream = socket.connect(door).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), heard: Vec::new() })
    }

    /// The next line, without its CRLF; `None` at the end of the connection.
    async fn line(&mut self) -> anyhow::Result<Option<String>> {
        let mut line = Vec::new();
        let read = timeout(LINE_LIMIT, self.stream.read_until(b'\n', &mut line)).await;
        match read.context("the server says nothing")? {
            Ok(0) | Err(_) => return Ok(None),
            Ok(_) => {}
        }
        ensure!(line.ends_with(b"\r\n"), "a line that does not end with CRLF: {line:?}");
        let line = String::from_utf8_lossy(&line[..line.len() - 2]).into_owned();
        self.heard.push(line.clone());
        Ok(Some(line))
    }

    async fn play(&mut self, mut steps: VecDeque<Step>) -> anyhow::Result<()> {
        while let Some(Step { line, does }) = steps.pop_front() {
            let place = || format!("line {line}");
            match does {
                // A server that closed already is found by what it said.
                Does::Say(octets) => drop(self.stream.get_mut().write_all(&octets).await),
                Does::Hear(pattern) => {
                    let said = self.line().await.with_context(place)?;
                    let said = said.with_context(|| format!("line {line}: closed instead of {pattern:?}"))?;
                    ensure!(
                        fits(&pattern, &said),
                        "line {line}: {pattern:?} is expected, the server said {said:?}"
                    );
                }
                Does::SkipTo => {
                    let Some(Step { does: Does::Hear(pattern), .. }) = steps.pop_front() else {
                        bail!("line {line}: S: must follow S~");
                    };
                    loop {
                        let said = self.line().await.with_context(place)?;
                        let said = said.with_context(|| format!("line {line}: closed before {pattern:?}"))?;
                        if fits(&pattern, &said) {
                            break;
                        }
                    }
                }
                Does::Finish => self.stream.get_mut().shutdown().await.with_context(place)?,
                Does::IsClosed => {
                    let mut more = Vec::new();
                    let end = timeout(LINE_LIMIT, self.stream.read_to_end(&mut more)).await;
                    end.with_context(|| format!("line {line}: the connection is still open"))?.ok();
                    ensure!(
                        more.is_empty(),
                        "line {line}: said before the end: {:?}",
                        String::from_utf8_lossy(&more)
                    );
                }
            }
        }
        Ok(())
    }
}

struct House {
    platform: Platform,
    admin: Admin,
}

impl House {
    async fn start() -> anyhow::Result<Self> {
        let platform = Blueprint::new().start().await?;
        let admin = platform.admin()?;
        admin.domain("homepage", "homepage.test").await?;
        admin.mailbox("user@homepage.test").await?;
        admin.default_address("homepage.test", postern_proto::account::v1::DefaultAction::Reject, "").await?;
        Ok(Self { platform, admin })
    }

    fn door(&self, name: &str) -> anyhow::Result<SocketAddr> {
        Ok(match name {
            "pop3" => self.platform.pop3(0),
            "smtp" => self.platform.smtp(0),
            "submission" => self.platform.submission(0),
            other => bail!("there is no door {other:?}"),
        })
    }

    /// Plays one file as a client with an address of its own.
    async fn play(&self, file: &Path, number: usize) -> anyhow::Result<String> {
        let text = std::fs::read_to_string(file)?;
        let door =
            file.parent().and_then(Path::file_name).context("a folder")?.to_string_lossy().into_owned();
        let names = Names { mailbox: format!("box{number}") };
        let transcript = Transcript::read(&text, &names)?;
        let address = format!("{}@homepage.test", names.mailbox);
        let client = format!("127.0.{}.{}", 10 + number / 200, 1 + number % 200);
        let mailbox = self.admin.mailbox(&address).await?.mailbox_id;
        for (n, mail) in transcript.mails.iter().enumerate() {
            let reply = smtp::send(self.platform.smtp(0), "a@outside.test", &[&address], mail).await?;
            ensure!(reply.starts_with("250 "), "mail {n} of {}: {reply}", file.display());
        }
        let count = i64::try_from(transcript.mails.len())?;
        let there = eventually(LINE_LIMIT, async || {
            self.admin.message_count(mailbox).await.is_ok_and(|there| there == count)
        });
        ensure!(there.await, "the mails of {} are not there", file.display());
        if transcript.granted {
            let mut check = Session::connect(self.platform.pop3(0), &client).await?;
            let login = format!("USER {address}\r\nPASS {PASSWORD}\r\nQUIT\r\n");
            let mut steps = VecDeque::from([Step { line: 0, does: Does::Say(login.into_bytes()) }]);
            steps.extend((0..4).map(|_| Step { line: 0, does: Does::Hear("+OK*".to_owned()) }));
            check.play(steps).await.context("checking mail")?;
        }
        let mut session = Session::connect(self.door(&door)?, &client).await?;
        let played = session.play(transcript.steps).await;
        played.with_context(|| format!("heard so far:\n  {}", session.heard.join("\n  ")))?;
        Ok(transcript.shows)
    }
}

fn files() -> anyhow::Result<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    let mut files = Vec::new();
    for door in std::fs::read_dir(folder)? {
        for file in std::fs::read_dir(door?.path())? {
            files.push(file?.path());
        }
    }
    files.sort();
    Ok(files)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transcript_is_played_as_it_is_written() -> anyhow::Result<()> {
    let house = House::start().await?;
    let files = files()?;
    let mut wrong = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let name: PathBuf = file.components().rev().take(2).collect::<Vec<_>>().into_iter().rev().collect();
        match house.play(file, number).await {
            Ok(shows) => println!("transcript {} ok: {}", name.display(), shows.trim_end()),
            Err(error) => wrong.push(format!("{}: {error:#}", name.display())),
        }
    }
    assert!(files.len() > 20, "the transcripts are there");
    assert!(wrong.is_empty(), "{} of {} went otherwise:\n{}", wrong.len(), files.len(), wrong.join("\n"));
    Ok(())
}

#[test]
fn the_language_of_transcripts_says_what_is_wrong() {
    let names = Names { mailbox: "b".to_owned() };
    for bad in [
        "# P-1: x\nX: y",
        "C: a\nS: b",
        "# P-1: x\nC: a",
        "# P-1: x\nB: \\q\nS: a",
        "# P-1: x\nB: \\{x}\nS: a",
    ] {
        assert!(Transcript::read(bad, &names).is_err(), "{bad}");
    }
    let good = Transcript::read("# P-1: x\nC: a\nC: {box}\nB: \\x41\\{3*xy}\\{2*\\n}\\\\\nS: 2*", &names)
        .expect("read");
    assert_eq!(good.steps.len(), 2, "one write");
    assert!(matches!(&good.steps[0].does, Does::Say(said) if said == b"a\r\nb\r\nAxyxyxy\n\n\\"));
    assert!(fits("2*0 *", "250 x") && fits("*", "") && !fits("25*", "2") && !fits("250", "250 x"));
}
