//! What people see. Everything that is put in is escaped by maud; there is no script.

use maud::{DOCTYPE, Markup, html};
use postern_mail::DomainName;

use crate::settings::PublicPorts;

/// Where the style lies.
pub(crate) const STYLE_PATH: &str = "/controlpanel/style.css";
/// The style: one column on a telephone, light or dark as the reader likes.
pub(crate) const STYLE: &str = include_str!("style.css");

/// What the settings page says.
pub(crate) struct MailProgram<'a> {
    pub(crate) domain: &'a DomainName,
    pub(crate) ports: PublicPorts,
    pub(crate) grant_seconds: u32,
    /// TLS can be had at the mail doors.
    pub(crate) tls: bool,
}

fn document(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="stylesheet" href=(STYLE_PATH);
            }
            body {
                header { p.brand { "Postern" } }
                main { (body) }
                footer { p { "Postern, the mail platform" } }
            }
        }
    }
}

/// How to set up a mail program for a domain.
pub(crate) fn settings(program: &MailProgram<'_>) -> Markup {
    let MailProgram { domain, ports, grant_seconds, tls } = *program;
    let host = domain.mail_host();
    let title = format!("Mail for {domain}");
    let login_forms = html! {
        "your whole address, such as " code { "you@" (domain) }
    };
    document(
        &title,
        &html! {
            h1 { (title) }
            p.lead { "Enter this in your mail program (Thunderbird, Outlook, Apple Mail, a telephone)." }
            div.cards {
                (door("Incoming mail (POP3)", &host, ports.pop3s, ports.pop3, tls, &login_forms))
                (door("Outgoing mail (SMTP)", &host, ports.smtps, ports.submission, tls, &login_forms))
            }
            section.rule aria-labelledby="rule" {
                h2 #rule { "Check your mail before you send" }
                p {
                    "Nobody may send through this server without having shown who they are. The simplest way: fetch \
                     your mail first. Then your connection may send for " strong { (spoken(grant_seconds)) }
                    ", and each time you fetch mail the time begins anew."
                }
                p {
                    "If your program can log in for sending too (“SMTP authentication”, same name and password as \
                     for incoming mail), switch that on: then the order does not matter."
                }
                p {
                    "Does sending fail with “relaying prohibited”? Fetch your mail, then send again."
                }
            }
            section aria-labelledby="owner" {
                h2 #owner { "You are the owner of this domain?" }
                p {
                    "Your customer login (usually the first letters of the domain name) with your own password opens \
                     the default box, which gets the mail for names that do not exist."
                }
                p {
                    "Mailboxes, forwards and the default address are set by the operator with the "
                    code { "postern" } " command. The menus of this panel are not built yet."
                }
            }
        },
    )
}

fn door(name: &str, host: &str, tls_port: u16, plain_port: u16, tls: bool, login: &Markup) -> Markup {
    html! {
        section.card aria-label=(name) {
            h2 { (name) }
            dl {
                dt { "Server" } dd { code { (host) } }
                @if tls {
                    dt { "Port" } dd { code { (tls_port) } " with SSL/TLS " span.best { "recommended" } }
                    dt { "or port" } dd { code { (plain_port) } " with STARTTLS" }
                } @else {
                    dt { "Port" } dd { code { (plain_port) } " without encryption" }
                }
                dt { "User name" } dd { (login) }
                dt { "Password" } dd { "that of your mailbox (“normal password”)" }
            }
        }
    }
}

/// There is no such page.
pub(crate) fn not_found() -> Markup {
    document(
        "Not found",
        &html! {
            h1 { "There is no such page" }
            p { a href="/controlpanel" { "To the mail settings" } }
        },
    )
}

fn spoken(seconds: u32) -> String {
    match seconds {
        60 => "1 minute".to_owned(),
        whole if whole % 60 == 0 => format!("{} minutes", whole / 60),
        1 => "1 second".to_owned(),
        other => format!("{other} seconds"),
    }
}
