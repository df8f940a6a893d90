//! Rings in a house that is a table, with lists whose members are a table too.

use super::*;
use crate::resolver::{DomainRow, HostedDomain, ListRow};

/// `address -> targets`; an address that begins with `*@` is the default address of its domain.
fn house(rules: &[(&str, &[&str])]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for name in ["a.test", "b.test"] {
        let hosted = HostedDomain {
            state: DomainState::Pending,
            alias_of: None,
            default_mailbox_id: 1,
            default_rule: DefaultRule::Reject,
        };
        snapshot.domains.insert(name.into(), DomainRow { version: 1, hosted: Some(hosted) });
    }
    for (address, targets) in rules {
        match address.strip_prefix("*@") {
            Some(domain) => {
                let row = snapshot.domains.get_mut(domain).and_then(|row| row.hosted.as_mut()).expect(domain);
                row.default_rule = DefaultRule::Address(targets[0].into());
            }
            None => {
                let targets = targets.iter().map(|t| (*t).to_owned()).collect();
                snapshot.forwards.insert((*address).into(), ForwardRow { targets, keep_copy: false });
            }
        }
    }
    snapshot.mailboxes = HashMap::from([("box@a.test".into(), 2)]);
    snapshot
}

/// What is said of each target; lists have the members that stand here by their id.
fn walked(
    start: &Start,
    targets: &[&str],
    house: &Snapshot,
    members: &HashMap<i64, Vec<&str>>,
) -> HashMap<String, String> {
    let mut walk = Walk::new(start, targets.iter().map(|t| (*t).to_owned()).collect());
    let mut frontier = walk.roots();
    for _ in 0..EXPANSION_DEPTH_MAX {
        let (mut further, lists) = walk.next(&frontier, house.clone());
        for (list_id, from) in lists {
            for member in &members[&list_id] {
                further.extend(walk.reach(member, &from, true));
            }
        }
        frontier = further;
    }
    walk.reasons(&frontier)
}

#[test]
fn rings_are_found_and_shown() {
    let house = house(&[
        ("one@a.test", &["two@b.test", "out@else.test"]),
        ("two@b.test", &["new@a.test"]),
        ("tree@a.test", &["box@a.test", "two@else.test"]),
        ("left@a.test", &["right@a.test"]),
        ("right@a.test", &["left@a.test"]),
        ("*@b.test", &["new@a.test"]),
    ]);
    let forward = |address: &str| Start::Forward { address: address.into(), has_box: false };
    let rule = |domain: &str| Start::DefaultAddress { domain: domain.into() };
    for (start, targets, ring) in [
        (forward("new@a.test"), &["one@a.test"][..], "new@a.test -> one@a.test -> two@b.test -> new@a.test"),
        (forward("new@a.test"), &["new@a.test"], "new@a.test -> new@a.test"),
        (forward("new@a.test"), &["New+tag@A.test"], "new@a.test -> new+tag@a.test -> new@a.test"),
        (forward("new@a.test"), &["any@b.test"], "new@a.test -> any@b.test -> new@a.test"),
        (forward("new@a.test"), &["tree@a.test", "out@else.test"], ""),
        // A ring of others is theirs; the walk ends all the same.
        (forward("new@a.test"), &["left@a.test"], ""),
        (forward("one@a.test"), &["any@a.test"], ""),
        (rule("a.test"), &["any@a.test"], "*@a.test -> any@a.test -> *@a.test"),
        (rule("a.test"), &["any@b.test"], "*@a.test -> any@b.test -> new@a.test -> *@a.test"),
        (rule("a.test"), &["box@a.test"], ""),
        (rule("a.test"), &["any@else.test"], ""),
    ] {
        let said = walked(&start, targets, &house, &HashMap::new());
        let said: Vec<_> = said.into_values().collect();
        if ring.is_empty() {
            assert!(said.is_empty(), "{targets:?}: {said:?}");
        } else {
            assert_eq!(said, [format!("leads back to itself: {ring}")], "{targets:?}");
        }
    }
    let with_box = Start::Forward { address: "box@a.test".into(), has_box: true };
    assert!(walked(&with_box, &["Box@a.test", "out@else.test"], &house, &HashMap::new()).is_empty());
}

