//! The grammar of command lines (RFC 5321 section 4.1.1 and 4.1.2): a line becomes a [`Command`] or a [`Refused`].
//!
//! Second step of the walk: lines -> commands. Knows nothing of order or state; that is the session's matter.

mod path;

use postern_mail::{
    EmailAddress, Reason, ReversePath,
    sasl::{Answer, Mechanism},
};

use crate::dsn::{self, MessageDsn, Notify, RecipientDsn, ReturnContent};

/// HELO and EHLO argument, octets (S-02).
const CLIENT_NAME_MAX_BYTES: usize = 255;
/// ENVID, octets (RFC 3461 section 4.4).
const ENVELOPE_ID_MAX_BYTES: usize = 100;
/// ORCPT, octets (RFC 3461 section 4.2).
const ORIGINAL_RECIPIENT_MAX_BYTES: usize = 500;

/// Extensions that the server offers right now and that change the grammar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// RFC 6531: non-ASCII paths, and the parameter SMTPUTF8.
    pub smtp_utf8: bool,
    /// RFC 4954: the command AUTH.
    pub auth: bool,
}

/// A well-formed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// HELO with the client's name.
    Helo(ClientName),
    /// EHLO with the client's name.
    Ehlo(ClientName),
    /// MAIL FROM.
    Mail(MailCommand),
    /// RCPT TO.
    Rcpt(RcptCommand),
    /// DATA.
    Data,
    /// RSET.
    Rset,
    /// NOOP, whatever its argument.
    Noop,
    /// QUIT.
    Quit,
    /// HELP, whatever its argument.
    Help,
    /// VRFY, whatever is asked.
    Vrfy,
    /// STARTTLS (RFC 3207).
    StartTls,
    /// AUTH with its initial response, if any (RFC 4954).
    Auth(Mechanism, Option<Answer>),
    /// BDAT (RFC 3030); `None`: nobody can say how many octets follow that are no commands, so the session must end.
    Bdat(Option<Chunk>),
}

/// What BDAT announces: so many octets of content follow its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Octets, as they are: not dot-stuffed.
    pub size_bytes: u64,
    /// The message ends with them.
    pub last: bool,
}

/// What the client calls itself; safe to write into a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientName(String);

impl ClientName {
    /// The name; graphic ASCII without what has a meaning in header fields.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// MAIL with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailCommand {
    /// Envelope sender.
    pub sender: ReversePath,
    /// SIZE, octets (RFC 1870).
    pub declared_size_bytes: Option<u64>,
    /// BODY=8BITMIME (RFC 6152).
    pub eight_bit: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtp_utf8: bool,
    /// RET and ENVID (RFC 3461).
    pub dsn: MessageDsn,
}

/// RCPT with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RcptCommand {
    /// Whom it names.
    pub path: RcptPath,
    /// The address as it was written, where that is not ASCII: it needs SMTPUTF8, also when only its domain does (RFC 6531
    /// section 3.5).
    pub written: Option<String>,
    /// NOTIFY and ORCPT (RFC 3461).
    pub dsn: RecipientDsn,
}

/// Whom RCPT names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RcptPath {
    /// An address.
    Address(EmailAddress),
    /// `<postmaster>` without a domain (RFC 5321 section 4.5.1).
    Postmaster,
}

/// Why a line is no command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Row of the failure table.
    pub reason: Reason,
    /// More for the peer.
    pub detail: Option<String>,
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Self { reason, detail: None }
    }
}

impl Refused {
    fn because(reason: Reason, detail: impl ToString) -> Self {
        Self { reason, detail: Some(detail.to_string()) }
    }
}

/// Reads one line, given without its CRLF.
///
/// # Errors
/// A permanent reason of the group "Commands" or "Login".
pub fn parse(line: &[u8], offers: Offers) -> Result<Command, Refused> {
    match text_of(line).and_then(|text| command(text, offers)) {
        Err(_) if is_bdat(line) => Ok(Command::Bdat(None)),
        parsed => parsed,
    }
}

/// True for a line that says BDAT, whatever stands behind that and however much: what follows it is content, and must never be
/// taken for commands (RFC 3030 section 2). Its first 16 octets are enough.
#[must_use]
pub fn is_bdat(line: &[u8]) -> bool {
    verb_of(line).eq_ignore_ascii_case(b"BDAT")
}

/// True for a line that says what must be the last of a group of commands (RFC 2920 section 3.1, RFC 3207 section 4.2, RFC 4954
/// section 4), well-formed or not: what a client sends behind it before it has heard the reply was smuggled in. Its first 16
/// octets are enough.
#[must_use]
pub fn ends_group(line: &[u8]) -> bool {
    let verb = verb_of(line);
    [&b"HELO"[..], b"EHLO", b"DATA", b"AUTH", b"STARTTLS"].iter().any(|one| verb.eq_ignore_ascii_case(one))
}

