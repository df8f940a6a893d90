//! What DNS says of the domain, as the world sees it, and what it should say.

use axum::response::Response;
use maud::{Markup, html};
use postern_proto::account::v1::{DnsFinding, DnsPurpose, DnsVerdict, VerifyDomainRequest};

use super::{MENU, Typed, now, show};
use crate::{call::Failure, form::Problems, layout, place::Place, wording};

/// Asks now and shows what was found; the domain may come into service by it.
pub(super) async fn verify(place: Place) -> Result<Response, Failure> {
    let request = VerifyDomainRequest { name: place.name().to_owned() };
    let answer = place.calls().domains().verify_domain(request).await.map_err(Failure::from);
    match answer {
        Ok(answer) => {
            let answer = answer.into_inner();
            let domain = answer.domain.unwrap_or_else(|| place.domain.clone());
            Ok(show(&place, &domain, &answer.findings, Typed::Nothing, &Problems::none()))
        }
        Err(failure) => {
            let problems = Problems::from_failure(&place.visit, failure, &[])?;
            let (domain, findings) = now(&place).await?;
            Ok(layout::refused(show(&place, &domain, &findings, Typed::Nothing, &problems)))
        }
    }
}

/// All records, each with what it should be.
pub(super) fn cards(place: &Place, findings: &[DnsFinding]) -> Markup {
    html! {
        @if !findings.is_empty() {
            section aria-labelledby="dns" {
                h2 #dns { (place.say("dns-title")) }
                div.cards.wide { @for finding in findings { (card(place, finding)) } }
            }
        }
    }
}

/// All records in a line each, for a first page.
pub(in crate::menus) fn glance(place: &Place, findings: &[DnsFinding]) -> Markup {
    html! {
        @if !findings.is_empty() {
            section.card {
                h2 { (place.say("dns-title")) }
                ul.plain {
                    @for finding in findings {
                        li.row {
                            span { (place.say(purpose(finding.purpose()))) " " small { (finding.record_type) } }
                            (badge(place, finding))
                        }
                    }
                }
                div.actions { a.button href=(place.path(&MENU, &[])) { (place.say(MENU.title)) } }
            }
        }
    }
}

/// What the records are called that are not as they should be; of several of one kind once.
pub(in crate::menus) fn wrong(place: &Place, findings: &[DnsFinding]) -> Vec<String> {
    let wrong = findings.iter().filter(|finding| {
        matches!(finding.verdict(), DnsVerdict::Missing | DnsVerdict::Different) && !is_spare(finding)
    });
    let mut names: Vec<_> = wrong.map(|finding| place.say(purpose(finding.purpose()))).collect();
    names.dedup();
    names
}

/// Our name servers, where the MX leads here without them.
fn is_spare(finding: &DnsFinding) -> bool {
    finding.purpose() == DnsPurpose::Delegation && !finding.needed
}

fn badge(place: &Place, finding: &DnsFinding) -> Markup {
    let (class, verdict) = match finding.verdict() {
        DnsVerdict::Good => ("badge good", "dns-good"),
        DnsVerdict::Missing | DnsVerdict::Different if is_spare(finding) => ("badge", "dns-spare"),
        DnsVerdict::Missing if finding.needed => ("badge bad", "dns-missing"),
        DnsVerdict::Missing => ("badge warn", "dns-missing"),
        DnsVerdict::Different if finding.needed => ("badge bad", "dns-different"),
        DnsVerdict::Different => ("badge warn", "dns-different"),
        DnsVerdict::NoAnswer | DnsVerdict::Unspecified => ("badge warn", "dns-no-answer"),
    };
    html! { span class=(class) { (place.say(verdict)) } }
}

fn card(place: &Place, finding: &DnsFinding) -> Markup {
    html! {
        section.card {
            h3 { (place.say(purpose(finding.purpose()))) " " (badge(place, finding)) }
            p.soft {
                // Whoever sets it types it elsewhere.
                @if finding.verdict() == DnsVerdict::Good { code { (finding.name) } }
                @else { (layout::copyable(&place.visit, &finding.name)) }
                " " code { (finding.record_type) }
            }
            dl.facts {
                dt { (place.say("dns-found")) }
                dd {
                    @if finding.found.is_empty() { (place.say("dns-nothing")) }
                    span.stack { @for found in &finding.found { code { (found) } } }
                }
                @if finding.verdict() != DnsVerdict::Good {
                    dt { (place.say("dns-expected")) }
                    dd { span.stack { @for expected in &finding.expected { (layout::copyable(&place.visit, expected)) } } }
                }
            }
            @if !finding.advice.is_empty() { p { (wording::spoken(place.visit.texts(), &finding.advice)) } }
            @if let Some(seconds) = finding.ttl_seconds.filter(|_| finding.verdict() != DnsVerdict::Good) {
                p.hint { (place.visit.reader.count("dns-ttl", i64::from(seconds.div_ceil(60)))) }
            }
        }
    }
}

fn purpose(purpose: DnsPurpose) -> &'static str {
    match purpose {
        DnsPurpose::Delegation => "dns-delegation",
        DnsPurpose::Mx => "dns-mx",
        DnsPurpose::MailHost => "dns-mail-host",
        DnsPurpose::Spf => "dns-spf",
        DnsPurpose::Dkim => "dns-dkim",
        DnsPurpose::Dmarc => "dns-dmarc",
        DnsPurpose::Claim => "dns-claim",
        DnsPurpose::Unspecified => "dns-other",
    }
}
