//! What a mail program must be told: servers, ports and login, as cards.

use maud::{Markup, html};

use crate::{layout::copyable, visit::Visit};

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

/// The rule that surprises people, and what to do.
pub(crate) fn rule(visit: &Visit) -> Markup {
    html! {
        section.card.rule {
            h2 { (visit.say("program-rule")) }
            p { (visit.texts().fill("program-rule-text", &[("time", grant_time(visit).into())])) }
            p { (visit.say("program-rule-auth")) }
        }
    }
}

/// How long one may send after checking mail.
pub(crate) fn grant_time(visit: &Visit) -> String {
    let seconds = i64::from(visit.panel.settings.grant_seconds);
    if seconds % 60 == 0 {
        visit.reader.count("span-minutes", seconds / 60)
    } else {
        visit.reader.count("span-seconds", seconds)
    }
}
