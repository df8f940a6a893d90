//! What the world sees: the mail host in DNS, its doors, and their certificates.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::ResolveHosts,
    proto::rr::{Name, RData, RecordType},
};
use jiff::Timestamp;
use postern_mesh::{
    dns::{self, host_name},
    tls,
};
use rustls::{
    client::verify_server_name,
    pki_types::{CertificateDer, ServerName},
    server::ParsedCertificate,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::parse_x509_certificate;

use super::{
    Doctor, Findings,
    certificates::{RENEW_DAYS, days_until},
    doors, sending,
};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Looks at the mail host when its name is known.
pub(super) async fn look(doctor: &Doctor, findings: &mut Findings) {
    let Some(host) = &doctor.mail_host else {
        let advice = "name it: POSTERN_MAIL_HOST";
        findings.unknown("mail host", "its DNS and certificates are not looked at", advice);
        return;
    };
    let addresses = match resolver(doctor) {
        Ok(resolver) => {
            let addresses = names(&resolver, host, findings).await;
            sending::look(doctor, host, &resolver, findings).await;
            addresses
        }
        Err(why) => {
            findings.wrong(
                "DNS",
                why,
                "is there a resolver, and does it answer? POSTERN_RESOLVER names others",
            );
            Vec::new()
        }
    };
    let (tls, plain): (Vec<_>, Vec<_>) =
        doors::places(&doctor.doors, &addresses).into_iter().partition(|(kind, _)| kind.is_tls());
    for (kind, at) in plain {
        doors::knock(kind, at, findings).await;
    }
    let tls = if doctor.tls_doors.is_empty() {
        tls.into_iter().map(|(_, at)| at).collect()
    } else {
        doctor.tls_doors.clone()
    };
    for door in tls {
        let subject = format!("certificate at {door}");
        match tokio::time::timeout(TIMEOUT, shown(door, host)).await {
            Ok(Ok(certificate)) => judge(&subject, host, &certificate, Timestamp::now(), findings),
            Ok(Err(why)) => findings.wrong(subject, why, "is the door open, and has it a certificate?"),
            Err(_) => findings.wrong(subject, format!("no answer within {TIMEOUT:?}"), "is the door open?"),
        }
    }
}

/// What the world sees counts, not what this machine's hosts file says.
fn resolver(doctor: &Doctor) -> Result<TokioResolver, String> {
    let resolver = dns::resolver(&doctor.resolver, |options| {
        options.timeout = Duration::from_secs(1);
        options.use_hosts_file = ResolveHosts::Never;
    });
    resolver.map_err(|e| e.to_string())
}

/// A name to ask DNS about, whatever the search list of this machine is.
pub(super) fn absolute(name: &str) -> Result<Name, String> {
    let mut absolute = Name::from_ascii(name).map_err(|e| format!("{name}: {e}"))?;
    absolute.set_fqdn(true);
    Ok(absolute)
}

/// The addresses of a host in DNS.
pub(super) async fn addresses_of(resolver: &TokioResolver, host: &str) -> Result<Vec<IpAddr>, String> {
    let name = absolute(host)?;
    let mut addresses = Vec::new();
    for kind in [RecordType::A, RecordType::AAAA] {
        // No such record is an error of this resolver, too; that there is neither is told by who asks.
        let Ok(found) = resolver.lookup(name.clone(), kind).await else { continue };
        addresses.extend(found.answers().iter().filter_map(|record| match &record.data {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
            _ => None,
        }));
    }
    Ok(addresses)
}

/// The names that an address has in DNS.
pub(super) async fn names_of(resolver: &TokioResolver, ip: IpAddr) -> Vec<String> {
    let found = resolver.lookup(Name::from(ip), RecordType::PTR).await;
    let records = found.iter().flat_map(|found| found.answers());
    let named = records.filter_map(|record| match &record.data {
        RData::PTR(name) => Some(host_name(&name.0)),
        _ => None,
    });
    named.collect()
}

/// The addresses of the mail host, and whether they lead back to it: others refuse mail of hosts where they do not.
async fn names(resolver: &TokioResolver, host: &str, findings: &mut Findings) -> Vec<IpAddr> {
    let addresses = match addresses_of(resolver, host).await {
        Ok(addresses) => addresses,
        Err(why) => {
            findings.wrong("mail host", why, "is it a host name? POSTERN_MAIL_HOST");
            return Vec::new();
        }
    };
    if addresses.is_empty() {
        let advice = "give it an A record: MX records and mail programs lead to this name";
        findings.wrong("mail host", format!("{host} has no address in DNS"), advice);
    }
    for ip in &addresses {
        let back = names_of(resolver, *ip).await;
        if back.iter().any(|name| name.eq_ignore_ascii_case(host)) {
            findings.good("mail host", format!("{host} is {ip}, and {ip} is {host}"));
        } else {
            let seen = format!(
                "{host} is {ip}, whose name is {}",
                if back.is_empty() { "none".into() } else { back.join(", ") }
            );
            let advice =
                "ask whoever gave you the address to name it (PTR): many hosts refuse mail otherwise";
            findings.care("mail host", seen, advice);
        }
    }
    addresses
}

/// The certificate that a door shows for this name, whoever signed it.
async fn shown(door: SocketAddr, host: &str) -> Result<CertificateDer<'static>, String> {
    let config = tls::unjudged().map_err(|e| e.to_string())?;
    let name = ServerName::try_from(host.to_owned()).map_err(|e| e.to_string())?;
    let stream = TcpStream::connect(door).await.map_err(|e| e.to_string())?;
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|e| e.to_string())?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    chain.first().map(|certificate| certificate.clone().into_owned()).ok_or_else(|| "shows none".to_owned())
}

fn judge(
    subject: &str,
    host: &str,
    certificate: &CertificateDer<'_>,
    now: Timestamp,
    findings: &mut Findings,
) {
    let Ok((_, parsed)) = parse_x509_certificate(certificate) else {
        return findings.wrong(subject, "cannot be read", "put a certificate there that is one");
    };
    let renew = "renew it, and have the services take it (POSTERN_TLS_CERTIFICATE)";
    let days = days_until(parsed.validity().not_after.timestamp(), now);
    let named = ServerName::try_from(host.to_owned()).is_ok_and(|name| {
        ParsedCertificate::try_from(certificate)
            .is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok())
    });
    if days < 0 {
        findings.wrong(subject, format!("ended {} days ago", -days), renew);
    } else if !named {
        let advice = "mail programs that ask for this name refuse it: get one that names the mail host";
        findings.wrong(subject, format!("does not name {host}"), advice);
    } else if days < RENEW_DAYS {
        findings.care(subject, format!("ends in {days} days"), renew);
    } else if parsed.subject().as_raw() == parsed.issuer().as_raw() {
        let advice = "mail programs ask whether to trust it: get one of an authority that they know";
        findings.care(subject, format!("signed by itself, good for {days} days"), advice);
    } else {
        findings.good(subject, format!("names {host}, good for {days} days"));
    }
}
