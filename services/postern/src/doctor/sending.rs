//! Where mail leaves from: whether its addresses have names that lead back to them, and whether the SPF record that customers are
//! told to include is there. Others refuse mail for less.

use std::net::IpAddr;

use hickory_resolver::{
    TokioResolver,
    proto::rr::{RData, RecordType},
};
use ipnet::IpNet;

use super::{
    Doctor, Findings,
    outside::{self, absolute},
};

/// Addresses that are looked at, one by one.
const ADDRESSES_MAX: usize = 64;
const SUBJECT: &str = "sending address";

/// Looks at what the settings name; `host`: the mail host, by whose addresses mail leaves otherwise.
pub(super) async fn look(doctor: &Doctor, host: &str, resolver: &TokioResolver, findings: &mut Findings) {
    let sending = &doctor.sending;
    for name in sending.spf_mechanism.iter().flat_map(|text| included(text)) {
        look_at_included(resolver, name, findings).await;
    }
    if sending.sending_addresses.is_empty() {
        let seen = format!("none is named: mail is taken to leave by the addresses of {host}");
        let advice =
            "name them where it leaves by others, of nodes, a NAT or a smarthost: POSTERN_SENDING_ADDRESSES";
        findings.unknown(SUBJECT, seen, advice);
        return;
    }
    let all = sending.sending_addresses.iter().flat_map(addresses_of);
    let mut left_out = false;
    for (number, ip) in all.take(ADDRESSES_MAX + 1).enumerate() {
        left_out = number == ADDRESSES_MAX;
        if !left_out {
            look_at_address(resolver, ip, findings).await;
        }
    }
    if left_out {
        let advice = "look at the names of the others by yourself, or name only what sends";
        findings.unknown(SUBJECT, format!("more than {ADDRESSES_MAX}: the first were looked at"), advice);
    }
}

/// All addresses of a network.
fn addresses_of(network: &IpNet) -> impl Iterator<Item = IpAddr> + use<> {
    network.subnets(network.max_prefix_len()).into_iter().flatten().map(|one| one.addr())
}

/// Names whose records are included.
fn included(mechanism: &str) -> impl Iterator<Item = &str> {
    mechanism.split(' ').filter_map(|term| term.strip_prefix("include:"))
}

async fn look_at_address(resolver: &TokioResolver, ip: IpAddr, findings: &mut Findings) {
    let names = outside::names_of(resolver, ip).await;
    for name in &names {
        if outside::addresses_of(resolver, name).await.is_ok_and(|addresses| addresses.contains(&ip)) {
            return findings.good(SUBJECT, format!("{ip} is {name}, and {name} is {ip}"));
        }
    }
    let seen = match names.first() {
        None => format!("{ip} has no name"),
        Some(name) => format!("{ip} is {name}, which does not lead back to it"),
    };
    let advice = "ask whoever gave you the address to name it (PTR), and give that name an A or AAAA record with it: many hosts refuse mail otherwise";
    findings.care(SUBJECT, seen, advice);
}

/// A customer's record that includes what is not there is void (RFC 7208 section 5.2).
async fn look_at_included(resolver: &TokioResolver, name: &str, findings: &mut Findings) {
    let answer = match absolute(name) {
        Ok(absolute) => resolver.lookup(absolute, RecordType::TXT).await.map_err(|e| e.to_string()),
        Err(why) => Err(why),
    };
    let records = answer.iter().flat_map(|found| found.answers()).filter(|record| match &record.data {
        RData::TXT(txt) => txt.txt_data.concat().to_ascii_lowercase().starts_with(b"v=spf1"),
        _ => false,
    });
    match records.count() {
        1 => findings.good("SPF", format!("{name} has the record that customers include")),
        count => {
            let seen = format!("{name}, which customers are told to include, has {count} SPF records");
            let advice =
                "give it one TXT record with v=spf1 and what mail leaves from: theirs are void without it";
            findings.wrong("SPF", seen, advice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_at() {
        let network = "192.0.2.4/31".parse().expect("a network");
        let told: Vec<_> = addresses_of(&network).map(|ip| ip.to_string()).collect();
        assert_eq!(told, ["192.0.2.4", "192.0.2.5"]);
        assert_eq!(
            included("ip4:192.0.2.1 include:a.test include:b.test").collect::<Vec<_>>(),
            ["a.test", "b.test"]
        );
    }
}
