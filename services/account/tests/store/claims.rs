//! Two customers want one domain, or it had another owner: only the verified one gets it.

use crate::asking::{create_mailbox, local, login, new_forward, new_mailbox, refused, resolve};
use crate::dns::{World, mx, txt};
use crate::house::{Postgres, Replica, asking};
use postern_mail::Reason;
use postern_proto::account::v1::{
    CreateDomainRequest, CreateMailboxRequest, DeleteCustomerRequest, DeleteDomainRequest, DnsPurpose,
    Domain, DomainState, GetDomainRequest, ListDomainsRequest, ListMailboxesRequest, NewPassword,
    UpdateDomainRequest, VerifyDomainRequest, VerifyDomainResponse, new_password::Secret,
};
use std::collections::HashSet;

async fn house(postgres: &Postgres, world: &World, database: &str) -> Replica {
    let replica = Replica::open_with(&postgres.database(database), false, asking(world)).await;
    for customer in ["anna", "bert", "cleo"] {
        replica.customer(customer).await;
    }
    replica
}

async fn ask_for(replica: &Replica, name: &str, customer: &str) -> Domain {
    let request = CreateDomainRequest { name: name.into(), customer: customer.into(), ..Default::default() };
    replica.domains_of(customer).create_domain(request).await.unwrap().into_inner().domain.unwrap()
}

async fn verify(replica: &Replica, name: &str, customer: &str) -> VerifyDomainResponse {
    let request = VerifyDomainRequest { name: name.into() };
    replica.domains_of(customer).verify_domain(request).await.unwrap().into_inner()
}

async fn seen_by(replica: &Replica, name: &str, customer: &str) -> Domain {
    let request = GetDomainRequest { name: name.into() };
    replica.domains_of(customer).get_domain(request).await.unwrap().into_inner().domain.unwrap()
}

