//! What can happen to a session, and what it asks for in return.

use std::{fmt, time::SystemTime};

use postern_mail::{EmailAddress, MessageId, PeerIp, Reason, ReversePath, sasl::Credentials};
use postern_smtp::{
    command::{Chunk, ClientName, Command, MailCommand, RcptCommand, RcptPath, Refused},
    dsn::RecipientDsn,
    reply::Reply,
};

/// Something happened. Order is the connection's; meaning is the session's.
#[derive(Debug)]
pub(crate) enum Event {
    /// The client is there. It may have spoken before its turn.
    Opened {
        /// It did.
        spoke_early: bool,
    },
    /// A command other than MAIL and RCPT.
    Command {
        /// The command.
        command: Command,
        /// It ends a group of commands, and more octets stood behind it before its reply was made.
        hasty: bool,
    },
    /// MAIL, with what only the outside knows.
    Mail(MailCommand, Stamp),
    /// RCPT commands that stood one behind the other, in their order; at least one.
    Recipients(Vec<Result<RcptCommand, Refused>>),
    /// A line that is no command.
    Refused {
        /// Why.
        refused: Refused,
        /// As of a command, by its verb.
        hasty: bool,
    },
    /// A line that must end the session.
    BrokenLine(Reason),
    /// An answer of the client within AUTH.
    SaslLine(Vec<u8>),
    /// One over the limit; it has ended.
    SaslLineTooLong,
    /// What auth said.
    LoginAnswered(Result<Login, Reason>),
    /// Whether this client may send at all, and in this name.
    SenderAnswered(Result<RelayRight, Refused>),
    /// One answer for each recipient that was asked for, in their order.
    RecipientsAnswered(Vec<Result<Accepted, Refused>>),
    /// A chunk that is not the last came in, so many octets, or the content is no good.
    ChunkAnswered(Result<u64, Reason>),
    /// The content came to its true end, and delivery (or the reader) gave its word.
    ContentAnswered(Result<(), Reason>),
    /// The client spoke in plain text after STARTTLS.
    SpokeBeforeTls,
    /// TLS stands.
    TlsEstablished(String),
    /// The client was silent for too long.
    Idle,
    /// Somebody's right to send was taken away.
    Revoked(Revocation),
    /// This server goes down.
    ShuttingDown,
}

impl Event {
    /// True when another service said that this client may do what strangers may not.
    #[must_use]
    pub(crate) fn shows_a_right(&self) -> bool {
        match self {
            Self::LoginAnswered(answer) => answer.is_ok(),
            Self::SenderAnswered(answer) => answer.is_ok(),
            Self::RecipientsAnswered(answers) => {
                answers.iter().flatten().any(|accepted| accepted.right.is_some())
            }
            _ => false,
        }
    }
}

/// Identity and time of a transaction, made at MAIL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    /// Queue id, request id and trace id in one.
    pub(crate) message_id: MessageId,
    /// When MAIL came.
    pub(crate) time: SystemTime,
}

/// Who authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    /// Canonical login.
    pub(crate) login: String,
    /// Its box.
    pub(crate) mailbox_id: i64,
    /// Login of the owner.
    pub(crate) customer: String,
    /// Version of the password that was right.
    pub(crate) credential_version: i64,
}

/// What lets a mail through to the outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RelayRight {
    /// Canonical login.
    pub(crate) login: String,
    /// Its box.
    pub(crate) mailbox_id: i64,
    /// Login of the owner.
    pub(crate) customer: String,
    /// By AUTH; else by a grant of the client address.
    pub(crate) authenticated: bool,
}

/// A recipient that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// As delivery is to know it.
    pub(crate) address: EmailAddress,
    /// Present when the mail leaves.
    pub(crate) right: Option<RelayRight>,
}

/// Which rights are no more; `None` is any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revocation {
    /// Grants of this client, in the form of `ClientKey`.
    pub(crate) client: Option<String>,
    /// Rights of this box.
    pub(crate) mailbox_id: Option<i64>,
}

impl Revocation {
    /// True when a right is among those taken away. A client address names grants, never an AUTH.
    #[must_use]
    pub(crate) fn ends(&self, right: &RelayRight, peer: PeerIp) -> bool {
        let client = match &self.client {
            Some(client) => !right.authenticated && *client == peer.client_key().to_string(),
            None => true,
        };
        client && self.mailbox_id.is_none_or(|id| id == right.mailbox_id)
    }
}

/// What the session wants: replies to write, then what comes next.
#[derive(Debug)]
pub(crate) struct Effects {
    /// In order.
    pub(crate) replies: Vec<Reply>,
    /// Afterwards.
    pub(crate) next: Next,
}

/// What comes after the replies.
#[derive(Debug)]
pub(crate) enum Next {
    /// Go on as before.
    Stay,
    /// Read a command.
    Command,
    /// Read an answer within AUTH.
    SaslLine,
    /// Ask, and come back with the answer.
    Ask(Question),
    /// Read the content, hand it to delivery, come back with its word.
    Content(Box<Envelope>),
    /// Read a chunk of content; with the first one comes the envelope.
    Chunk(Chunk, Option<Box<Envelope>>),
    /// Read so many octets that nobody wants.
    Discard(u64),
    /// Begin TLS.
    StartTls,
    /// Write the replies and close.
    Close,
}

/// What only other services know.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    /// To auth: is this the password.
    Login {
        /// As typed.
        credentials: Credentials,
        /// Others can read the password on its way, and the domain of the login decides.
        clear_text: bool,
    },
    /// To auth: may this client send, and in this name.
    Sender {
        /// Envelope sender.
        sender: ReversePath,
        /// Who authenticated.
        login: Option<Login>,
    },
    /// To account and auth: where do these lead, and may mail go there.
    Recipients {
        /// Envelope sender.
        sender: ReversePath,
        /// Who authenticated.
        login: Option<Login>,
        /// In order.
        paths: Vec<RcptPath>,
        /// A stranger's: counted against what a recipient here gets in an hour.
        counted: bool,
    },
}

/// Everything but the content.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    /// Identity and time.
    pub(crate) stamp: Stamp,
    /// MAIL as given.
    pub(crate) mail: MailCommand,
    /// At least one.
    pub(crate) recipients: Vec<EmailAddress>,
    /// What the client wants to hear of each of them, in their order.
    pub(crate) recipient_dsn: Vec<RecipientDsn>,
    /// What lets it through, if it leaves or the client said who it is.
    pub(crate) right: Option<RelayRight>,
    /// What the client calls itself.
    pub(crate) client_name: ClientName,
    /// RFC 3848, RFC 6531 section 4.3.
    pub(crate) with_protocol: &'static str,
    /// Version and cipher suite; empty without TLS.
    pub(crate) tls: String,
}

/// Which of the ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// For the world's mail servers.
    Mx,
    /// For mail programs, plain text at first.
    Submission,
    /// For mail programs, TLS at once.
    Smtps,
}

impl Door {
    /// True for the doors of mail programs.
    #[must_use]
    pub(crate) fn is_submission(self) -> bool {
        !matches!(self, Self::Mx)
    }

    /// Name in metrics and logs.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mx => "smtp",
            Self::Submission => "submission",
            Self::Smtps => "smtps",
        }
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
