//! Who calls: a short signed sentence (assertion) that travels with each call, made by the caller's own process or by
//! auth for a person, and verified by every service by itself.
//!
//! Form: `v2.<payload>.<tag>`, both base64url without padding; the payload is seven lines (expiry seconds, role, subject,
//! customer, mailbox id, client address, scopes), the tag its HMAC-SHA256 with the key that all parts of one house share.

use std::{
    fmt,
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::{Arg, ArgMatches, Command, error::ErrorKind};
use ring::hmac;
use thiserror::Error;

use crate::{access::Area, clock::unix_seconds};

/// Metadata key that carries the assertion.
pub const ASSERTION_METADATA: &str = "postern-assertion";
/// Life of an assertion, seconds.
pub const ASSERTION_SECONDS: u64 = 60;
/// How far the clock of the signer may be ahead of ours, seconds.
const CLOCK_SKEW_SECONDS: u64 = 30;
/// Longest assertion that is looked at, octets.
const ASSERTION_MAX_BYTES: usize = 4096;
/// Secret of the mesh, octets.
const KEY_BYTES: usize = 32;

/// What a caller may do, by the access table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// A part of the house: only what gateways and workers need.
    Service,
    /// A person or tool that may everything but read a gateway's secrets.
    Operator,
    /// A person who helps customers: looks at everything but mail, releases locks, clears boxes.
    Support,
    /// The owner of domains: what is its own.
    Customer,
    /// The user of one mailbox: what belongs to it.
    Mailbox,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Service, Self::Operator, Self::Support, Self::Customer, Self::Mailbox];

    /// As assertions and the audit name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Operator => "operator",
            Self::Support => "support",
            Self::Customer => "customer",
            Self::Mailbox => "mailbox",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// Who calls; handlers find it in `request.extensions()`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Name of the service, person or token.
    pub subject: String,
    /// What they may do.
    pub role: Role,
    /// Login of the customer, for [`Role::Customer`] and [`Role::Mailbox`]; else empty.
    pub customer: String,
    /// For [`Role::Mailbox`]; else 0.
    pub mailbox_id: i64,
    /// Address of the client that they came from, when it is known.
    pub peer: Option<IpAddr>,
    /// What a token is bound to.
    pub scopes: Scopes,
}

impl Caller {
    /// A part of the house, or a member of its staff.
    #[must_use]
    pub fn new(subject: impl Into<String>, role: Role) -> Self {
        let subject = subject.into();
        Self { subject, role, customer: String::new(), mailbox_id: 0, peer: None, scopes: Scopes::unbound() }
    }

    /// Somebody who acts for a customer.
    #[must_use]
    pub fn customer(subject: impl Into<String>, customer: impl Into<String>) -> Self {
        Self { customer: customer.into(), ..Self::new(subject, Role::Customer) }
    }

    /// The user of one mailbox of a customer.
    #[must_use]
    pub fn mailbox(subject: impl Into<String>, customer: impl Into<String>, mailbox_id: i64) -> Self {
        Self { customer: customer.into(), mailbox_id, ..Self::new(subject, Role::Mailbox) }
    }

    /// True for parts of the house and staff, who are bound to no customer.
    #[must_use]
    pub fn is_staff(&self) -> bool {
        matches!(self.role, Role::Service | Role::Operator | Role::Support)
    }

    /// True when what belongs to this customer as a whole is this caller's business.
    #[must_use]
    pub fn may_act_for(&self, customer: &str) -> bool {
        self.is_staff() || (self.role == Role::Customer && self.customer == customer)
    }

    /// True when what belongs to this mailbox of this customer is this caller's business.
    #[must_use]
    pub fn may_act_for_mailbox(&self, customer: &str, mailbox_id: i64) -> bool {
        self.may_act_for(customer)
            || (self.role == Role::Mailbox
                && self.mailbox_id == mailbox_id
                && self.customer == customer
                && mailbox_id != 0)
    }
}

/// What a token is bound to: `<area>:read` and `<area>:write`, or `*` for all areas. `write` holds `read`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scopes(Option<Vec<String>>);

