//! A session under test, and the world around it.

use std::time::SystemTime;

use bytes::BytesMut;
use postern_mail::MessageId;
use postern_smtp::command;

use super::*;

pub(super) fn profile(door: Door) -> Profile {
    Profile {
        door,
        mail_host: "mail.postern.test".into(),
        peer: "203.0.113.9".parse().expect("address"),
        tls_available: true,
        plaintext_login: true,
        plaintext_by_domain: false,
        message_max_bytes: Some(1000),
        recipients_max: 3,
        refused_recipients_max: Some(4),
        inbound_limited: true,
    }
}

fn stamp() -> Stamp {
    Stamp {
        message_id: "0193c2a1b4c97f3e8d4a5b6c7d8e9f00".parse::<MessageId>().expect("id"),
        time: SystemTime::UNIX_EPOCH,
    }
}

pub(super) fn right(mailbox_id: i64, authenticated: bool) -> RelayRight {
    RelayRight { login: "u@homepage.test".into(), mailbox_id, customer: "homepage".into(), authenticated }
}

pub(super) fn login() -> Login {
    Login {
        login: "u@homepage.test".into(),
        mailbox_id: 7,
        customer: "homepage".into(),
        credential_version: 1,
    }
}

/// A session under test, with a world that answers every question.
pub(super) struct Talk {
    pub(super) session: Session,
    pub(super) next: Next,
}

impl Talk {
    pub(super) fn new(profile: Profile) -> Self {
        let mut talk = Self { session: Session::new(profile), next: Next::Stay };
        assert_eq!(talk.event(Event::Opened { spoke_early: false }), ["220 mail.postern.test ESMTP Postern"]);
        talk
    }

    pub(super) fn at(door: Door) -> Self {
        Self::new(profile(door))
    }

    /// After EHLO.
    pub(super) fn greeted(door: Door) -> Self {
        let mut talk = Self::at(door);
        talk.says("EHLO client.test");
        talk
    }

    pub(super) fn event(&mut self, event: Event) -> Vec<String> {
        let effects = self.session.step(event);
        self.next = effects.next;
        let mut out = BytesMut::new();
        for reply in &effects.replies {
            reply.write_to(&mut out);
        }
        String::from_utf8(out.to_vec()).expect("ascii").lines().map(str::to_owned).collect()
    }

    /// One line, alone in its segment.
    pub(super) fn says(&mut self, line: &str) -> Vec<String> {
        self.line(line, false)
    }

    pub(super) fn line(&mut self, line: &str, followed: bool) -> Vec<String> {
        let hasty = followed && command::ends_group(line.as_bytes());
        let event = match command::parse(line.as_bytes(), self.session.offers()) {
            _ if matches!(self.next, Next::SaslLine) => Event::SaslLine(line.as_bytes().to_vec()),
            Ok(Command::Mail(mail)) => Event::Mail(mail, stamp()),
            Ok(Command::Rcpt(path)) => Event::Recipients(vec![Ok(path)]),
            Err(refused) if line.starts_with("RCPT") => Event::Recipients(vec![Err(refused)]),
            Ok(command) => Event::Command { command, hasty },
            Err(refused) => Event::Refused { refused, hasty },
        };
        let mut replies = self.event(event);
        if let Next::Ask(question) = &self.next {
            let event = answer(question);
            replies.extend(self.event(event));
        }
        if let Next::Chunk(chunk, _) = &self.next {
            let event = match chunk.last {
                true => Event::ContentAnswered(Ok(())),
                false => Event::ChunkAnswered(Ok(chunk.size_bytes)),
            };
            replies.extend(self.event(event));
        }
        replies
    }

    /// The code of the one reply.
    pub(super) fn code(&mut self, line: &str) -> String {
        let replies = self.says(line);
        let last = replies.last().expect("a reply");
        last.chars().take(3).collect()
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.next, Next::Close)
    }
}

/// box@ and other@ are here, gone@ is nobody, far@ is outside and allowed, open@ is outside and refused, away@ cannot
/// be told. The password is "right".
pub(super) fn answer(question: &Question) -> Event {
    match question {
        Question::Login { credentials, .. } => Event::LoginAnswered(match &credentials.password.0[..] {
            b"right" => Ok(login()),
            b"away" => Err(Reason::AuthenticationUnavailable),
            b"often" => Err(Reason::LoginThrottled),
            _ => Err(Reason::BadCredentials),
        }),
        Question::Sender { sender, login } => Event::SenderAnswered(match sender.to_string().as_str() {
            "away@homepage.test" => Err(Reason::Unavailable.into()),
            "boss@rival.test" => Err(Reason::SenderNotPermitted.into()),
            _ if login.is_some() => Ok(right(7, true)),
            "granted@homepage.test" => Ok(right(7, false)),
            _ => Err(Refused {
                reason: Reason::AuthenticationRequired,
                detail: Some(Reason::check_mail_first("mail.homepage.test")),
            }),
        }),
        Question::Recipients { paths, .. } => Event::RecipientsAnswered(
            paths
                .iter()
                .map(|path| {
                    let postern_smtp::command::RcptPath::Address(address) = path else {
                        return Ok(Accepted {
                            address: "postmaster@postern.test".parse().expect("a"),
                            right: None,
                        });
                    };
                    let accepted = |right| Ok(Accepted { address: address.clone(), right });
                    match address.local() {
                        "far" => accepted(Some(right(7, false))),
                        "gone" => Err(Reason::NoSuchMailbox.into()),
                        "open" => Err(Reason::RelayProhibited.into()),
                        "away" => Err(Reason::Unavailable.into()),
                        _ => accepted(None),
                    }
                })
                .collect(),
        ),
    }
}
