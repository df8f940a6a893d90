//! What the audit tells of: every kind of thing, and everything that is done to one. Who writes into the audit chooses from these,
//! and whoever shows it has a word for each.

macro_rules! words {
    ($(#[$of_all:meta])* $name:ident { $( $(#[$of_one:meta])* $variant:ident = $word:literal, )+ }) => {
        $(#[$of_all])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $( $(#[$of_one])* $variant, )+
        }

        impl $name {
            /// All of them, in the order in which people choose from them.
            pub const ALL: &[Self] = &[$( Self::$variant, )+];

            /// As the audit has it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $( Self::$variant => $word, )+
                }
            }

            /// The one that the audit names so; `None`: a newer version wrote it.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == word)
            }
        }
    };
}

words! {
    /// A kind of thing: `AuditEntry.kind`.
    Thing {
        /// A customer.
        Customer = "customer",
        /// What a customer may have.
        Limits = "limits",
        /// A domain, or the claim to one.
        Domain = "domain",
        /// A mailbox as an account.
        Mailbox = "mailbox",
        /// What is in a mailbox.
        Box = "box",
        /// A forward.
        Forward = "forward",
        /// A mailing list.
        List = "list",
        /// Members of a mailing list, whose address is the name.
        ListMember = "list-member",
        /// An autoresponder.
        Autoresponder = "autoresponder",
        /// Where mail to unknown addresses of a domain goes.
        DefaultAddress = "default-address",
        /// An app password of a mailbox, whose login is the name.
        AppPassword = "app-password",
        /// The second factor of a login.
        SecondFactor = "second-factor",
        /// Sessions of somebody in the panel.
        PanelSession = "panel-session",
        /// An API token.
        ApiToken = "api-token",
        /// That somebody has a box open.
        Lock = "lock",
        /// That a computer may send.
        Grant = "grant",
        /// How much somebody may send in an hour.
        SendingLimit = "sending-limit",
        /// Mail that waits to leave.
        QueueEntry = "queue-entry",
    }
}

words! {
    /// What is done to a thing: `AuditEntry.action`.
    Action {
        /// It came to be.
        Create = "create",
        /// Its settings are others.
        Update = "update",
        /// It went.
        Delete = "delete",
        /// It came back.
        Restore = "restore",
        /// A new password.
        SetPassword = "set-password",
        /// DNS was asked, and says something else than before.
        Verify = "verify",
        /// A box was taken from who had it open.
        Release = "release",
        /// Mail was taken out of a box.
        Clear = "clear",
        /// Mail came into a box from a file.
        Import = "import",
        /// Mail of a removed box came into another one.
        Merge = "merge",
        /// What was allowed is not any more.
        Revoke = "revoke",
        /// Sessions ended.
        End = "end",
        /// A recovery code stood in for the second factor.
        RecoveryCode = "recovery-code",
        /// Too many wrong codes.
        Refused = "refused",
        /// A member left by itself.
        Unsubscribe = "unsubscribe",
        /// A member gets no posts, because its copies came back.
        Suspend = "suspend",
        /// All that may be sent was sent.
        Reached = "reached",
        /// Waiting mail is due at once.
        Retry = "retry",
        /// Waiting mail is not tried.
        Hold = "hold",
        /// Waiting mail went back to its sender.
        Remove = "remove",
        /// Waiting mail went without a word.
        RemoveSilently = "remove-silently",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_word_stands_for_one_thing() {
        let things: HashSet<_> = Thing::ALL.iter().map(|thing| thing.as_str()).collect();
        let actions: HashSet<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
        assert_eq!((things.len(), actions.len()), (Thing::ALL.len(), Action::ALL.len()));
        assert!(Thing::ALL.iter().all(|thing| Thing::parse(thing.as_str()) == Some(*thing)));
        assert!(Action::ALL.iter().all(|action| Action::parse(action.as_str()) == Some(*action)));
        assert_eq!((Thing::parse(""), Action::parse("Create")), (None, None));
    }
}
