//! Where the platform's mail leaves from, and what customers are told to write into their SPF records about it. Account advises and
//! judges by it, `postern doctor` looks whether it holds.

use std::net::IpAddr;

use clap::Args;
use ipnet::IpNet;

use crate::{StartError, proxy::parse_network};

/// Each costs two walks through the SPF record of a domain, and all of them must end within a check.
const NETWORKS_MAX: usize = 16;

/// What the world sees as the sender of our mail. Nothing set: the addresses of the mail host.
#[derive(Args, Clone, Debug, Default)]
pub struct SendingSettings {
    /// Addresses or networks that mail leaves from, separated by commas, at most 16 (none: those of the mail host)
    #[arg(long, env = "POSTERN_SENDING_ADDRESSES", value_name = "NETWORKS", value_delimiter = ',', value_parser = parse_network)]
    pub sending_addresses: Vec<IpNet>,

    /// What an SPF record must have to let this platform send, such as include:_spf.example.net (none: the sending
    /// addresses, or a:<mail host>)
    #[arg(long, env = "POSTERN_SPF_MECHANISM", value_name = "MECHANISM", value_parser = parse_mechanism)]
    pub spf_mechanism: Option<String>,
}

impl SendingSettings {
    /// # Errors
    /// More networks than a check can look at.
    pub fn check(&self) -> Result<(), StartError> {
        if self.sending_addresses.len() > NETWORKS_MAX {
            let why = format!("at most {NETWORKS_MAX} networks; larger ones may hold them");
            return Err(StartError::setting("POSTERN_SENDING_ADDRESSES", why));
        }
        Ok(())
    }

    /// What customers are to write into their SPF records; several terms are separated by spaces.
    #[must_use]
    pub fn mechanism(&self, mail_host: &str) -> String {
        if let Some(mechanism) = &self.spf_mechanism {
            return mechanism.clone();
        }
        if self.sending_addresses.is_empty() {
            return format!("a:{mail_host}");
        }
        let term = |network: &IpNet| {
            let family = if network.addr().is_ipv4() { "ip4" } else { "ip6" };
            if network.prefix_len() == network.max_prefix_len() {
                format!("{family}:{}", network.addr())
            } else {
                format!("{family}:{}", network.trunc())
            }
        };
        self.sending_addresses.iter().map(term).collect::<Vec<_>>().join(" ")
    }

    /// The addresses at both ends of each network: a record that permits these permits what lies between.
    #[must_use]
    pub fn ends(&self) -> Vec<IpAddr> {
        let mut ends: Vec<IpAddr> = self
            .sending_addresses
            .iter()
            .flat_map(|network| [network.network(), network.broadcast()])
            .collect();
        ends.dedup();
        ends
    }
}

/// Terms of an SPF record that name senders (RFC 7208 section 5), without what an operator cannot mean for all customers.
fn parse_mechanism(text: &str) -> Result<String, String> {
    let is_good = |term: &str| {
        let Some((kind, of)) = term.split_once(':') else { return false };
        let is_text =
            !of.is_empty() && of.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b'%'));
        is_text && ["include", "a", "mx", "ip4", "ip6"].contains(&kind)
    };
    let terms: Vec<&str> = text.split_whitespace().collect();
    if terms.is_empty() || !terms.iter().all(|term| is_good(term)) {
        return Err("is no mechanism such as include:_spf.example.net or ip4:192.0.2.0/24".to_owned());
    }
    Ok(terms.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sending(networks: &[&str], mechanism: Option<&str>) -> SendingSettings {
        SendingSettings {
            sending_addresses: networks.iter().map(|text| parse_network(text).expect("a network")).collect(),
            spf_mechanism: mechanism.map(|text| parse_mechanism(text).expect("a mechanism")),
        }
    }

    #[test]
    fn customers_are_told_where_mail_leaves_from() {
        assert_eq!(sending(&[], None).mechanism("mail.x.test"), "a:mail.x.test");
        let both = ["192.0.2.9", "203.0.113.7/24", "2001:db8::1/64"];
        let told = "ip4:192.0.2.9 ip4:203.0.113.0/24 ip6:2001:db8::/64";
        assert_eq!(sending(&both, None).mechanism("mail.x.test"), told);
        assert_eq!(
            sending(&both, Some("include:_spf.x.test")).mechanism("mail.x.test"),
            "include:_spf.x.test"
        );
    }

    #[test]
    fn a_network_is_known_by_its_ends() {
        let ends: Vec<_> = sending(&["192.0.2.9", "203.0.113.0/30"], None).ends();
        let told: Vec<_> = ends.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["192.0.2.9", "203.0.113.0", "203.0.113.3"]);
        assert!(sending(&["192.0.2.1"; 16], None).check().is_ok());
        assert!(sending(&["192.0.2.1"; 17], None).check().is_err());
    }

    #[test]
    fn what_is_no_mechanism_is_refused() {
        for bad in ["", "all", "-all", "include:", "exists:%{i}.x.test", "a:x\" \"y", "~ip4:192.0.2.1"] {
            assert!(parse_mechanism(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_mechanism(" mx:x.test  ip4:192.0.2.1 ").as_deref(), Ok("mx:x.test ip4:192.0.2.1"));
    }
}
