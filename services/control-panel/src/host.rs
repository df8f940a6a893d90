//! For which domain somebody came: from the Host header, believed only as far as it is a domain name.

use http::{HeaderMap, Uri, header};
use postern_mail::DomainName;

/// Names below a domain that stand for the domain itself: of its mail server, and where mail programs ask for settings.
const OWN_HOSTS: [&str; 3] = ["mail.", "autoconfig.", "autodiscover."];

/// The domain of `mail.<domain>` or `<domain>`; of the platform's own mail host when what was typed names none.
pub(crate) fn domain(headers: &HeaderMap, uri: &Uri, mail_host: &DomainName) -> DomainName {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).or_else(|| uri.host());
    let named = host.map(without_port).and_then(|host| host.parse::<DomainName>().ok());
    below_own(named.as_ref().unwrap_or(mail_host))
}

/// The port that was typed; `None`: that of the scheme.
pub(crate) fn port(headers: &HeaderMap, uri: &Uri) -> Option<u16> {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    let typed = host.and_then(|host| host.rsplit_once(':')).and_then(|(_, port)| port.parse().ok());
    typed.or_else(|| uri.port_u16())
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    }
}

fn below_own(host: &DomainName) -> DomainName {
    let below = OWN_HOSTS.iter().find_map(|own| host.as_str().strip_prefix(own)?.parse().ok());
    below.unwrap_or_else(|| host.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_name_their_domain_and_nothing_else() {
        let mail_host: DomainName = "mail.postern.test".parse().expect("a name");
        for (host, expected) in [
            ("mail.homepage.test", "homepage.test"),
            ("MAIL.Homepage.Test:8443", "homepage.test"),
            ("homepage.test", "homepage.test"),
            ("autoconfig.homepage.test", "homepage.test"),
            ("autodiscover.homepage.test:8080", "homepage.test"),
            ("mail.test", "mail.test"),
            ("localhost:8080", "postern.test"),
            ("127.0.0.1:8080", "postern.test"),
            ("[::1]:8080", "postern.test"),
            ("<script>alert(1)</script>.test", "postern.test"),
            ("homepage.test/../x", "postern.test"),
            ("homepage.test\" onload=\"x", "postern.test"),
            ("", "postern.test"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().expect("a header value"));
            let found = domain(&headers, &Uri::from_static("/"), &mail_host);
            assert_eq!(found.as_str(), expected, "{host}");
        }
        assert_eq!(domain(&HeaderMap::new(), &Uri::from_static("/"), &mail_host).as_str(), "postern.test");
        for (host, expected) in
            [("a.test:8443", Some(8443)), ("a.test", None), ("a.test:x", None), ("[::1]", None)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().expect("a header value"));
            assert_eq!(port(&headers, &Uri::from_static("/")), expected, "{host}");
        }
    }
}
