//! What a mail program must be told: servers, ports and login, as cards, and what lets it send.

use maud::{Markup, html};

use crate::{Panel, layout::copyable, place::Place, programs::Account, visit::Visit};

/// One server as a mail program wants it.
pub(crate) struct Server {
    /// Key of its name.
    title: &'static str,
    tls_port: u16,
    plain_port: u16,
}

/// Incoming and outgoing.
pub(crate) fn servers(visit: &Visit) -> [Server; 2] {
    let ports = visit.panel.settings.ports();
    [
        Server { title: "program-incoming", tls_port: ports.pop3s, plain_port: ports.pop3 },
        Server { title: "program-outgoing", tls_port: ports.smtps, plain_port: ports.submission },
    ]
}

/// The cards of a domain. `login`: of one mailbox; `None`: of any.
pub(crate) fn cards(visit: &Visit, domain: &str, login: Option<&str>) -> Markup {
    let host = format!("mail.{domain}");
    html! {
        div.cards.wide {
            @for server in servers(visit) {
                section.card {
                    h2 { (visit.say(server.title)) }
                    dl.facts {
                        dt { (visit.say("program-server")) } dd { (copyable(visit, &host)) }
                        @if visit.panel.tls {
                            dt { (visit.say("program-port")) }
                            dd { (copyable(visit, &server.tls_port.to_string())) " SSL/TLS " span.badge.good { (visit.say("program-best")) } }
                            dt { (visit.say("program-or-port")) } dd { (copyable(visit, &server.plain_port.to_string())) " STARTTLS" }
                        } @else {
                            dt { (visit.say("program-port")) }
                            dd { (copyable(visit, &server.plain_port.to_string())) " " (visit.say("program-no-encryption")) }
                        }
                        dt { (visit.say("program-user")) }
                        dd {
                            @match login {
                                Some(login) => (copyable(visit, login)),
                                None => { (visit.say("program-whole-address")) " " code { "you@" (domain) } },
                            }
                        }
                        dt { (visit.say("program-password")) } dd { (visit.say("program-password-of-box")) }
                    }
                }
            }
        }
    }
}

/// What lets mail programs of a domain send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    /// Checking mail, for so many seconds; logging in for sending serves, too.
    AfterCheck(i64),
    /// Logging in for sending, and nothing else.
    WithLogin,
}

impl Sending {
    /// By what a domain sets; `None` for a time of its own: that of the platform.
    pub(crate) fn of(panel: &Panel, auth_only: bool, grant_ttl_seconds: Option<i32>) -> Self {
        let seconds = grant_ttl_seconds.map_or_else(|| i64::from(panel.settings.grant_seconds), i64::from);
        if auth_only { Self::WithLogin } else { Self::AfterCheck(seconds) }
    }

    /// Of the domain where the reader is.
    pub(crate) fn at(place: &Place) -> Self {
        let domain = &place.domain;
        Self::of(&place.visit.panel, domain.auth_only, domain.grant_ttl_seconds)
    }

    /// Of the domain whose host was typed; where nobody says, as the platform has it.
    pub(crate) async fn at_host(visit: &Visit) -> Self {
        match Account::find(&visit.panel, &visit.host, "").await {
            Ok(account) => account.sending,
            Err(_) => Self::of(&visit.panel, false, None),
        }
    }

    /// What a guide says of it: `key` with `time`, and with `name` that of a host, or that one must log in at that host.
    pub(crate) fn told(self, visit: &Visit, key: &str, host: &str) -> String {
        match self {
            Self::AfterCheck(seconds) => {
                let values = [("name", host.into()), ("time", span(visit, seconds).into())];
                visit.texts().fill(key, &values)
            }
            Self::WithLogin => visit.name("program-login-text", host),
        }
    }
}

/// The rule that surprises people, and what to do.
pub(crate) fn rule(visit: &Visit, domain: &str, sending: Sending) -> Markup {
    let title = match sending {
        Sending::AfterCheck(_) => "program-rule",
        Sending::WithLogin => "program-login",
    };
    html! {
        section.card.rule {
            h2 { (visit.say(title)) }
            p { (sending.told(visit, "program-rule-text", &format!("mail.{domain}"))) }
            @if sending != Sending::WithLogin { p { (visit.say("program-rule-auth")) } }
        }
    }
}

/// A span in words.
fn span(visit: &Visit, seconds: i64) -> String {
    if seconds % 60 == 0 {
        visit.reader.count("span-minutes", seconds / 60)
    } else {
        visit.reader.count("span-seconds", seconds)
    }
}

/// How long one may send after checking mail where a domain says nothing of it.
pub(crate) fn usual_time(visit: &Visit) -> String {
    span(visit, visit.panel.settings.grant_seconds.into())
}