fn verb_of(line: &[u8]) -> &[u8] {
    let end = line.iter().position(|octet| !octet.is_ascii_alphanumeric());
    &line[..end.unwrap_or(line.len())]
}

fn text_of(line: &[u8]) -> Result<&str, Refused> {
    // NUL, bare CR and other controls stand in no command (RFC 5321 section 4.1.1); TAB is no separator either.
    if line.iter().any(u8::is_ascii_control) {
        return Err(Reason::BadCharacter.into());
    }
    std::str::from_utf8(line).map_err(|_| Refused::because(Reason::BadArguments, "not UTF-8"))
}

fn command(text: &str, offers: Offers) -> Result<Command, Refused> {
    let text = text.trim_end_matches(' ');
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    if verb.len() > 8 {
        return Err(Reason::UnknownCommand.into());
    }
    match verb.to_ascii_uppercase().as_str() {
        "HELO" => client_name(rest).map(Command::Helo),
        "EHLO" => client_name(rest).map(Command::Ehlo),
        "MAIL" => mail(rest, offers),
        "RCPT" => rcpt(rest, offers),
        "DATA" => without_argument(rest, Command::Data),
        "RSET" => without_argument(rest, Command::Rset),
        "QUIT" => without_argument(rest, Command::Quit),
        // RFC 3207 section 4: "501 Syntax error (no parameters allowed)".
        "STARTTLS" => without_argument(rest, Command::StartTls),
        "NOOP" => Ok(Command::Noop),
        "HELP" => Ok(Command::Help),
        "VRFY" if rest.is_empty() => Err(Reason::BadArguments.into()),
        "VRFY" => Ok(Command::Vrfy),
        "AUTH" if offers.auth => auth(rest),
        "BDAT" => Ok(Command::Bdat(chunk(rest))),
        "AUTH" | "EXPN" | "TURN" | "ETRN" | "SEND" | "SOML" | "SAML" | "BURL" => {
            Err(Reason::NotImplemented.into())
        }
        _ => Err(Reason::UnknownCommand.into()),
    }
}

fn without_argument(rest: &str, command: Command) -> Result<Command, Refused> {
    if rest.is_empty() { Ok(command) } else { Err(Reason::BadArguments.into()) }
}

fn client_name(rest: &str) -> Result<ClientName, Refused> {
    let name = rest.trim_start_matches(' ');
    if name.is_empty() || name.len() > CLIENT_NAME_MAX_BYTES || name.contains(' ') {
        return Err(Refused::because(Reason::BadArguments, "a host name is needed"));
    }
    // Clients call themselves all sorts of things; what would mean something in a header field does not get there.
    let safe = |c: char| c.is_ascii_alphanumeric() || "-._:[]/+=#~*!".contains(c);
    Ok(ClientName(name.chars().map(|c| if safe(c) { c } else { '?' }).collect()))
}

fn auth(rest: &str) -> Result<Command, Refused> {
    let mut words = rest.split(' ').filter(|word| !word.is_empty());
    let name = words.next().ok_or(Reason::BadArguments)?;
    let initial = words.next();
    if words.next().is_some() {
        return Err(Reason::BadArguments.into());
    }
    let mechanism = Mechanism::named(name.as_bytes())?;
    let initial = initial.map(|word| Answer::read_initial(word.as_bytes())).transpose()?;
    Ok(Command::Auth(mechanism, initial))
}

/// Takes `FROM:` or `TO:` off, in any case, with at most one space after the colon (S-09).
fn after_keyword<'a>(rest: &'a str, keyword: &str) -> Result<&'a str, Refused> {
    let rest = rest.trim_start_matches(' ');
    match rest.get(..keyword.len()) {
        Some(given) if given.eq_ignore_ascii_case(keyword) => {
            let path = &rest[keyword.len()..];
            Ok(path.strip_prefix(' ').unwrap_or(path))
        }
        _ => Err(Refused::because(Reason::BadArguments, format_args!("{keyword}<address> is needed"))),
    }
}

