//! The addresses that belong to a mailing list beside its own: commands, the owner, and where bounces go. Pure.
//!
//! They are recognised before everything else at their domain, so nothing else may be created there.

use postern_mail::EmailAddress;
use postern_proto::account::v1::ListAddress;

/// Local part of a list, octets: what is put behind it must fit too (RFC 5321 section 4.5.3.1.1).
pub(crate) const LIST_LOCAL_MAX_BYTES: usize = 48;

/// What stands behind the name of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Subscribe,
    Unsubscribe,
    Request,
    Owner,
    Bounces,
}

impl Command {
    pub(crate) const ALL: [Self; 5] =
        [Self::Subscribe, Self::Unsubscribe, Self::Request, Self::Owner, Self::Bounces];

    /// As it ends the local part.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Subscribe => "-subscribe",
            Self::Unsubscribe => "-unsubscribe",
            Self::Request => "-request",
            Self::Owner => "-owner",
            Self::Bounces => "-bounces",
        }
    }

    /// As the resolution names it; `None`: the owner is a forward.
    pub(crate) fn role(self) -> Option<ListAddress> {
        match self {
            Self::Subscribe => Some(ListAddress::Subscribe),
            Self::Unsubscribe => Some(ListAddress::Unsubscribe),
            Self::Request => Some(ListAddress::Request),
            Self::Bounces => Some(ListAddress::Bounces),
            Self::Owner => None,
        }
    }
}

/// The list whose command address this canonical one would be, with or without a tag; `None`: of no list.
pub(crate) fn command_of(address: &EmailAddress) -> Option<(String, Command)> {
    let local = address.local();
    let user = local.split_once('+').map_or(local, |(user, _tag)| user);
    Command::ALL.into_iter().find_map(|command| {
        let list = user.strip_suffix(command.suffix()).filter(|list| !list.is_empty())?;
        // What cannot be a list has no commands.
        let list: EmailAddress = format!("{list}@{}", address.domain()).parse().ok()?;
        Some((list.to_string(), command))
    })
}

/// The command addresses of a list, without tags.
pub(crate) fn commands(list: &EmailAddress) -> Vec<String> {
    Command::ALL.iter().map(|command| command_address(list, *command)).collect()
}

/// One of them.
pub(crate) fn command_address(list: &EmailAddress, command: Command) -> String {
    format!("{}{}@{}", list.local(), command.suffix(), list.domain())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_addresses_name_their_list() {
        for (address, list) in [
            ("staff-subscribe@x.test", Some(("staff@x.test", Command::Subscribe))),
            ("staff-unsubscribe@x.test", Some(("staff@x.test", Command::Unsubscribe))),
            ("staff-request+abc-owner@x.test", Some(("staff@x.test", Command::Request))),
            ("staff-owner@x.test", Some(("staff@x.test", Command::Owner))),
            ("staff-bounces+a=b.test@x.test", Some(("staff@x.test", Command::Bounces))),
            ("staff-owner-request@x.test", Some(("staff-owner@x.test", Command::Request))),
            ("staff@x.test", None),
            ("-owner@x.test", None),
            ("owner@x.test", None),
            ("staff+tag-owner@x.test", None),
            ("staff-owners@x.test", None),
        ] {
            let found = command_of(&address.parse::<EmailAddress>().expect(address).canonical());
            assert_eq!(found, list.map(|(list, command)| (list.to_owned(), command)), "{address}");
        }
        let staff: EmailAddress = "staff@x.test".parse().expect("good");
        for address in commands(&staff) {
            let address: EmailAddress = address.parse().expect("an address");
            assert_eq!(command_of(&address).map(|(list, _)| list).as_deref(), Some("staff@x.test"));
        }
    }
}
