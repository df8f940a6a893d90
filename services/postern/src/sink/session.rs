//! One connection to the outside world: lines -> commands -> transaction -> journal.

use std::{borrow::Cow, io, net::SocketAddr, sync::Arc};

use bytes::{Buf as _, BytesMut};
use postern_mail::{EmailAddress, MessageId, Reason, limits};
use postern_smtp::{
    command::{self, Command, MailCommand, Offers, RcptPath},
    data::{DataLimits, DataReader},
    line::{Line, LineReader},
    reply::Reply,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{Answer, Moment, Received, World};

const KEYWORDS: [&str; 3] = ["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"];
const READ_BYTES: usize = 64 * 1024;

/// Whether the connection goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Go,
    Close,
}

/// Talks until the client leaves.
pub(super) async fn run(stream: TcpStream, peer: SocketAddr, world: &Arc<World>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut session = Session {
        stream,
        world,
        input: BytesMut::with_capacity(READ_BYTES),
        output: BytesMut::new(),
        lines: LineReader::default(),
        sender: None,
        smtp_utf8: false,
        recipients: Vec::new(),
    };
    let greeting = Reply::greeting(&world.settings.host);
    if session.answer(world.decide(&Moment::Connect { peer }), greeting).await? == Next::Close {
        return Ok(());
    }
    while session.step().await? == Next::Go {}
    session.flush().await
}

struct Session<'a> {
    stream: TcpStream,
    world: &'a Arc<World>,
    input: BytesMut,
    /// Replies gather here while more commands are at hand (RFC 2920).
    output: BytesMut,
    lines: LineReader,
    sender: Option<String>,
    smtp_utf8: bool,
    recipients: Vec<String>,
}

