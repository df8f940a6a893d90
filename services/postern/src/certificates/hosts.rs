//! Which hosts are to have a certificate, and whether a name leads here: account knows.

use std::time::Duration;

use postern_proto::account::v1::{
    DnsFinding, DnsPurpose, DnsVerdict, DomainState, ListDomainsRequest, VerifyDomainRequest,
    domain_service_client::DomainServiceClient,
};
use tonic::{Code, Request};

use crate::cli::{Failure, Operator, PAGE_SIZE, Reach, all_pages};

/// DNS may take its time.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(10);
/// What mail programs are told to use.
const MAIL_HOST: &str = "mail.";

/// The mail hosts of all domains in service, second names too.
///
/// # Errors
/// When account or auth is away, or our token is none.
pub(super) async fn in_service(reach: &Reach) -> Result<Vec<String>, Failure> {
    let operator = Operator::connect(reach).await?;
    let mut client = DomainServiceClient::new(operator.account.clone());
    let mut hosts = Vec::new();
    let listed = all_pages(async |page_token| {
        let request =
            ListDomainsRequest { page_size: PAGE_SIZE, page_token, ..ListDomainsRequest::default() };
        let page = client.list_domains(request).await?.into_inner();
        let live = page.domains.into_iter().filter(|domain| domain.state() == DomainState::Live);
        hosts.extend(live.map(|domain| format!("{MAIL_HOST}{}", domain.name)));
        Ok(page.next_page_token)
    });
    let listed = listed.await;
    operator.leave().await;
    listed.map(|()| hosts)
}

/// Whether the world finds this platform at a mail host; what to do if it does not.
///
/// # Errors
/// When account or auth is away, or our token is none.
pub(super) async fn leads_here(reach: &Reach, host: &str) -> Result<Result<(), String>, Failure> {
    let domain = host.strip_prefix(MAIL_HOST).unwrap_or(host);
    let operator = Operator::connect(reach).await?;
    let mut client = DomainServiceClient::new(operator.account.clone());
    let mut request = Request::new(VerifyDomainRequest { name: domain.to_owned() });
    request.set_timeout(VERIFY_TIMEOUT);
    let answer = client.verify_domain(request).await;
    operator.leave().await;
    match answer {
        Ok(answer) => Ok(judge(host, &answer.into_inner().findings)),
        Err(status) if status.code() == Code::NotFound => {
            Ok(Err("it is not hosted here any more".to_owned()))
        }
        Err(status) => Err(status.into()),
    }
}

/// An authority takes any of the addresses, so that none may lead elsewhere.
fn judge(host: &str, findings: &[DnsFinding]) -> Result<(), String> {
    let of_host = || findings.iter().filter(|finding| finding.purpose() == DnsPurpose::MailHost);
    let wrong = of_host().find(|finding| {
        matches!(finding.verdict(), DnsVerdict::Different | DnsVerdict::NoAnswer | DnsVerdict::Unspecified)
    });
    if let Some(wrong) = wrong {
        return Err(wrong.advice.clone());
    }
    if of_host().any(|finding| finding.verdict() == DnsVerdict::Good) {
        return Ok(());
    }
    let missing = of_host().find(|finding| !finding.expected.is_empty());
    Err(missing
        .map_or_else(|| format!("{host} has no address of ours in DNS"), |finding| finding.advice.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(purpose: DnsPurpose, verdict: DnsVerdict) -> DnsFinding {
        DnsFinding {
            purpose: purpose.into(),
            verdict: verdict.into(),
            expected: vec!["192.0.2.1".to_owned()],
            advice: format!("{verdict:?}"),
            ..DnsFinding::default()
        }
    }

    #[test]
    fn one_family_is_enough_and_none_may_lead_elsewhere() {
        use DnsVerdict::{Different, Good, Missing, NoAnswer};
        let of = |verdicts: &[DnsVerdict]| {
            let mut findings = vec![finding(DnsPurpose::Mx, Good), finding(DnsPurpose::Spf, Different)];
            findings.extend(verdicts.iter().map(|verdict| finding(DnsPurpose::MailHost, *verdict)));
            judge("mail.one.test", &findings)
        };
        assert_eq!(of(&[Good]), Ok(()));
        assert_eq!(of(&[Good, Missing]), Ok(()));
        assert_eq!(of(&[Good, Different]), Err("Different".to_owned()));
        assert_eq!(of(&[Good, NoAnswer]), Err("NoAnswer".to_owned()));
        assert_eq!(of(&[Missing, Missing]), Err("Missing".to_owned()));
        assert_eq!(of(&[]), Err("mail.one.test has no address of ours in DNS".to_owned()));
    }
}