/// A word that is no scope.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is no scope: <area>:read or <area>:write, or *:read or *:write")]
pub struct ScopeError(String);

impl Scopes {
    /// Everything that the role may.
    #[must_use]
    pub fn unbound() -> Self {
        Self(None)
    }

    /// These scopes only; each once, in order.
    ///
    /// # Errors
    /// The first word that is no scope.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Self, ScopeError> {
        let mut scopes = Vec::with_capacity(words.len());
        for word in words {
            let word = word.as_ref();
            let known = word.split_once(':').is_some_and(|(area, right)| {
                matches!(right, "read" | "write")
                    && (area == "*" || Area::SCOPED.iter().any(|known| known.name() == area))
            });
            if !known {
                return Err(ScopeError(word.chars().filter(|c| !c.is_control()).take(64).collect()));
            }
            scopes.push(word.to_owned());
        }
        scopes.sort();
        scopes.dedup();
        Ok(Self(Some(scopes)))
    }

    /// True when a call of this area is within them.
    #[must_use]
    pub fn hold(&self, area: Area, changes: bool) -> bool {
        let Some(scopes) = &self.0 else { return true };
        area != Area::Mesh
            && scopes
                .iter()
                .filter_map(|scope| scope.split_once(':'))
                .any(|(of, right)| (of == "*" || of == area.name()) && (right == "write" || !changes))
    }

    /// True when whatever the others hold is within these.
    #[must_use]
    pub fn hold_all(&self, others: &Self) -> bool {
        Area::SCOPED.iter().all(|area| {
            [false, true].iter().all(|changes| !others.hold(*area, *changes) || self.hold(*area, *changes))
        })
    }

    fn to_line(&self) -> String {
        self.0.as_ref().map_or_else(|| "unbound".to_owned(), |scopes| scopes.join(","))
    }

    fn from_line(line: &str) -> Option<Self> {
        match line {
            "unbound" => Some(Self::unbound()),
            "" => Some(Self(Some(Vec::new()))),
            words => Self::parse(&words.split(',').collect::<Vec<_>>()).ok(),
        }
    }
}

/// Why an assertion is not believed.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AssertionError {
    /// Not of the form.
    #[error("malformed assertion")]
    Malformed,
    /// Signed with another key, or changed.
    #[error("the signature of the assertion does not fit")]
    WrongSignature,
    /// Its 60 seconds are over, or the clocks differ.
    #[error("the assertion has expired, or the clocks differ")]
    Expired,
}

/// A believed assertion and when it ends.
#[derive(Clone, Debug)]
pub(crate) struct Verified {
    pub(crate) caller: Caller,
    /// Seconds of the Unix epoch.
    pub(crate) expires: u64,
}

/// The text given is not 64 hexadecimal digits.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("must be 64 hexadecimal digits")]
pub struct MeshKeyError;

/// The secret that the parts of one house share. Never shown.
#[derive(Clone)]
pub struct MeshKey(Arc<hmac::Key>);