#[test]
fn rings_through_lists_are_told_for_each_member() {
    let mut house = house(&[
        ("alias@a.test", &["staff@a.test"]),
        ("far@b.test", &["alias@a.test"]),
        ("boss@a.test", &["staff-owner@a.test"]),
        ("*@b.test", &["all@a.test"]),
    ]);
    for (name, list_id, listserv) in
        [("staff", 1, None), ("all", 2, None), ("away", 3, Some("away-request@a.test"))]
    {
        let owner = if list_id == 1 { "boss@a.test" } else { "box@a.test" }.to_owned();
        let listserv = listserv.map(str::to_owned);
        house.lists.insert(format!("{name}@a.test"), ListRow { list_id, owner, listserv });
    }
    let members = HashMap::from([(1, vec!["box@a.test"]), (2, vec!["box@a.test", "staff@a.test"])]);
    let staff = Start::List { address: "staff@a.test".into(), list_id: 1 };
    let candidates = [
        "Staff@a.test",
        "staff+x@a.test",
        "far@b.test",
        "alias@a.test",
        "all@a.test",
        "nobody@b.test",
        "box@a.test",
        "staff-owner@a.test",
        "out@else.test",
    ];
    let said = walked(&staff, &candidates, &house, &members);
    for (candidate, path) in [
        ("staff@a.test", "staff@a.test -> staff@a.test"),
        ("staff+x@a.test", "staff@a.test -> staff+x@a.test -> staff@a.test"),
        ("far@b.test", "staff@a.test -> far@b.test -> alias@a.test -> staff@a.test"),
        ("alias@a.test", "staff@a.test -> alias@a.test -> staff@a.test"),
        ("all@a.test", "staff@a.test -> all@a.test -> staff@a.test"),
        ("nobody@b.test", "staff@a.test -> nobody@b.test -> all@a.test -> staff@a.test"),
    ] {
        assert_eq!(said.get(candidate), Some(&format!("leads back to itself: {path}")), "{candidate}");
    }
    assert_eq!(said.len(), 6, "{said:?}");

    // A forward to a list that has the forward as member, and the other ways around.
    let forward = Start::Forward { address: "new@a.test".into(), has_box: false };
    let members = HashMap::from([(1, vec!["new@a.test"]), (2, vec!["staff@a.test"])]);
    let said = walked(&forward, &["all@a.test"], &house, &members);
    let path = "new@a.test -> all@a.test -> staff@a.test -> new@a.test";
    assert_eq!(said["all@a.test"], format!("leads back to itself: {path}"));
    let rule = Start::DefaultAddress { domain: "a.test".into() };
    let members = HashMap::from([(1, vec!["nobody@a.test"])]);
    let said = walked(&rule, &["staff@a.test"], &house, &members);
    assert_eq!(
        said["staff@a.test"],
        "leads back to itself: *@a.test -> staff@a.test -> nobody@a.test -> *@a.test"
    );

    let owner = Start::Owner { list: "staff@a.test".parse().expect("good") };
    let said = walked(&owner, &["boss@a.test"], &house, &HashMap::new());
    assert_eq!(
        said["boss@a.test"],
        "leads back to itself: staff-owner@a.test -> boss@a.test -> staff-owner@a.test"
    );
    let listserv = Start::Listserv { list: "away@a.test".into() };
    let said = walked(&listserv, &["away-request@a.test"], &house, &HashMap::new());
    assert_eq!(
        said["away-request@a.test"],
        "leads back to itself: away@a.test -> away-request@a.test -> away@a.test"
    );
}
