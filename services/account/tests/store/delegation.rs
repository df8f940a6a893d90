//! Domains come into service and go out of it by what the world's DNS says, while it changes.

use crate::asking::{local, next_event, paths, refused, resolve};
use crate::dns::{TTL, World, address, mx, ns, txt};
use crate::house::{Postgres, Replica, asking};
use postern_account::DelegationSettings;
use postern_mail::Reason;
use postern_mesh::sending::SendingSettings;
use postern_proto::account::v1::{
    CreateDomainRequest, DeleteDomainRequest, DnsFinding, DnsPurpose, DnsVerdict, Domain, DomainState,
    GetDomainRequest, UpdateDomainRequest, VerifyDomainRequest, VerifyDomainResponse, WatchChangesRequest,
    resolution::Outcome, watch_changes_response::Event,
};

pub(crate) async fn verify(replica: &Replica, name: &str) -> VerifyDomainResponse {
    let request = VerifyDomainRequest { name: name.into() };
    replica.domains().verify_domain(request).await.unwrap().into_inner()
}

async fn state_after_check(replica: &Replica, name: &str) -> DomainState {
    verify(replica, name).await.domain.unwrap().state()
}

fn finding<'f>(answer: &'f VerifyDomainResponse, purpose: DnsPurpose, record_type: &str) -> &'f DnsFinding {
    let mut found = answer.findings.iter().filter(|f| f.purpose() == purpose && f.record_type == record_type);
    found.next().unwrap_or_else(|| panic!("no finding {purpose:?} {record_type} in {:?}", answer.findings))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_comes_into_service_by_its_mx_or_its_name_servers() {
    let (postgres, world) = (Postgres::start(), World::start().await);
    let replica = Replica::open_with(&postgres.database("delegation"), false, asking(&world)).await;
    replica.customer("shop").await;
    let domain = replica.domain("shop.test", "shop").await;
    assert_eq!(domain.state(), DomainState::Pending);
    assert!(matches!(resolve(&replica, "a@shop.test").await.outcome, Some(Outcome::NotLive(_))));

    // Nothing there, somebody else's MX, and no answer at all: all the same to the state.
    assert_eq!(state_after_check(&replica, "shop.test").await, DomainState::Pending);
    world.add("shop.test", mx("mx.elsewhere.test"));
    assert_eq!(state_after_check(&replica, "shop.test").await, DomainState::Pending);
    world.add("shop.test", mx("Mail.Postern.test"));
    world.fail("shop.test", true);
    let answer = verify(&replica, "shop.test").await;
    assert_eq!(answer.domain.as_ref().unwrap().state(), DomainState::Pending);
    assert_eq!(finding(&answer, DnsPurpose::Mx, "MX").verdict(), DnsVerdict::NoAnswer);
    world.fail("shop.test", false);

    let before = resolve(&replica, "a@shop.test").await.domain_version;
    let answer = verify(&replica, "shop.test").await;
    let live = answer.domain.as_ref().unwrap();
    assert_eq!((live.state(), live.live_without_dns), (DomainState::Live, false));
    assert!(live.check_time.is_some());
    assert_eq!(finding(&answer, DnsPurpose::Mx, "MX").verdict(), DnsVerdict::Good);
    let resolution = resolve(&replica, "a@shop.test").await;
    assert_eq!(local(&resolution).0, Some(domain.default_mailbox_id));
    assert!(resolution.domain_version > before, "the change is told");
    // A second look at the same proves nothing new, and is no change.
    verify(&replica, "shop.test").await;
    assert_eq!(resolve(&replica, "a@shop.test").await.domain_version, resolution.domain_version);

    replica.domain("servers.test", "shop").await;
    world.add("servers.test", ns("ns2.postern.test"));
    assert_eq!(state_after_check(&replica, "servers.test").await, DomainState::Live);

    // The audit tells of the changes of state, and whose doing they were.
    let told = postgres.ask(
        "delegation",
        "select name, actor_role, actor, customer from account.audit where action = 'verify' order by 1",
    );
    assert_eq!(told, "servers.test|service|account|shop\nshop.test|service|account|shop");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platform_checks_by_itself_and_gives_grace_before_a_domain_is_lost() {
    let (postgres, world) = (Postgres::start(), World::start().await);
    let settings = DelegationSettings { domain_check_seconds: 1, domain_grace_seconds: 1, ..asking(&world) };
    let url = postgres.database("patrol");
    // Two replicas: whoever takes a domain, each change happens once.
    let (one, two) = tokio::join!(
        Replica::open_with(&url, false, settings.clone()),
        Replica::open_with(&url, false, settings)
    );
    one.customer("shop").await;
    let mut stream = two.directory().watch_changes(WatchChangesRequest {}).await.unwrap().into_inner();
    assert!(matches!(next_event(&mut stream).await, Event::Reset(_)));
    one.domain("shop.test", "shop").await;
    let read = async || {
        let request = postern_proto::account::v1::GetDomainRequest { name: "shop.test".into() };
        one.domains().get_domain(request).await.unwrap().into_inner().domain.unwrap()
    };
    // Each change is told; on a busy machine a stream may have been lost meanwhile, which tells to look at everything anew.
    let mut until = async |state| {
        while read().await.state() != state {
            if let Event::Change(change) = next_event(&mut stream).await {
                assert_eq!(change.domain, "shop.test");
            }
        }
    };

    world.add("shop.test", mx("mail.postern.test"));
    until(DomainState::Live).await;

    world.clear("shop.test");
    // In grace it is served on; then it is lost.
    let grace = loop {
        let domain = read().await;
        assert_eq!(domain.state(), DomainState::Live);
        if let Some(end) = domain.grace_end_time {
            break end;
        }
        tokio::task::yield_now().await;
    };
    assert!(grace.seconds > 0);
    assert!(matches!(resolve(&two, "a@shop.test").await.outcome, Some(Outcome::Local(_))));
    until(DomainState::Lost).await;
    assert_eq!(read().await.grace_end_time, None);
    assert!(matches!(resolve(&two, "a@shop.test").await.outcome, Some(Outcome::NotLive(_))));

    world.add("shop.test", mx("mail.postern.test"));
    until(DomainState::Live).await;
    let told = postgres.ask("patrol", "select count(*) from account.audit where action = 'verify'");
    assert_eq!(told, "3", "live, lost, live");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_put_into_service_waits_for_dns_to_come() {
    let (postgres, world) = (Postgres::start(), World::start().await);
    let settings = DelegationSettings { domain_grace_seconds: 0, ..asking(&world) };
    let replica = Replica::open_with(&postgres.database("operator"), false, settings).await;
    replica.customer("shop").await;
    let request = CreateDomainRequest {
        name: "shop.test".into(),
        customer: "shop".into(),
        live: true,
        ..Default::default()
    };
    refused(
        replica.domains_of("shop").create_domain(request.clone()).await,
        Reason::CallerNotPermitted,
        "live",
    );
    let domain = replica.domains().create_domain(request).await.unwrap().into_inner().domain.unwrap();
    assert!(domain.live_without_dns);
    for _ in 0..2 {
        assert_eq!(state_after_check(&replica, "shop.test").await, DomainState::Live);
    }
    world.add("shop.test", mx("mail.postern.test"));
    assert!(!verify(&replica, "shop.test").await.domain.unwrap().live_without_dns);
    world.clear("shop.test");
    // From now on DNS decides: the first look begins the grace of no seconds, the second ends it.
    assert_eq!(state_after_check(&replica, "shop.test").await, DomainState::Live);
    assert_eq!(state_after_check(&replica, "shop.test").await, DomainState::Lost);
    let update = UpdateDomainRequest {
        domain: Some(Domain {
            name: "shop.test".into(),
            state: DomainState::Live.into(),
            ..Default::default()
        }),
        update_mask: paths(&["state"]),
    };
    refused(
        replica.domains_of("shop").update_domain(update.clone()).await,
        Reason::CallerNotPermitted,
        "domain.state",
    );
    replica.domains().update_domain(update).await.unwrap();
    assert_eq!(state_after_check(&replica, "shop.test").await, DomainState::Live);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_record_is_shown_as_the_world_sees_it_and_as_it_should_be() {
    let (postgres, world) = (Postgres::start(), World::start().await);
    let replica = Replica::open_with(&postgres.database("findings"), false, asking(&world)).await;
    replica.customer("shop").await;
    replica.domain("shop.test", "shop").await;
    let empty = verify(&replica, "shop.test").await;
    let shown: Vec<_> =
        empty.findings.iter().map(|f| (f.purpose(), f.record_type.as_str(), f.verdict(), f.needed)).collect();
    let missing = DnsVerdict::Missing;
    assert_eq!(
        shown,
        [
            (DnsPurpose::Delegation, "NS", missing, true),
            (DnsPurpose::Mx, "MX", missing, true),
            (DnsPurpose::MailHost, "A", missing, false),
            (DnsPurpose::Spf, "TXT", missing, false),
            (DnsPurpose::Dkim, "TXT", missing, false),
            (DnsPurpose::Dmarc, "TXT", missing, false),
        ]
    );
    for f in &empty.findings {
        assert!(f.found.is_empty() && !f.expected.is_empty() && f.ttl_seconds.is_none(), "{f:?}");
        assert!(f.advice.contains("shop.test"), "{f:?}");
    }
    assert_eq!(finding(&empty, DnsPurpose::Mx, "MX").expected, ["10 mail.postern.test."]);
    let key = finding(&empty, DnsPurpose::Dkim, "TXT").clone();
    assert_eq!(key.name, "postern1._domainkey.shop.test");
    // Long texts are strings of up to 255 octets: what is shown can be pasted into a zone.
    assert_eq!(key.expected[0].matches("\" \"").count(), 1, "{}", key.expected[0]);
    let kept = postgres.ask(
        "findings",
        "select count(*), min(octet_length(private_pkcs8)) > 1000 from account.dkim_keys where domain = 'shop.test'",
    );
    assert_eq!(kept, "1|t");

    // As the advice says, with words of others in between.
    world.add("shop.test", ns("ns1.postern.test"));
    world.add("shop.test", mx("mx.elsewhere.test"));
    world.add("shop.test", txt("verification=of-somebody"));
    world.add("shop.test", txt("v=spf1 include:_spf.elsewhere.test ip6:2001:db8::/32 -all"));
    world.add("_spf.elsewhere.test", txt("v=spf1 ip4:192.0.2.128/25 ?all"));
    world.add("mail.shop.test", address("198.51.100.1"));
    world.add("mail.shop.test", address("2001:db8::1"));
    let dkim: String = key.expected[0].replace("\" \"", "").trim_matches('"').to_owned();
    world.add("postern1._domainkey.shop.test", txt(&dkim));
    world.add("_dmarc.shop.test", txt("v=DMARC1; p=reject; rua=mailto:a@shop.test"));
    let half = verify(&replica, "shop.test").await;
    let verdicts = [
        (DnsPurpose::Delegation, "NS", DnsVerdict::Good),
        (DnsPurpose::Mx, "MX", DnsVerdict::Different),
        (DnsPurpose::MailHost, "A", DnsVerdict::Different),
        (DnsPurpose::MailHost, "AAAA", DnsVerdict::Different),
        (DnsPurpose::Spf, "TXT", DnsVerdict::Different),
        (DnsPurpose::Dkim, "TXT", DnsVerdict::Good),
        (DnsPurpose::Dmarc, "TXT", DnsVerdict::Good),
    ];
    for (purpose, record_type, verdict) in verdicts {
        let f = finding(&half, purpose, record_type);
        assert_eq!((f.verdict(), f.ttl_seconds), (verdict, Some(TTL)), "{f:?}");
        assert_eq!(f.advice.is_empty(), verdict == DnsVerdict::Good, "{f:?}");
    }
    assert_eq!(finding(&half, DnsPurpose::Mx, "MX").found, ["10 mx.elsewhere.test."]);
    assert!(!finding(&half, DnsPurpose::Mx, "MX").needed, "one of the two is enough");
    assert_eq!(half.domain.as_ref().unwrap().state(), DomainState::Live);
    assert_eq!(
        finding(&half, DnsPurpose::Spf, "TXT").expected,
        ["\"v=spf1 include:_spf.elsewhere.test ip6:2001:db8::/32 a:mail.postern.test -all\""]
    );

    // Each way in which an SPF record can let the mail host send, and some in which it does not.
    world.add("mail.postern.test", address("192.0.2.1"));
    world.add("ring.test", txt("v=spf1 include:ring.test -all"));
    world.add("_all.test", txt("v=spf1 a:mail.postern.test/28 -all"));
    for (record, verdict) in [
        ("v=spf1 a:mail.postern.test ~all", DnsVerdict::Good),
        ("v=spf1 ip4:192.0.2.0/24 -all", DnsVerdict::Good),
        ("V=SPF1 include:_all.test -all", DnsVerdict::Good),
        ("v=spf1 redirect=_all.test", DnsVerdict::Good),
        ("v=spf1 +all", DnsVerdict::Good),
        ("v=spf1 mx:only.test -all", DnsVerdict::Good),
        ("v=spf1 -a:mail.postern.test +all", DnsVerdict::Different),
        ("v=spf1 a mx -all", DnsVerdict::Different),
        ("v=spf1 include:ring.test a:mail.postern.test -all", DnsVerdict::Different),
        ("v=spf1 exists:%{i}.x.test -all", DnsVerdict::Different),
        ("v=spf1", DnsVerdict::Different),
    ] {
        world.clear("shop.test");
        world.clear("only.test");
        world.add("only.test", mx("mail.postern.test"));
        world.add("shop.test", txt(record));
        let answer = verify(&replica, "shop.test").await;
        assert_eq!(finding(&answer, DnsPurpose::Spf, "TXT").verdict(), verdict, "{record}");
    }
    world.fail("_all.test", true);
    world.clear("shop.test");
    world.add("shop.test", txt("v=spf1 include:_all.test -all"));
    let answer = verify(&replica, "shop.test").await;
    assert_eq!(finding(&answer, DnsPurpose::Spf, "TXT").verdict(), DnsVerdict::NoAnswer);
    world.add("shop.test", txt("v=spf1 +all"));
    let answer = verify(&replica, "shop.test").await;
    let two = finding(&answer, DnsPurpose::Spf, "TXT");
    assert!(two.verdict() == DnsVerdict::Different && two.advice.contains("more than one"), "{two:?}");
    assert_eq!(two.found.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn spf_goes_by_what_mail_leaves_from_not_by_the_mail_host() {
    let (postgres, world) = (Postgres::start(), World::start().await);
    world.add("mail.postern.test", address("192.0.2.1"));
    world.add("_spf.postern.test", txt("v=spf1 ip4:203.0.113.0/28 -all"));
    // What mail leaves from, the mechanism, the record of the domain, what is said of it, and the record that is wanted.
    type Case = (&'static [&'static str], Option<&'static str>, &'static str, DnsVerdict, &'static str);
    let cases: [Case; 6] = [
        (
            &["203.0.113.0/29"],
            None,
            "v=spf1 a:mail.postern.test ~all",
            DnsVerdict::Different,
            "v=spf1 a:mail.postern.test ip4:203.0.113.0/29 ~all",
        ),
        (&["203.0.113.0/29"], None, "v=spf1 include:_spf.postern.test -all", DnsVerdict::Good, ""),
        // Only one end of what sends is permitted.
        (
            &["203.0.113.8/28"],
            Some("include:_spf.postern.test"),
            "v=spf1 ip4:203.0.113.0/29 -all",
            DnsVerdict::Different,
            "v=spf1 ip4:203.0.113.0/29 include:_spf.postern.test -all",
        ),
        (
            &["203.0.113.8/28"],
            Some("include:_spf.postern.test"),
            "v=spf1 ip4:203.0.113.0/24 -all",
            DnsVerdict::Good,
            "",
        ),
        (
            &[],
            Some("include:_spf.postern.test"),
            "v=spf1 +Include:_spf.postern.test -all",
            DnsVerdict::Good,
            "",
        ),
        (
            &[],
            Some("include:_spf.postern.test"),
            "v=spf1 a:mail.postern.test -all",
            DnsVerdict::Different,
            "v=spf1 a:mail.postern.test include:_spf.postern.test -all",
        ),
    ];
    for (number, (networks, mechanism, record, verdict, wanted)) in cases.into_iter().enumerate() {
        let sending = SendingSettings {
            sending_addresses: networks.iter().map(|network| network.parse().unwrap()).collect(),
            spf_mechanism: mechanism.map(str::to_owned),
        };
        let settings = DelegationSettings { sending, ..asking(&world) };
        let replica =
            Replica::open_with(&postgres.database(&format!("sending{number}")), false, settings).await;
        replica.customer("shop").await;
        replica.domain("shop.test", "shop").await;
        world.clear("shop.test");
        world.add("shop.test", txt(record));
        let answer = verify(&replica, "shop.test").await;
        let spf = finding(&answer, DnsPurpose::Spf, "TXT");
        assert_eq!(spf.verdict(), verdict, "{record}: {spf:?}");
        if verdict == DnsVerdict::Different {
            assert_eq!(spf.expected, [format!("\"{wanted}\"")], "{record}");
            assert!(!spf.advice.contains("a:mail"), "{}", spf.advice);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_is_kept_and_told_without_asking() {
    let (postgres, world) = (Postgres::start(), World::start().await);
    let url = postgres.database("kept");
    let replica = Replica::open_with(&url, false, asking(&world)).await;
    for customer in ["shop", "other"] {
        replica.customer(customer).await;
    }
    replica.domain("shop.test", "shop").await;
    let kept = async || {
        let request = GetDomainRequest { name: "shop.test".into() };
        replica.domains().get_domain(request).await.unwrap().into_inner().findings
    };
    let verdict = |findings: &[DnsFinding], purpose| {
        findings.iter().find(|finding| finding.purpose() == purpose).map(DnsFinding::verdict)
    };
    let written = || postgres.ask("kept", "select string_agg(xmin::text, ' ') from account.dns_findings");
    assert_eq!(kept().await, []);
    let found = verify(&replica, "shop.test").await.findings;
    assert_eq!((kept().await, found.len()), (found.clone(), 6));

    // What is mended is not seen before the next check; what nothing changed in is not written anew.
    world.add("shop.test", mx("mail.postern.test"));
    assert_eq!(kept().await, found);
    let mended = verify(&replica, "shop.test").await.findings;
    assert_eq!(kept().await, mended);
    assert_eq!(verdict(&mended, DnsPurpose::Mx), Some(DnsVerdict::Good));
    let rows = written();
    verify(&replica, "shop.test").await;
    assert_eq!(written(), rows);

    // DNS that fails proves nothing: who asks is told so, and what it said before is kept.
    world.fail("shop.test", true);
    let failed = verify(&replica, "shop.test").await.findings;
    assert_eq!(verdict(&failed, DnsPurpose::Mx), Some(DnsVerdict::NoAnswer));
    assert_eq!((kept().await, written()), (mended.clone(), rows));
    world.fail("shop.test", false);

    // Who only claims the domain hears nothing of it, and who gets it begins anew.
    let request =
        CreateDomainRequest { name: "shop.test".into(), customer: "other".into(), ..Default::default() };
    replica.domains_of("other").create_domain(request).await.unwrap();
    let request = || GetDomainRequest { name: "shop.test".into() };
    let theirs = replica.domains_of("other").get_domain(request()).await.unwrap().into_inner();
    assert_eq!((theirs.domain.unwrap().state(), theirs.findings), (DomainState::Claimed, Vec::new()));
    let claimed = VerifyDomainRequest { name: "shop.test".into() };
    let claimed = replica.domains_of("other").verify_domain(claimed).await.unwrap().into_inner();
    assert!(claimed.findings.iter().any(|finding| finding.purpose() == DnsPurpose::Claim), "{claimed:?}");
    assert_eq!(kept().await, mended, "the check of a claim leaves what is the holder's");
    let remove = DeleteDomainRequest { name: "shop.test".into(), ..Default::default() };
    replica.domains_of("shop").delete_domain(remove).await.unwrap();
    let theirs = replica.domains_of("other").get_domain(request()).await.unwrap().into_inner();
    assert_eq!((theirs.domain.unwrap().state(), theirs.findings), (DomainState::Pending, Vec::new()));

    // The platform keeps what it finds by itself, and makes no key for that.
    world.clear("shop.test");
    let patrol =
        Replica::open_with(&url, false, DelegationSettings { domain_check_seconds: 1, ..asking(&world) })
            .await;
    patrol.domain("new.test", "shop").await;
    let request = || GetDomainRequest { name: "new.test".into() };
    let found = loop {
        let found = patrol.domains().get_domain(request()).await.unwrap().into_inner().findings;
        if !found.is_empty() {
            break found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(verdict(&found, DnsPurpose::Mx), Some(DnsVerdict::Missing));
    assert_eq!(verdict(&found, DnsPurpose::Dkim), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resolver_that_is_silent_changes_nothing_and_is_told_in_time() {
    let (postgres, world) = (Postgres::start(), World::start().await);
    // Nobody reads what comes to this socket.
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let settings = DelegationSettings { resolver: vec![silent.local_addr().unwrap()], ..asking(&world) };
    let replica = Replica::open_with(&postgres.database("silent"), false, settings).await;
    replica.customer("shop").await;
    replica.domain("shop.test", "shop").await;
    // Within the default deadline of a call.
    let answer = verify(&replica, "shop.test").await;
    let domain = answer.domain.unwrap();
    assert_eq!((domain.state(), domain.check_time), (DomainState::Pending, None));
    for f in &answer.findings {
        assert_eq!(f.verdict(), DnsVerdict::NoAnswer, "{f:?}");
        assert!(f.advice.contains("try again"), "{f:?}");
    }
    assert!(answer.findings.len() >= 6);
}