impl MeshKey {
    /// Reads 64 hexadecimal digits; white space around them is ignored.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn from_hex(text: &str) -> Result<Self, MeshKeyError> {
        let digits = text.trim().as_bytes();
        if digits.len() != 2 * KEY_BYTES {
            return Err(MeshKeyError);
        }
        let mut secret = [0_u8; KEY_BYTES];
        for (octet, pair) in secret.iter_mut().zip(digits.chunks_exact(2)) {
            *octet = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
        }
        Ok(Self::from_secret(&secret))
    }

    /// A key that nobody else knows, for one process that is the whole house, and for tests.
    #[must_use]
    pub fn random() -> Self {
        Self::from_secret(&rand::random::<[u8; KEY_BYTES]>())
    }

    fn from_secret(secret: &[u8; KEY_BYTES]) -> Self {
        Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// Says for the next 60 seconds: the bearer is this caller. Control characters in names become spaces, and they are cut
    /// at 128 characters.
    #[must_use]
    pub fn assertion(&self, caller: &Caller) -> String {
        self.assertion_until(caller, unix_seconds() + ASSERTION_SECONDS)
    }

    fn assertion_until(&self, caller: &Caller, expires: u64) -> String {
        let line = |text: &str| -> String {
            text.chars().take(128).map(|c| if c.is_control() { ' ' } else { c }).collect()
        };
        let payload = [
            expires.to_string(),
            caller.role.as_str().to_owned(),
            line(&caller.subject),
            line(&caller.customer),
            caller.mailbox_id.to_string(),
            caller.peer.map(|peer| peer.to_string()).unwrap_or_default(),
            caller.scopes.to_line(),
        ]
        .join("\n");
        let tag = hmac::sign(&self.0, payload.as_bytes());
        format!("v2.{}.{}", URL_SAFE_NO_PAD.encode(payload), URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }

    /// Believes an assertion or says why not.
    ///
    /// # Errors
    /// Malformed, wrong signature, or expired.
    pub fn verify(&self, text: &str) -> Result<Caller, AssertionError> {
        self.verify_at(text, unix_seconds()).map(|verified| verified.caller)
    }

    pub(crate) fn verify_at(&self, text: &str, now: u64) -> Result<Verified, AssertionError> {
        use AssertionError::{Expired, Malformed, WrongSignature};
        if text.len() > ASSERTION_MAX_BYTES {
            return Err(Malformed);
        }
        let (payload, tag) = text.strip_prefix("v2.").and_then(|t| t.split_once('.')).ok_or(Malformed)?;
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| Malformed)?;
        let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| Malformed)?;
        // ring compares in constant time.
        hmac::verify(&self.0, &payload, &tag).map_err(|_| WrongSignature)?;
        let payload = String::from_utf8(payload).map_err(|_| Malformed)?;
        let lines: Vec<&str> = payload.split('\n').collect();
        let [expires, role, subject, customer, mailbox_id, peer, scopes] = lines[..] else {
            return Err(Malformed);
        };
        let expires: u64 = expires.parse().map_err(|_| Malformed)?;
        if expires <= now || expires > now + ASSERTION_SECONDS + CLOCK_SKEW_SECONDS {
            return Err(Expired);
        }
        let peer = match peer {
            "" => None,
            peer => Some(peer.parse().map_err(|_| Malformed)?),
        };
        let caller = Caller {
            subject: subject.to_owned(),
            role: Role::parse(role).ok_or(Malformed)?,
            customer: customer.to_owned(),
            mailbox_id: mailbox_id.parse().map_err(|_| Malformed)?,
            peer,
            scopes: Scopes::from_line(scopes).ok_or(Malformed)?,
        };
        Ok(Verified { caller, expires })
    }
}

fn hex_digit(digit: u8) -> Result<u8, MeshKeyError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(MeshKeyError),
    }
}

impl fmt::Debug for MeshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MeshKey(..)")
    }
}

const KEY_ARG: &str = "mesh_key";
const KEY_FILE_ARG: &str = "mesh_key_file";