fn prove(world: &World, domain: &Domain) {
    let claim = domain.claim.as_ref().unwrap();
    world.clear(&claim.txt_name);
    world.add(&claim.txt_name, txt("something of another service"));
    world.add(&claim.txt_name, txt(&claim.txt_value));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_verified_of_two_claims_gets_the_domain() {
    let (postgres, world) = (Postgres::start(), World::start().await);
    let replica = house(&postgres, &world, "claims").await;
    let first = ask_for(&replica, "shop.test", "anna").await;
    assert!(!first.claim.as_ref().unwrap().txt_required, "alone, NS or MX is enough");
    let second = ask_for(&replica, "shop.test", "bert").await;
    assert_eq!((second.state(), second.customer.as_str()), (DomainState::Claimed, "bert"));
    assert_eq!((second.login.as_str(), second.default_mailbox_id), ("", 0));
    assert!(second.claim.as_ref().unwrap().txt_required);
    assert_ne!(first.claim.as_ref().unwrap().txt_value, second.claim.as_ref().unwrap().txt_value);
    let request =
        CreateDomainRequest { name: "shop.test".into(), customer: "bert".into(), ..Default::default() };
    refused(
        replica.domains_of("bert").create_domain(request).await,
        Reason::AlreadyExists,
        "claimed by bert",
    );

    // Nothing can be set up with a claim, and nobody sees more than the own one.
    let not_hosted = "domain shop.test is not hosted here";
    let password = NewPassword { secret: Some(Secret::Plain("correct horse".into())) };
    let mailbox = CreateMailboxRequest { password: Some(password), ..new_mailbox("a@shop.test") };
    refused(replica.mailboxes_of("bert").create_mailbox(mailbox).await, Reason::NotFound, not_hosted);
    let listing = ListMailboxesRequest { domain: "shop.test".into(), ..Default::default() };
    refused(replica.mailboxes_of("bert").list_mailboxes(listing).await, Reason::NotFound, not_hosted);
    let update = UpdateDomainRequest {
        domain: Some(Domain { name: "shop.test".into(), auth_only: true, ..Default::default() }),
        update_mask: crate::asking::paths(&["auth_only"]),
    };
    refused(replica.domains_of("bert").update_domain(update).await, Reason::NotFound, not_hosted);
    let get = GetDomainRequest { name: "shop.test".into() };
    refused(replica.domains_of("cleo").get_domain(get.clone()).await, Reason::NotFound, not_hosted);
    let check = VerifyDomainRequest { name: "shop.test".into() };
    refused(replica.domains_of("cleo").verify_domain(check).await, Reason::NotFound, not_hosted);
    let remove = DeleteDomainRequest { name: "shop.test".into(), ..Default::default() };
    refused(replica.domains_of("cleo").delete_domain(remove.clone()).await, Reason::NotFound, not_hosted);
    assert_eq!(seen_by(&replica, "shop.test", "bert").await, second);
    let operator = replica.domains().get_domain(get).await.unwrap().into_inner().domain.unwrap();
    assert_eq!(operator.customer, "anna");
    let listed = ListDomainsRequest { customer: "bert".into(), ..Default::default() };
    let listed = replica.domains().list_domains(listed).await.unwrap().into_inner().domains;
    assert_eq!(listed, std::slice::from_ref(&second));

    // With two claims the MX alone is not enough.
    world.add("shop.test", mx("mail.postern.test"));
    let answer = verify(&replica, "shop.test", "anna").await;
    assert_eq!(answer.domain.unwrap().state(), DomainState::Pending);
    let wanted = answer.findings.iter().find(|f| f.purpose() == DnsPurpose::Claim).unwrap();
    assert!(wanted.needed && wanted.expected[0].contains(&first.claim.as_ref().unwrap().txt_value));
    prove(&world, &first);
    assert_eq!(verify(&replica, "shop.test", "anna").await.domain.unwrap().state(), DomainState::Live);

    // The domain changes hands in the world: what the old owner had in it goes, the new one begins with its own.
    let old_box = create_mailbox(&replica, "user@shop.test").await;
    replica.forwards().create_forward(new_forward("f@shop.test", &["x@else.test"], false)).await.unwrap();
    let version = resolve(&replica, "user@shop.test").await.domain_version;
    prove(&world, &second);
    let answer = verify(&replica, "shop.test", "bert").await;
    let won = answer.domain.unwrap();
    assert_eq!((won.state(), won.customer.as_str()), (DomainState::Live, "bert"));
    assert_ne!(won.default_mailbox_id, first.default_mailbox_id);
    assert_ne!(won.login, first.login, "a login is never given to somebody else");
    let resolution = resolve(&replica, "user@shop.test").await;
    assert_eq!(local(&resolution).0, Some(won.default_mailbox_id));
    assert!(resolution.domain_version > version);
    assert!(
        login(&replica, "user@shop.test").await.is_none() && login(&replica, &first.login).await.is_none()
    );
    let look = postern_proto::account::v1::LookupMailboxRequest { mailbox_id: old_box.mailbox_id };
    let was = replica.directory().lookup_mailbox(look).await.unwrap().into_inner().mailbox.unwrap();
    assert!(was.removed);
    let get = GetDomainRequest { name: "shop.test".into() };
    refused(replica.domains_of("anna").get_domain(get).await, Reason::NotFound, not_hosted);
    let told = postgres.ask(
        "claims",
        "select string_agg(customer || ' ' || action || ' ' || actor_role, ', ' order by audit_id) from account.audit \
         where kind = 'domain'",
    );
    assert_eq!(
        told,
        "anna create customer, bert create customer, anna verify service, anna delete service, bert create service, \
         bert verify service"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_are_taken_back_and_inherited() {
    let (postgres, world) = (Postgres::start(), World::start().await);
    let replica = house(&postgres, &world, "heirs").await;
    for customer in ["anna", "bert", "cleo"] {
        ask_for(&replica, "shop.test", customer).await;
    }
    let remove = DeleteDomainRequest { name: "shop.test".into(), ..Default::default() };
    replica.domains_of("bert").delete_domain(remove.clone()).await.unwrap();
    let get = GetDomainRequest { name: "shop.test".into() };
    refused(replica.domains_of("bert").get_domain(get.clone()).await, Reason::NotFound, "not hosted");
    // The operator takes one back for somebody; the holder keeps the domain, and nobody else may.
    ask_for(&replica, "shop.test", "bert").await;
    let of = |claim_of: &str| DeleteDomainRequest { name: "shop.test".into(), claim_of: claim_of.into() };
    let tried = replica.domains_of("anna").delete_domain(of("bert")).await;
    refused(tried, Reason::CallerNotPermitted, "operators only");
    replica.domains().delete_domain(of("bert")).await.unwrap();
    refused(replica.domains_of("bert").get_domain(get.clone()).await, Reason::NotFound, "not hosted");
    refused(replica.domains().delete_domain(of("bert")).await, Reason::NotFound, "bert does not wait");
    refused(replica.domains().delete_domain(of("anna")).await, Reason::NotFound, "anna does not wait");
    assert_eq!(seen_by(&replica, "shop.test", "anna").await.customer, "anna");
    // The next who waits gets it when the holder goes, and has to prove it: it had another owner.
    replica.domains_of("anna").delete_domain(remove.clone()).await.unwrap();
    let inherited = seen_by(&replica, "shop.test", "cleo").await;
    assert_eq!(inherited.state(), DomainState::Pending);
    assert!(inherited.default_mailbox_id > 0 && inherited.claim.as_ref().unwrap().txt_required);
    world.add("shop.test", mx("mail.postern.test"));
    assert_eq!(verify(&replica, "shop.test", "cleo").await.domain.unwrap().state(), DomainState::Pending);
    prove(&world, &inherited);
    assert_eq!(verify(&replica, "shop.test", "cleo").await.domain.unwrap().state(), DomainState::Live);

    // The operator's word counts while nobody else holds the name.
    let live = CreateDomainRequest {
        name: "shop.test".into(),
        customer: "bert".into(),
        live: true,
        ..Default::default()
    };
    refused(replica.domains().create_domain(live).await, Reason::FailedPrecondition, "another customer");
    // A customer who goes waits for nothing any more.
    ask_for(&replica, "shop.test", "bert").await;
    let gone = DeleteCustomerRequest { login: "bert".into() };
    replica.customers().delete_customer(gone).await.unwrap();
    replica.domains_of("cleo").delete_domain(remove).await.unwrap();
    refused(replica.domains().get_domain(get).await, Reason::NotFound, "not hosted");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_race_for_a_name_one_holds_it_and_all_others_wait() {
    let (postgres, world) = (Postgres::start(), World::start().await);
    let url = postgres.database("claimrace");
    let (one, two) = tokio::join!(
        Replica::open_with(&url, false, asking(&world)),
        Replica::open_with(&url, false, asking(&world))
    );
    let customers: Vec<_> = (0..12).map(|n| format!("c{n}")).collect();
    for customer in &customers {
        one.customer(customer).await;
    }
    let tasks: Vec<_> = customers
        .iter()
        .enumerate()
        .map(|(n, customer)| {
            let replica = if n % 2 == 0 { &one } else { &two };
            let (client, customer) = (replica.domains_of(customer), customer.clone());
            tokio::spawn(async move {
                let request =
                    CreateDomainRequest { name: "race.test".into(), customer, ..Default::default() };
                let answer = crate::asking::insist(|| {
                    let (mut client, request) = (client.clone(), request.clone());
                    async move { client.create_domain(request).await }
                });
                answer.await.unwrap().into_inner().domain.unwrap()
            })
        })
        .collect();
    let (mut holders, mut tokens) = (Vec::new(), HashSet::new());
    for task in tasks {
        let domain = task.await.unwrap();
        assert!(tokens.insert(domain.claim.as_ref().unwrap().txt_value.clone()));
        match domain.state() {
            DomainState::Pending => holders.push(domain.customer),
            state => assert_eq!(state, DomainState::Claimed),
        }
    }
    assert_eq!(holders.len(), 1);

    // Several replicas see the proof of one claim, and the holder goes at the same moment: the name goes to one customer.
    let winner = customers.iter().rev().find(|customer| **customer != holders[0]).unwrap();
    let claim = seen_by(&one, "race.test", winner).await;
    prove(&world, &claim);
    let (mut leaving, mut left, mut right) =
        (one.domains_of(&holders[0]), one.domains_of(winner), two.domains_of(winner));
    let request = || VerifyDomainRequest { name: "race.test".into() };
    let _ = tokio::join!(
        leaving.delete_domain(DeleteDomainRequest { name: "race.test".into(), ..Default::default() }),
        left.verify_domain(request()),
        right.verify_domain(request()),
    );
    let settled = verify(&two, "race.test", winner).await.domain.unwrap();
    assert_eq!((settled.customer.as_str(), settled.state()), (winner.as_str(), DomainState::Pending));
    let boxes = postgres.ask(
        "claimrace",
        "select count(*) from account.mailboxes where domain = 'race.test' and removed_time is null",
    );
    assert_eq!(boxes, "1", "one default box, that of the one who has the name");
}