fn mail(rest: &str, offers: Offers) -> Result<Command, Refused> {
    let (path, parameters) = path::split(after_keyword(rest, "FROM:")?)
        .ok_or_else(|| Refused::because(Reason::BadSenderAddress, "an address in <> is needed"))?;
    let mut command = MailCommand {
        sender: ReversePath::Null,
        declared_size_bytes: None,
        eight_bit: false,
        smtp_utf8: false,
        dsn: MessageDsn::default(),
    };
    for (name, value) in path::parameters(parameters)? {
        match (name.as_str(), value) {
            ("SIZE", value) => command.declared_size_bytes = Some(size(value)?),
            ("BODY", Some(body)) if body.eq_ignore_ascii_case("8BITMIME") => command.eight_bit = true,
            ("BODY", Some(body)) if body.eq_ignore_ascii_case("7BIT") => {}
            ("BODY", _) => return Err(Refused::because(Reason::BadArguments, "BODY is 7BIT or 8BITMIME")),
            // RFC 4954 section 5: read, and not trusted.
            ("AUTH", value) if offers.auth => path::check_xtext(value)?,
            ("SMTPUTF8", None) if offers.smtp_utf8 => command.smtp_utf8 = true,
            ("RET", value) => {
                let content = value.and_then(ReturnContent::parse);
                let refused = || Refused::because(Reason::BadArguments, "RET is FULL or HDRS");
                command.dsn.return_content = Some(content.ok_or_else(refused)?);
            }
            ("ENVID", value) => {
                let id = value.filter(|id| id.len() <= ENVELOPE_ID_MAX_BYTES && dsn::is_xtext(id));
                let refused = || Refused::because(Reason::BadArguments, "ENVID is xtext");
                command.dsn.envelope_id = Some(id.ok_or_else(refused)?.to_owned());
            }
            _ => return Err(Refused::because(Reason::UnknownParameter, name)),
        }
    }
    if !path.is_empty() {
        let (address, _written) =
            path::address(path, command.smtp_utf8).map_err(|e| e.refused(Reason::BadSenderAddress))?;
        command.sender = ReversePath::Address(address);
    }
    Ok(Command::Mail(command))
}

fn rcpt(rest: &str, offers: Offers) -> Result<Command, Refused> {
    let (path, parameters) = path::split(after_keyword(rest, "TO:")?)
        .ok_or_else(|| Refused::because(Reason::BadRecipientAddress, "an address in <> is needed"))?;
    let dsn = recipient_dsn(path::parameters(parameters)?, offers.smtp_utf8)?;
    if path.eq_ignore_ascii_case("postmaster") {
        return Ok(Command::Rcpt(RcptCommand { path: RcptPath::Postmaster, written: None, dsn }));
    }
    // Whether this transaction said SMTPUTF8 is the session's knowledge.
    let (address, written) =
        path::address(path, offers.smtp_utf8).map_err(|e| e.refused(Reason::BadRecipientAddress))?;
    let written = (!written.is_ascii()).then(|| written.to_owned());
    Ok(Command::Rcpt(RcptCommand { path: RcptPath::Address(address), written, dsn }))
}

/// RFC 3461 section 4.1 and 4.2.
fn recipient_dsn(parameters: Vec<(String, Option<&str>)>, smtp_utf8: bool) -> Result<RecipientDsn, Refused> {
    let mut dsn = RecipientDsn::default();
    for (name, value) in parameters {
        match name.as_str() {
            "NOTIFY" => {
                let refused = || {
                    Refused::because(
                        Reason::BadArguments,
                        "NOTIFY is NEVER, or some of SUCCESS,FAILURE,DELAY",
                    )
                };
                dsn.notify = Some(value.and_then(Notify::parse).ok_or_else(refused)?);
            }
            "ORCPT" => {
                let original = value
                    .filter(|text| text.len() <= ORIGINAL_RECIPIENT_MAX_BYTES)
                    .and_then(|text| dsn::original_recipient(text, smtp_utf8));
                let refused = || Refused::because(Reason::BadArguments, "ORCPT is a type, `;` and xtext");
                dsn.original_recipient = Some(original.ok_or_else(refused)?);
            }
            _ => return Err(Refused::because(Reason::UnknownParameter, name)),
        }
    }
    Ok(dsn)
}

/// RFC 3030 section 2: `size [LAST]`.
fn chunk(rest: &str) -> Option<Chunk> {
    let (size, last) = match rest.split_once(' ') {
        Some((size, word)) if word.eq_ignore_ascii_case("LAST") => (size, true),
        Some(_) => return None,
        None => (rest, false),
    };
    Some(Chunk { size_bytes: size_of(size)?, last })
}

/// RFC 1870 section 3: up to 20 digits; what does not fit 64 bits is no size.
fn size(value: Option<&str>) -> Result<u64, Refused> {
    let size = value.and_then(size_of);
    size.ok_or_else(|| Refused::because(Reason::BadArguments, "SIZE is a number of octets"))
}

fn size_of(digits: &str) -> Option<u64> {
    let plain = (1..=20).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit());
    digits.parse::<u64>().ok().filter(|size| plain && i64::try_from(*size).is_ok())
}

#[cfg(test)]
mod tests;