/// `POSTERN_MESH_KEY` or `POSTERN_MESH_KEY_FILE`; may be flattened by more than one settings struct of a process.
impl clap::Args for MeshKey {
    fn augment_args(command: Command) -> Command {
        if command.get_arguments().any(|arg| arg.get_id() == KEY_ARG) {
            return command;
        }
        command
            .arg(
                Arg::new(KEY_ARG)
                    .long("mesh-key")
                    .env("POSTERN_MESH_KEY")
                    .hide_env_values(true)
                    .value_name("HEX")
                    .help("Secret that all parts of one house share: 64 hexadecimal digits"),
            )
            .arg(
                Arg::new(KEY_FILE_ARG)
                    .long("mesh-key-file")
                    .env("POSTERN_MESH_KEY_FILE")
                    .value_name("FILE")
                    .value_parser(clap::value_parser!(PathBuf))
                    .help("File that holds the secret of POSTERN_MESH_KEY"),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for MeshKey {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let wrong = |kind, text: String| clap::Error::raw(kind, text + "\n");
        if let Some(text) = matches.get_one::<String>(KEY_ARG) {
            return Self::from_hex(text)
                .map_err(|e| wrong(ErrorKind::ValueValidation, format!("POSTERN_MESH_KEY {e}")));
        }
        let Some(path) = matches.get_one::<PathBuf>(KEY_FILE_ARG) else {
            let text = "POSTERN_MESH_KEY or POSTERN_MESH_KEY_FILE is needed: 64 hexadecimal digits, the same for \
                        all parts of one house (openssl rand -hex 32)";
            return Err(wrong(ErrorKind::MissingRequiredArgument, text.to_owned()));
        };
        let text = std::fs::read_to_string(path)
            .map_err(|e| wrong(ErrorKind::Io, format!("POSTERN_MESH_KEY_FILE {}: {e}", path.display())))?;
        Self::from_hex(&text).map_err(|e| {
            wrong(ErrorKind::ValueValidation, format!("POSTERN_MESH_KEY_FILE {}: {e}", path.display()))
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn service(name: &str) -> Caller {
        Caller::new(name, Role::Service)
    }

    #[test]
    fn what_was_signed_is_believed_for_its_time_only() {
        let key = MeshKey::random();
        let text = key.assertion_until(&service("smtp-gateway"), NOW + 60);
        let verified = key.verify_at(&text, NOW).expect("believed");
        assert_eq!(verified.caller, service("smtp-gateway"));
        assert!(key.verify_at(&text, NOW + 59).is_ok());
        assert_eq!(key.verify_at(&text, NOW + 60).unwrap_err(), AssertionError::Expired);
        // A clock that is far behind: the life that is left would be longer than any that we give.
        assert_eq!(key.verify_at(&text, NOW - 31).unwrap_err(), AssertionError::Expired);
        assert!(key.verify_at(&text, NOW - 30).is_ok());
    }

    #[test]
    fn every_part_of_a_caller_arrives() {
        let key = MeshKey::random();
        let scopes = Scopes::parse(&["mailboxes:write", "*:read"]).expect("scopes");
        for caller in [
            Caller::new("alice", Role::Operator),
            Caller { peer: Some("203.0.113.9".parse().expect("ip")), ..Caller::new("bob", Role::Support) },
            Caller { scopes, ..Caller::customer("token 7", "homepage") },
            Caller { scopes: Scopes::parse::<&str>(&[]).expect("none"), ..Caller::customer("x", "homepage") },
            Caller {
                peer: Some("2001:db8::1".parse().expect("ip")),
                ..Caller::mailbox("a@b.test", "homepage", 42)
            },
        ] {
            assert_eq!(key.verify(&key.assertion(&caller)).expect("believed"), caller);
        }
    }

    #[test]
    fn any_change_is_noticed() {
        let key = MeshKey::random();
        let text = key.assertion_until(&service("panel"), NOW + 60);
        let dot = text.rfind('.').expect("tag");
        let raised = URL_SAFE_NO_PAD.encode(format!("{}\noperator\npanel\n\n0\n\nunbound", NOW + 60));
        let forged = format!("v2.{raised}{}", &text[dot..]);
        assert_eq!(key.verify_at(&forged, NOW).unwrap_err(), AssertionError::WrongSignature);
        assert_eq!(MeshKey::random().verify_at(&text, NOW).unwrap_err(), AssertionError::WrongSignature);
        for at in 3..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert!(key.verify_at(&changed, NOW).is_err(), "octet {at}");
        }
    }

    #[test]
    fn junk_is_refused_without_a_panic() {
        let key = MeshKey::random();
        let signed = |payload: &str| {
            let tag = hmac::sign(&key.0, payload.as_bytes());
            format!("v2.{}.{}", URL_SAFE_NO_PAD.encode(payload), URL_SAFE_NO_PAD.encode(tag.as_ref()))
        };
        let soon = NOW + 1;
        for bad in [
            "",
            "v2.",
            "v2..",
            "v1.a.b",
            "v2.é.é",
            &"v2.".repeat(5000),
            &signed(""),
            &signed("x\nservice\ny\n\n0\n\nunbound"),
            &signed(&format!("{soon}\nservice\ny")),
            &signed(&format!("{soon}\nroot\ny\n\n0\n\nunbound")),
            &signed(&format!("{soon}\nservice\ny\n\nx\n\nunbound")),
            &signed(&format!("{soon}\nservice\ny\n\n0\nhost\nunbound")),
            &signed(&format!("{soon}\nservice\ny\n\n0\n\nall")),
            &signed("99999999999999999999\nservice\ny\n\n0\n\nunbound"),
        ] {
            assert!(key.verify_at(bad, NOW).is_err(), "{bad}");
        }
        assert!(key.verify_at(&signed(&format!("{soon}\nservice\ny\n\n0\n\nunbound")), NOW).is_ok());
    }

    #[test]
    fn a_name_cannot_smuggle_a_line_and_the_longest_one_is_believed() {
        let key = MeshKey::random();
        let caller = key.verify(&key.assertion(&service("a\noperator\nb"))).expect("believed");
        assert_eq!(caller, service("a operator b"));
        let long = "\u{10348}".repeat(500);
        let all: Vec<String> = Area::SCOPED
            .iter()
            .flat_map(|a| [format!("{}:read", a.name()), format!("{}:write", a.name())])
            .collect();
        let scopes = Scopes::parse(&all).expect("scopes");
        let caller = Caller { scopes, ..Caller::customer(long.clone(), long) };
        assert!(key.verify(&key.assertion(&caller)).is_ok());
    }

    #[test]
    fn scopes_hold_what_they_say() {
        let scopes = Scopes::parse(&["mailboxes:write", "audit:read"]).expect("scopes");
        for (area, changes, held) in [
            (Area::Mailboxes, true, true),
            (Area::Mailboxes, false, true),
            (Area::Audit, false, true),
            (Area::Audit, true, false),
            (Area::Domains, false, false),
            (Area::Mesh, false, false),
        ] {
            assert_eq!(scopes.hold(area, changes), held, "{area:?} {changes}");
        }
        let all_read = Scopes::parse(&["*:read"]).expect("scopes");
        assert!(all_read.hold(Area::Queue, false) && !all_read.hold(Area::Queue, true));
        assert!(!all_read.hold_all(&scopes) && Scopes::unbound().hold_all(&scopes));
        assert!(scopes.hold_all(&Scopes::parse(&["mailboxes:read"]).expect("scopes")));
        assert!(!scopes.hold_all(&Scopes::unbound()));
        for bad in
            ["", "mailboxes", "mailboxes:", "mailboxes:all", "mesh:read", ":read", "Mailboxes:read", "*"]
        {
            assert!(Scopes::parse(&[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn who_may_act_for_whom() {
        let owner = Caller::customer("homepage", "homepage");
        let user = Caller::mailbox("a@homepage.test", "homepage", 7);
        for staff in [Role::Service, Role::Operator, Role::Support] {
            assert!(Caller::new("x", staff).may_act_for("homepage"));
        }
        assert!(owner.may_act_for("homepage") && !owner.may_act_for("other") && !owner.may_act_for(""));
        assert!(!user.may_act_for("homepage") && user.may_act_for_mailbox("homepage", 7));
        assert!(!user.may_act_for_mailbox("homepage", 8) && !user.may_act_for_mailbox("other", 7));
        assert!(owner.may_act_for_mailbox("homepage", 8) && !owner.may_act_for_mailbox("other", 8));
    }

    #[test]
    fn keys_are_64_hexadecimal_digits_and_never_shown() {
        let hex = "0123456789abcdefABCDEF0123456789abcdefABCDEF0123456789abcdef0123";
        let key = MeshKey::from_hex(&format!(" {hex}\n")).expect("a key");
        assert!(!format!("{key:?}").contains("0123"));
        let same = MeshKey::from_hex(&hex.to_lowercase()).expect("a key");
        assert!(same.verify(&key.assertion(&service("x"))).is_ok());
        for bad in ["", "00", &hex[1..], &hex.replace('0', "g"), &"é".repeat(32)] {
            assert!(MeshKey::from_hex(bad).is_err(), "{bad}");
        }
    }
}
