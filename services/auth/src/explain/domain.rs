//! Whether a domain works and what is missing: what account knows of it, and what DNS says now. Asked in the name of the person
//! who wants to know, so that account decides what they may see.

use std::time::Duration;

use postern_mail::{DomainName, Reason, Verdict as Kind};
use postern_mesh::failure;
use postern_proto::{
    account::v1::{
        DnsFinding, DnsPurpose, DnsVerdict, Domain, DomainState, GetDomainRequest, VerifyDomainRequest,
        domain_service_client::DomainServiceClient,
    },
    auth::v1::{ExplainDomainResponse, Verdict},
};
use postern_smtp::reply::Reply;
use tonic::{Request, Status};

use super::{Explainer, sight::Sight, way::Way};

/// DNS may take its time.
const DNS_TIMEOUT: Duration = Duration::from_secs(20);

impl Explainer {
    /// Explains a domain.
    ///
    /// # Errors
    /// INVALID_ARGUMENT as account gives it.
    pub(crate) async fn domain(
        &self,
        sight: &Sight,
        name: &DomainName,
    ) -> Result<ExplainDomainResponse, Status> {
        let mut way = Way::default();
        let channel = self.account.with_caller(sight.caller().clone());
        let mut client = DomainServiceClient::new(channel);
        let known = client.get_domain(GetDomainRequest { name: name.to_string() }).await;
        let domain = match known {
            Ok(answer) => answer.into_inner().domain.unwrap_or_default(),
            Err(status) => {
                self.unknown_domain(&mut way, name, &status)?;
                let explanation = Some(way.finish("", ""));
                return Ok(ExplainDomainResponse { explanation, findings: Vec::new() });
            }
        };
        way.passed("domain-known", format!("{name} belongs to customer {}", domain.customer));
        let mut request = Request::new(VerifyDomainRequest { name: name.to_string() });
        request.set_timeout(DNS_TIMEOUT);
        let (domain, findings) = match client.verify_domain(request).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                (answer.domain.unwrap_or(domain), answer.findings)
            }
            Err(status) => {
                way.passed("dns-asked", format!("DNS was not asked: {}", failure::detail_of(&status)));
                (domain, Vec::new())
            }
        };
        state(&mut way, &domain, &findings);
        let advice = records(&mut way, &findings);
        let explanation = way.finish(format!("{name} is in service"), advice);
        Ok(ExplainDomainResponse { explanation: Some(explanation), findings })
    }

    fn unknown_domain(&self, way: &mut Way, name: &DomainName, status: &Status) -> Result<(), Status> {
        match failure::typed_reason(status) {
            Some(Reason::NotFound) => {
                way.stopped(
                    "domain-known",
                    format!("{name} is not hosted here"),
                    Verdict::Refused,
                    "this domain is not hosted here",
                    format!("Check how {name} is spelled, or add it: `postern domain add {name}`."),
                );
                let hint = Reason::check_mail_first(&self.mail_host);
                way.smtp("RCPT", &Reply::failure(Reason::RelayProhibited, Some(&hint)));
                Ok(())
            }
            Some(reason) if reason.verdict() == Kind::Permanent => Err(status.clone()),
            _ => {
                way.away("domain-known", "account");
                way.smtp("RCPT", &Reason::Unavailable.into());
                Ok(())
            }
        }
    }
}

/// A domain's state in a word.
pub(super) fn state_word(state: DomainState) -> &'static str {
    match state {
        DomainState::Pending => "pending: not delegated to this platform yet",
        DomainState::Live => "in service",
        DomainState::Lost => "lost: the world's DNS no longer points here",
        DomainState::Claimed => "claimed: another customer holds it",
        DomainState::Unspecified => "in a state that this version does not know",
    }
}

fn state(way: &mut Way, domain: &Domain, findings: &[DnsFinding]) {
    let name = &domain.name;
    let found = format!("{name} is {}", state_word(domain.state()));
    if domain.state() == DomainState::Live {
        way.passed("domain-live", found);
        return;
    }
    let needed = |finding: &&DnsFinding| finding.needed && finding.verdict() != DnsVerdict::Good;
    let advice: Vec<_> =
        findings.iter().filter(needed).map(|f| f.advice.as_str()).filter(|a| !a.is_empty()).collect();
    let next = match (domain.state(), advice.as_slice()) {
        (_, [_, ..]) => advice.join(" "),
        (DomainState::Claimed, []) => domain.claim.as_ref().map_or_else(String::new, |claim| {
            format!("Set the TXT record {} to {}.", claim.txt_name, claim.txt_value)
        }),
        (_, []) => format!(
            "At the registrar of {name}, name this platform's name servers, or set the MX record to its mail host; then \
             `postern domain verify {name}`."
        ),
    };
    way.stopped("domain-live", found, Verdict::Refused, format!("{name} is not in service"), next);
    if domain.state() != DomainState::Claimed {
        way.smtp("RCPT", &Reason::DomainNotLive.into());
    }
    way.pop3("PASS", Reason::BadCredentials, None);
}

/// A rule for each record. Those that mail programs or the world need end the way; of the others the advice is handed back.
fn records(way: &mut Way, findings: &[DnsFinding]) -> String {
    let mut advice = Vec::new();
    // Of delegation and MX one is enough.
    let led_here = findings.iter().any(|f| is_way_here(f) && f.verdict() == DnsVerdict::Good);
    for finding in findings {
        let rule = rule_name(finding.purpose());
        let said = if finding.found.is_empty() { "nothing".to_owned() } else { finding.found.join(", ") };
        let found = format!("{} {}: {said}", finding.name, finding.record_type);
        let spared = is_way_here(finding) && led_here;
        match finding.verdict() {
            DnsVerdict::Missing | DnsVerdict::Different
                if !spared && (finding.needed || finding.purpose() == DnsPurpose::MailHost) =>
            {
                let summary = if finding.purpose() == DnsPurpose::MailHost {
                    "problems resolving the mail host: DNS does not say where mail programs find it"
                } else {
                    "the world's DNS does not lead mail for this domain here"
                };
                way.stopped(rule, found, Verdict::Refused, summary, finding.advice.clone());
            }
            DnsVerdict::Missing | DnsVerdict::Different => {
                way.passed(rule, found);
                if !spared && !finding.advice.is_empty() {
                    advice.push(finding.advice.clone());
                }
            }
            DnsVerdict::NoAnswer => way.passed(rule, format!("{found} (DNS did not answer)")),
            DnsVerdict::Good | DnsVerdict::Unspecified => way.passed(rule, found),
        }
    }
    advice.join(" ")
}

fn is_way_here(finding: &DnsFinding) -> bool {
    matches!(finding.purpose(), DnsPurpose::Delegation | DnsPurpose::Mx)
}

fn rule_name(purpose: DnsPurpose) -> &'static str {
    match purpose {
        DnsPurpose::Delegation => "dns-delegation",
        DnsPurpose::Mx => "dns-mx",
        DnsPurpose::MailHost => "dns-mail-host",
        DnsPurpose::Spf => "dns-spf",
        DnsPurpose::Dkim => "dns-dkim",
        DnsPurpose::Dmarc => "dns-dmarc",
        DnsPurpose::Claim => "dns-claim",
        DnsPurpose::Unspecified => "dns",
    }
}