impl Session<'_> {
    /// One command.
    async fn step(&mut self) -> io::Result<Next> {
        let Some(line) = self.next_line().await? else { return Ok(Next::Close) };
        let command = match line {
            Line::Whole(line) => command::parse(&line, self.offers()),
            Line::TooLong(_) => Err(Reason::LineTooLong.into()),
            Line::Endless | Line::BareLineFeed => {
                Reply::failure(Reason::BadCharacter, None).write_to(&mut self.output);
                return Ok(Next::Close);
            }
        };
        match command {
            Ok(command) => self.act(command).await,
            Err(refused) => {
                Reply::failure(refused.reason, refused.detail.as_deref()).write_to(&mut self.output);
                Ok(Next::Go)
            }
        }
    }

    async fn act(&mut self, command: Command) -> io::Result<Next> {
        let host = &self.world.settings.host;
        let reply = match command {
            Command::Mail(mail) if self.sender.is_none() => return self.mail(mail).await,
            Command::Rcpt(rcpt) if self.sender.is_some() => return self.rcpt(rcpt.path).await,
            Command::Data if !self.recipients.is_empty() => return self.data().await,
            Command::Data if self.sender.is_some() => Reply::failure(Reason::NoValidRecipients, None),
            Command::Mail(_) | Command::Rcpt(_) | Command::Data => Reply::failure(Reason::BadSequence, None),
            Command::Quit => {
                Reply::goodbye(host).write_to(&mut self.output);
                return Ok(Next::Close);
            }
            // RFC 5321 section 4.1.4: a greeting or RSET ends the transaction; NOOP, HELP and VRFY leave it alone.
            Command::Ehlo(_) => self.reset(Reply::ehlo(host, self.keywords())),
            Command::Helo(_) => self.reset(Reply::helo(host)),
            Command::Rset => self.reset(Reply::done()),
            Command::Noop => Reply::done(),
            Command::Help => Reply::help(),
            Command::Vrfy => Reply::cannot_verify(),
            Command::StartTls | Command::Auth(..) | Command::Bdat(_) => {
                Reply::failure(Reason::NotImplemented, None)
            }
        };
        reply.write_to(&mut self.output);
        Ok(Next::Go)
    }

    fn reset(&mut self, reply: Reply) -> Reply {
        self.sender = None;
        self.recipients.clear();
        reply
    }

    fn offers(&self) -> Offers {
        Offers { smtp_utf8: self.world.settings.smtp_utf8, auth: false }
    }

    fn keywords(&self) -> Vec<Cow<'static, str>> {
        let mut keywords = KEYWORDS.map(Cow::Borrowed).to_vec();
        keywords.extend(self.offers().smtp_utf8.then_some(Cow::Borrowed("SMTPUTF8")));
        keywords
    }

    async fn mail(&mut self, mail: MailCommand) -> io::Result<Next> {
        let sender = mail.sender.to_string();
        let answer = self.world.decide(&Moment::Sender(&sender));
        if is_good(&answer) {
            self.sender = Some(sender);
            self.smtp_utf8 = mail.smtp_utf8;
        }
        self.answer(answer, Reply::sender_ok()).await
    }

    async fn rcpt(&mut self, path: RcptPath) -> io::Result<Next> {
        let recipient = match path {
            RcptPath::Address(address) => EmailAddress::to_string(&address),
            RcptPath::Postmaster => "postmaster".to_owned(),
        };
        let sender = self.sender.as_deref().unwrap_or_default();
        let answer = self.world.decide(&Moment::Recipient { sender, recipient: &recipient });
        if is_good(&answer) {
            self.recipients.push(recipient);
        }
        self.answer(answer, Reply::recipient_ok()).await
    }

    async fn data(&mut self) -> io::Result<Next> {
        Reply::start_mail_input().write_to(&mut self.output);
        self.flush().await?;
        let mut reader = DataReader::new(DataLimits { message_max_bytes: None, line_max_bytes: usize::MAX });
        let mut content = Vec::new();
        loop {
            if self.input.is_empty() && !self.read().await? {
                return Ok(Next::Close);
            }
            let progress = reader.feed(&self.input, |piece| content.extend_from_slice(piece));
            self.input.advance(progress.consumed);
            if progress.ended {
                break;
            }
        }
        let sender = self.sender.take().unwrap_or_default();
        let recipients = std::mem::take(&mut self.recipients);
        if let Some(flaw) = reader.flaw() {
            Reply::failure(flaw, None).write_to(&mut self.output);
            return Ok(Next::Go);
        }
        let message = Received { sender, recipients, smtp_utf8: self.smtp_utf8, content: content.into() };
        let answer = self.world.decide(&Moment::Content(&message));
        if is_good(&answer)
            && let Err(error) = self.world.keep(message).await
        {
            tracing::warn!(%error, "the outside world cannot keep a message");
            Reply::failure(Reason::InsufficientStorage, None).write_to(&mut self.output);
            return Ok(Next::Go);
        }
        self.answer(answer, Reply::queued(MessageId::new())).await
    }

    async fn answer(&mut self, answer: Answer, good: Reply) -> io::Result<Next> {
        match answer {
            Answer::Accept => good.write_to(&mut self.output),
            Answer::Reply(line) => {
                self.output.extend_from_slice(line.as_bytes());
                self.output.extend_from_slice(b"\r\n");
                // RFC 5321 section 3.8: after 421 the channel closes.
                if line.starts_with("421") {
                    self.flush().await?;
                    return Ok(Next::Close);
                }
            }
            Answer::Delay(pause) => {
                self.flush().await?;
                tokio::time::sleep(pause).await;
                good.write_to(&mut self.output);
            }
            Answer::AcceptThenHangUp | Answer::HangUp => {
                self.output.clear();
                return Ok(Next::Close);
            }
        }
        Ok(Next::Go)
    }

    /// The next line; `None` when the client has gone. Replies go out before we wait.
    async fn next_line(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.lines.next_line(&mut self.input, limits::SMTP_LINE_MAX_BYTES) {
                return Ok(Some(line));
            }
            self.flush().await?;
            if !self.read().await? {
                return Ok(None);
            }
        }
    }

    async fn read(&mut self) -> io::Result<bool> {
        self.input.reserve(READ_BYTES);
        Ok(self.stream.read_buf(&mut self.input).await? > 0)
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all_buf(&mut self.output).await
    }
}

fn is_good(answer: &Answer) -> bool {
    matches!(answer, Answer::Accept | Answer::AcceptThenHangUp | Answer::Delay(_))
}
