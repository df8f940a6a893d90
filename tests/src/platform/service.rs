//! The services of a house and the settings of their doors.

/// The services that run as processes, in the order they are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// account
    Account,
    /// auth
    Auth,
    /// delivery
    Delivery,
    /// pop3-gateway
    Pop3,
    /// smtp-gateway
    Smtp,
    /// control-panel
    Panel,
}

impl Service {
    /// All of them, in starting order.
    pub const ALL: [Self; 6] =
        [Self::Account, Self::Auth, Self::Delivery, Self::Pop3, Self::Smtp, Self::Panel];

    /// Name of its binary.
    pub fn binary(self) -> &'static str {
        match self {
            Self::Account => "postern-account",
            Self::Auth => "postern-auth",
            Self::Delivery => "postern-delivery",
            Self::Pop3 => "postern-pop3-gateway",
            Self::Smtp => "postern-smtp-gateway",
            Self::Panel => "postern-control-panel",
        }
    }

    /// Settings that name its doors.
    pub(super) fn doors(self) -> &'static [&'static str] {
        match self {
            Self::Account => &["POSTERN_ACCOUNT_LISTEN"],
            Self::Auth => &["POSTERN_AUTH_LISTEN"],
            Self::Delivery => &["POSTERN_DELIVERY_LISTEN"],
            Self::Pop3 => &["POSTERN_POP3_LISTEN", "POSTERN_POP3S_LISTEN"],
            Self::Smtp => &["POSTERN_SMTP_LISTEN", "POSTERN_SUBMISSION_LISTEN", "POSTERN_SMTPS_LISTEN"],
            Self::Panel => &["POSTERN_PANEL_LISTEN", "POSTERN_PANEL_TLS_LISTEN"],
        }
    }
}
