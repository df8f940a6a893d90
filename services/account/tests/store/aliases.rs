//! A second name of a domain: the same boxes, forwards and rules; a write to either is a change of both.

use crate::asking::{
    create_mailbox, local, login, new_forward, new_mailbox, next_event, paths, refused, resolve,
};
use crate::dns::{World, mx, txt};
use crate::house::{Postgres, Replica, asking};
use postern_mail::Reason;
use postern_proto::account::v1::{
    CreateDomainRequest, DefaultAction, DefaultAddress, DeleteDomainRequest, DeleteMailboxRequest, Domain,
    DomainState, GetDomainRequest, LookupDomainRequest, LookupLoginRequest, SenderPolicy,
    UpdateDefaultAddressRequest, UpdateDomainRequest, VerifyDomainRequest, WatchChangesRequest,
    resolution::Outcome, watch_changes_response::Event,
};

fn second_name(name: &str, target: &str, customer: &str) -> CreateDomainRequest {
    CreateDomainRequest {
        name: name.into(),
        customer: customer.into(),
        alias_of: target.into(),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_names_lead_to_the_same_boxes() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("aliases")).await;
    replica.customer("shop").await;
    replica.customer("other").await;
    let target = replica.domain("z-shop.test", "shop").await;
    replica.domain("other.test", "other").await;
    let mailbox = create_mailbox(&replica, "user@z-shop.test").await;
    replica.forwards().create_forward(new_forward("f@z-shop.test", &["x@else.test"], false)).await.unwrap();

    let mut domains = replica.domains_of("shop");
    refused(
        domains.create_domain(second_name("a.test", "none.test", "shop")).await,
        Reason::NotFound,
        "alias_of",
    );
    refused(
        domains.create_domain(second_name("a.test", "other.test", "shop")).await,
        Reason::NotFound,
        "alias_of",
    );
    let request = second_name("shop.test", "Z-shop.test", "shop");
    let alias = domains.create_domain(request).await.unwrap().into_inner().domain.unwrap();
    assert_eq!(
        (alias.alias_of.as_str(), alias.login.as_str(), alias.default_mailbox_id),
        ("z-shop.test", "", 0)
    );
    let ring = domains.create_domain(second_name("b.test", "shop.test", "shop")).await;
    refused(ring, Reason::FailedPrecondition, "is a second name itself, of z-shop.test");

    // Delivered-To keeps the name that was asked for; everything else is the target's.
    for (asked, mailbox_id) in [
        ("user@shop.test", mailbox.mailbox_id),
        ("USER+tag@Shop.test", mailbox.mailbox_id),
        ("nobody@shop.test", target.default_mailbox_id),
        ("postmaster@shop.test", target.default_mailbox_id),
    ] {
        let resolution = resolve(&replica, asked).await;
        assert_eq!(
            (local(&resolution).0, resolution.domain.as_str()),
            (Some(mailbox_id), "shop.test"),
            "{asked}"
        );
        let Some(Outcome::Local(taken)) = resolution.outcome else { panic!("local") };
        assert_eq!(taken.mailbox.unwrap().address, asked.to_lowercase());
    }
    assert_eq!(local(&resolve(&replica, "f@shop.test").await).1, ["x@else.test"]);
    // Up to 1000 at once, of both names and of none.
    let addresses = ["user@shop.test", "user@z-shop.test", "user@shop.test", "x@else.test", "f@shop.test"];
    let request = postern_proto::account::v1::BatchResolveRecipientsRequest {
        addresses: addresses.iter().map(|a| (*a).to_owned()).collect(),
    };
    let batch = replica.directory().batch_resolve_recipients(request).await.unwrap().into_inner().resolutions;
    assert_eq!(local(&batch[0]), local(&batch[1]));
    assert_eq!(batch[0], batch[2]);
    assert!(matches!(batch[3].outcome, Some(Outcome::Remote(_))));

    // Logins under both names are one login.
    let (one, two) = (
        login(&replica, "user@shop.test").await.unwrap(),
        login(&replica, "user@z-shop.test").await.unwrap(),
    );
    assert_eq!(one, two);
    assert_eq!((one.login.as_str(), one.domain.as_str()), ("user@z-shop.test", "z-shop.test"));
    assert!(login(&replica, "nobody@shop.test").await.is_none());

    // That a code is asked for besides is told for panel sessions only.
    let secret = "decode(repeat('ab', 20), 'hex'), now()";
    let (box_id, owner) =
        (mailbox.mailbox_id, "(select customer_id from account.customers where login = 'shop')");
    let factor = format!(
        "insert into account.second_factors (mailbox_id, customer_id, secret, confirm_time) \
         values ({box_id}, null, {secret}), (null, {owner}, {secret})"
    );
    postgres.run("aliases", &factor);
    for name in ["user@shop.test", "user@z-shop.test", target.login.as_str()] {
        for for_panel in [false, true] {
            let request = LookupLoginRequest { login: name.into(), for_panel };
            let found = replica.directory().lookup_login(request).await.unwrap().into_inner().identity;
            assert_eq!(found.unwrap().second_factor, for_panel, "{name}");
        }
    }

    // Nothing stands under a second name by itself.
    let said = "shop.test is a second name of z-shop.test";
    refused(
        replica.mailboxes().create_mailbox(new_mailbox("n@shop.test")).await,
        Reason::FailedPrecondition,
        said,
    );
    let forward =
        replica.forwards().create_forward(new_forward("n@shop.test", &["x@else.test"], false)).await;
    refused(forward, Reason::FailedPrecondition, said);
    let rule = UpdateDefaultAddressRequest {
        default_address: Some(DefaultAddress {
            domain: "shop.test".into(),
            action: DefaultAction::Reject.into(),
            target: String::new(),
            ..Default::default()
        }),
    };
    refused(replica.defaults().update_default_address(rule).await, Reason::FailedPrecondition, said);
    // A ring through the other name is a ring.
    let ring = replica.forwards().create_forward(new_forward("r@z-shop.test", &["r@shop.test"], false)).await;
    refused(ring, Reason::FailedPrecondition, "r@z-shop.test -> r@shop.test -> r@z-shop.test");

    let remove = |name: &str| DeleteDomainRequest { name: name.into(), ..Default::default() };
    refused(domains.delete_domain(remove("z-shop.test")).await, Reason::FailedPrecondition, "shop.test");
    domains.delete_domain(remove("shop.test")).await.unwrap();
    assert!(matches!(resolve(&replica, "user@shop.test").await.outcome, Some(Outcome::Remote(_))));
    assert!(login(&replica, "user@shop.test").await.is_none());
    assert_eq!(local(&resolve(&replica, "user@z-shop.test").await).0, Some(mailbox.mailbox_id));
    domains.delete_domain(remove("z-shop.test")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_under_one_name_is_a_change_of_both() {
    let postgres = Postgres::start();
    let url = postgres.database("aliaschanges");
    let (one, two) = tokio::join!(Replica::open(&url), Replica::open(&url));
    one.customer("shop").await;
    one.domain("m.test", "shop").await;
    for name in ["a.test", "z.test"] {
        one.domains().create_domain(second_name(name, "m.test", "shop")).await.unwrap();
    }
    let mut stream = two.directory().watch_changes(WatchChangesRequest {}).await.unwrap().into_inner();
    assert!(matches!(next_event(&mut stream).await, Event::Reset(_)));
    let mut version = 0;
    for name in ["a.test", "m.test", "z.test"] {
        version = version.max(resolve(&two, &format!("x@{name}")).await.domain_version);
    }
    let mut told = async |revoked: &[i64]| {
        let (mut names, mut ids) = (Vec::new(), Vec::new());
        while names.len() < 3 {
            // What was notified before we subscribed may still be told.
            if let Event::Change(change) = next_event(&mut stream).await
                && change.version > version
            {
                names.push((change.domain, change.version));
                ids.extend(change.revoked_mailbox_ids);
            }
        }
        names.sort();
        let newest = names[0].1;
        assert_eq!(names, ["a.test", "m.test", "z.test"].map(|name| (name.to_owned(), newest)));
        assert_eq!(ids, revoked);
        version = newest;
        for name in ["a.test", "m.test", "z.test"] {
            assert_eq!(resolve(&two, &format!("u@{name}")).await.domain_version, newest);
        }
    };
    let mailbox = create_mailbox(&one, "u@m.test").await;
    told(&[]).await;
    let update = |name: &str, domain: Domain, path: &str| UpdateDomainRequest {
        domain: Some(Domain { name: name.into(), ..domain }),
        update_mask: paths(&[path]),
    };
    let anyone = Domain { sender_policy: SenderPolicy::Anyone.into(), ..Default::default() };
    one.domains().update_domain(update("z.test", anyone, "sender_policy")).await.unwrap();
    told(&[]).await;
    // The sender rule is each name's own; how logins are treated is the boxes'.
    let look = async |name: &str| {
        let request = LookupDomainRequest { name: name.into() };
        one.directory().lookup_domain(request).await.unwrap().into_inner().domain.unwrap()
    };
    let (m, z) = (look("m.test").await, look("z.test").await);
    assert_eq!((m.sender_policy(), z.sender_policy()), (SenderPolicy::Owner, SenderPolicy::Anyone));
    assert_eq!((z.customer.as_str(), z.alias_of.as_str(), m.alias_of.as_str()), ("shop", "m.test", ""));
    let clear = || Domain { plaintext_login: true, ..Default::default() };
    for (path, domain) in [
        ("plaintext_login", clear()),
        ("auth_only", Domain { auth_only: true, ..Default::default() }),
        ("grant_ttl_seconds", Domain { grant_ttl_seconds: Some(300), ..Default::default() }),
    ] {
        let refusal = one.domains().update_domain(update("z.test", domain, path)).await;
        refused(refusal, Reason::FailedPrecondition, &format!("domain.{path}: z.test is a second name"));
    }
    one.domains().update_domain(update("m.test", clear(), "plaintext_login")).await.unwrap();
    told(&[]).await;
    assert!(look("z.test").await.plaintext_login && login(&two, "u@a.test").await.unwrap().plaintext_login);
    let short = Domain { grant_ttl_seconds: Some(300), ..Default::default() };
    one.domains().update_domain(update("m.test", short, "grant_ttl_seconds")).await.unwrap();
    told(&[]).await;
    // Where only passwords are taken, the grants there are end.
    let default_box = one.domains().get_domain(GetDomainRequest { name: "m.test".into() }).await.unwrap();
    let default_box = default_box.into_inner().domain.unwrap().default_mailbox_id;
    let only = Domain { auth_only: true, ..Default::default() };
    one.domains().update_domain(update("m.test", only, "auth_only")).await.unwrap();
    told(&[default_box, mailbox.mailbox_id]).await;
    for name in ["m.test", "z.test"] {
        let rules = look(name).await;
        assert_eq!((rules.auth_only, rules.grant_ttl_seconds), (true, Some(300)), "{name}");
    }
    let delete = DeleteMailboxRequest { address: "u@m.test".into() };
    one.mailboxes().delete_mailbox(delete).await.unwrap();
    told(&[mailbox.mailbox_id]).await;

    // Writes under all names at once neither lock each other out nor lose one.
    let tasks: Vec<_> = (0..24)
        .map(|n| {
            let replica = if n % 2 == 0 { &one } else { &two };
            let (mut domains, mut mailboxes) = (replica.domains(), replica.mailboxes());
            let name = ["a.test", "z.test"][n % 2];
            let policy = Domain { sender_policy: SenderPolicy::Owner.into(), ..Default::default() };
            let request = update(name, policy, "sender_policy");
            tokio::spawn(async move {
                if n % 3 == 0 {
                    mailboxes.create_mailbox(new_mailbox(&format!("n{n}@m.test"))).await.map(drop)
                } else {
                    domains.update_domain(request).await.map(drop)
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let versions = postgres.ask("aliaschanges", "select count(distinct version) from account.versions");
    assert_eq!(versions, "1", "all three names are at the same version");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_name_has_its_own_way_into_service() {
    let (postgres, world) = (Postgres::start(), World::start().await);
    let replica = Replica::open_with(&postgres.database("aliasdns"), false, asking(&world)).await;
    for customer in ["shop", "next"] {
        replica.customer(customer).await;
    }
    let verify = async |name: &str, customer: &str| {
        let request = VerifyDomainRequest { name: name.into() };
        replica.domains_of(customer).verify_domain(request).await.unwrap().into_inner().domain.unwrap()
    };
    let (mut shop, mut next) = (replica.domains_of("shop"), replica.domains_of("next"));
    let own = |name: &str, customer: &str| CreateDomainRequest {
        name: name.into(),
        customer: customer.into(),
        ..Default::default()
    };
    shop.create_domain(own("m.test", "shop")).await.unwrap();
    shop.create_domain(second_name("a.test", "m.test", "shop")).await.unwrap();
    create_mailbox(&replica, "u@m.test").await;
    world.add("a.test", mx("mail.postern.test"));
    assert_eq!(verify("a.test", "shop").await.state(), DomainState::Live);
    // Its boxes are not in service yet.
    let is_not_live =
        async |address: &str| matches!(resolve(&replica, address).await.outcome, Some(Outcome::NotLive(_)));
    assert!(is_not_live("u@a.test").await);
    assert_eq!(login(&replica, "u@a.test").await.unwrap().domain_state(), DomainState::Pending);
    world.add("m.test", mx("mail.postern.test"));
    assert_eq!(verify("m.test", "shop").await.state(), DomainState::Live);
    assert!(!is_not_live("u@a.test").await);
    assert_eq!(login(&replica, "u@a.test").await.unwrap().domain_state(), DomainState::Live);

    // The target changes hands: its second names go with what the old owner had.
    let claim = next.create_domain(own("m.test", "next")).await.unwrap().into_inner().domain.unwrap();
    let proof = claim.claim.unwrap();
    world.add(&proof.txt_name, txt(&proof.txt_value));
    assert_eq!(verify("m.test", "next").await.state(), DomainState::Live);
    let get = GetDomainRequest { name: "a.test".into() };
    refused(replica.domains().get_domain(get).await, Reason::NotFound, "a.test is not hosted");
    assert!(matches!(resolve(&replica, "u@a.test").await.outcome, Some(Outcome::Remote(_))));

    // A claim to be a second name becomes one when it is proven.
    shop.create_domain(own("b.test", "shop")).await.unwrap();
    let request = second_name("b.test", "m.test", "next");
    let claim = next.create_domain(request).await.unwrap().into_inner().domain.unwrap();
    assert_eq!((claim.state(), claim.alias_of.as_str()), (DomainState::Claimed, "m.test"));
    let proof = claim.claim.unwrap();
    world.add(&proof.txt_name, txt(&proof.txt_value));
    world.add("b.test", mx("mail.postern.test"));
    let won = verify("b.test", "next").await;
    assert_eq!((won.state(), won.alias_of.as_str()), (DomainState::Live, "m.test"));
    assert!(matches!(resolve(&replica, "any@b.test").await.outcome, Some(Outcome::Local(_))));
}
