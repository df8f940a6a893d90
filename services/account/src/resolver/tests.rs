//! The resolver against a table by hand, and against a plain model over random tables.

use proptest::prelude::*;

use super::*;

const BOX_ID: i64 = 7;

fn hosted(state: DomainState, default_rule: DefaultRule) -> DomainRow {
    let hosted = HostedDomain { state, alias_of: None, default_mailbox_id: BOX_ID, default_rule };
    DomainRow { version: 5, hosted: Some(hosted) }
}

fn sender_key() -> SenderKey {
    SenderKey::new(&[7; 32])
}

fn house(default_rule: DefaultRule) -> Snapshot {
    let forward = |targets: &[&str], keep_copy| ForwardRow {
        targets: targets.iter().map(|t| (*t).to_owned()).collect(),
        keep_copy,
    };
    Snapshot {
        sender_keys: vec![sender_key()],
        today: 20_000,
        mailboxes: HashMap::from([
            ("user@x.test".into(), 1),
            ("kept@x.test".into(), 2),
            ("gone@x.test".into(), 3),
            ("self@x.test".into(), 4),
        ]),
        forwards: HashMap::from([
            ("alias@x.test".into(), forward(&["user@x.test"], false)),
            ("kept@x.test".into(), forward(&["out@else.test"], true)),
            ("gone@x.test".into(), forward(&["out@else.test"], false)),
            ("self@x.test".into(), forward(&["Self@x.test", "out@else.test"], false)),
            ("a+b@x.test".into(), forward(&["tagged@else.test"], false)),
        ]),
        lists: HashMap::from([
            ("staff@x.test".into(), ListRow { list_id: 8, owner: "Boss@else.test".into(), listserv: None }),
            (
                "away@x.test".into(),
                ListRow { list_id: 9, owner: "b@else.test".into(), listserv: Some("l@lists.test".into()) },
            ),
        ]),
        autoresponders: [("user", 21, true), ("alias", 22, false), ("alone", 23, true), ("later", 24, false)]
            .map(|(name, autoresponder_id, started)| {
                (format!("{name}@x.test"), AutoresponderRow { autoresponder_id, started })
            })
            .into(),
        domains: HashMap::from([
            ("x.test".into(), hosted(DomainState::Live, default_rule)),
            ("pending.test".into(), hosted(DomainState::Pending, DefaultRule::Box)),
            ("lost.test".into(), hosted(DomainState::Lost, DefaultRule::Box)),
            ("removed.test".into(), DomainRow { version: 9, hosted: None }),
        ]),
        full: HashSet::new(),
    }
}

/// The outcome in one short line.
fn shown(address: &str, snapshot: &Snapshot) -> String {
    let resolution = resolve(&Question::new(&address.parse().expect(address)), snapshot);
    let outcome = match resolution.outcome.expect("always answered") {
        Outcome::Remote(_) => "remote".to_owned(),
        Outcome::NotLive(_) => "not live".to_owned(),
        Outcome::Unknown(_) => "unknown".to_owned(),
        Outcome::Discard(_) => "discard".to_owned(),
        Outcome::Local(local) => {
            let matched = local.r#match().as_str_name().trim_start_matches("MATCH_KIND_").to_owned();
            let mailbox = local.mailbox.map_or("-".to_owned(), |m| m.mailbox_id.to_string());
            let mut said = format!("{matched} {mailbox} {}", local.forward_targets.join(","));
            if let Some(list) = &local.list {
                let role = list.role().as_str_name().trim_start_matches("LIST_ADDRESS_").to_owned();
                said = format!("{} list {} {} {role} {}", said.trim(), list.list_id, list.address, list.tag);
            }
            if local.autoresponder_id != 0 {
                said = format!("{} answer {}", said.trim(), local.autoresponder_id);
            }
            said.trim().to_owned()
        }
    };
    format!("{} v{}", outcome.trim(), resolution.domain_version)
}

#[test]
fn explicit_addresses_win_whatever_the_rule() {
    for rule in [
        DefaultRule::Box,
        DefaultRule::Reject,
        DefaultRule::Discard,
        DefaultRule::Address("t@else.test".into()),
    ] {
        let snapshot = house(rule);
        for (address, outcome) in [
            ("user@x.test", "EXACT 1 answer 21 v5"),
            ("USER@X.test", "EXACT 1 answer 21 v5"),
            ("\"user\"@x.test", "EXACT 1 answer 21 v5"),
            ("user+tag@x.test", "SUB_ADDRESS 1 answer 21 v5"),
            ("user+tag+more@x.test", "SUB_ADDRESS 1 answer 21 v5"),
            ("alias@x.test", "EXACT - user@x.test answer 22 v5"),
            ("alias+tag@x.test", "SUB_ADDRESS - user@x.test answer 22 v5"),
            ("alone@x.test", "EXACT - answer 23 v5"),
            ("alone+tag@x.test", "SUB_ADDRESS - answer 23 v5"),
            ("Staff@x.test", "EXACT - list 8 staff@x.test POST v5"),
            ("staff+Tag@x.test", "SUB_ADDRESS - list 8 staff@x.test POST Tag v5"),
            ("staff-subscribe@x.test", "LIST_COMMAND - list 8 staff@x.test SUBSCRIBE v5"),
            ("STAFF-unsubscribe@x.test", "LIST_COMMAND - list 8 staff@x.test UNSUBSCRIBE v5"),
            ("staff-request+AbC@x.test", "LIST_COMMAND - list 8 staff@x.test REQUEST AbC v5"),
            ("staff-bounces+a=b.test@x.test", "LIST_COMMAND - list 8 staff@x.test BOUNCES a=b.test v5"),
            ("staff-owner@x.test", "LIST_COMMAND - Boss@else.test v5"),
            ("staff-owner+tag@x.test", "LIST_COMMAND - Boss@else.test v5"),
            ("away@x.test", "EXACT - l@lists.test v5"),
            ("away+tag@x.test", "SUB_ADDRESS - l@lists.test v5"),
            ("away-owner@x.test", "LIST_COMMAND - l@lists.test v5"),
            ("away-request@x.test", "LIST_COMMAND - l@lists.test v5"),
            ("kept@x.test", "EXACT 2 out@else.test v5"),
            ("gone@x.test", "EXACT - out@else.test v5"),
            ("self@x.test", "EXACT 4 out@else.test v5"),
            ("a+b@x.test", "EXACT - tagged@else.test v5"),
            ("postmaster@x.test", "ROLE 7 v5"),
            ("Abuse@x.test", "ROLE 7 v5"),
            ("user@pending.test", "not live v5"),
            ("postmaster@lost.test", "not live v5"),
            ("user@removed.test", "remote v9"),
            ("user@else.test", "remote v0"),
        ] {
            assert_eq!(shown(address, &snapshot), outcome, "{address}");
        }
    }
}

#[test]
fn the_rule_takes_the_rest() {
    for (rule, outcome) in [
        (DefaultRule::Box, "DEFAULT 7 v5"),
        (DefaultRule::Reject, "unknown v5"),
        (DefaultRule::Discard, "discard v5"),
        (DefaultRule::Address("t@else.test".into()), "DEFAULT - t@else.test v5"),
    ] {
        let snapshot = house(rule);
        for address in [
            "nobody@x.test",
            "nobody+tag@x.test",
            "+user@x.test",
            "postmaster+tag@x.test",
            // An autoresponder alone that has not begun takes nothing yet.
            "later@x.test",
            "nobody-subscribe@x.test",
            "user-owner@x.test",
            "staff-owners@x.test",
        ] {
            assert_eq!(shown(address, &snapshot), outcome, "{address}");
        }
    }
}

#[test]
fn a_role_with_an_address_of_its_own_goes_there() {
    let mut snapshot = house(DefaultRule::Reject);
    snapshot.mailboxes.insert("abuse@x.test".into(), 44);
    assert_eq!(shown("abuse@x.test", &snapshot), "EXACT 44 v5");
}

/// What a customer did, in the order done.
#[derive(Clone, Debug)]
enum Setting {
    Mailbox { name: String, id: i64 },
    Forward { name: String, target: String, keep_copy: bool },
    Rule(DefaultRule),
}

fn setting() -> impl Strategy<Value = Setting> {
    let name =
        || proptest::sample::select(vec!["a", "b", "a+t", "postmaster", "abuse"]).prop_map(str::to_owned);
    let rule = proptest::sample::select(vec![
        DefaultRule::Box,
        DefaultRule::Reject,
        DefaultRule::Discard,
        DefaultRule::Address("catch@else.test".into()),
    ]);
    prop_oneof![
        (name(), 10..99_i64).prop_map(|(name, id)| Setting::Mailbox { name, id }),
        (name(), "[p-r]@else\\.test", any::<bool>()).prop_map(|(name, target, keep_copy)| Setting::Forward {
            name,
            target,
            keep_copy
        }),
        rule.prop_map(Setting::Rule),
    ]
}

/// The promise in plain words: the last setting of a kind counts, kinds are asked in the order of the promise.
fn model(settings: &[Setting], local: &str) -> String {
    let mailbox = |wanted: &str| {
        settings.iter().rev().find_map(|s| match s {
            Setting::Mailbox { name, id } if name == wanted => Some(*id),
            _ => None,
        })
    };
    let forward = |wanted: &str| {
        settings.iter().rev().find_map(|s| match s {
            Setting::Forward { name, target, keep_copy } if name == wanted => {
                Some((target.clone(), *keep_copy))
            }
            _ => None,
        })
    };
    let by_name = |wanted: &str, kind: &str| match (mailbox(wanted), forward(wanted)) {
        (None, None) => None,
        (Some(id), None) => Some(format!("{kind} {id}")),
        (None, Some((target, _))) => Some(format!("{kind} - {target}")),
        (Some(id), Some((target, true))) => Some(format!("{kind} {id} {target}")),
        (Some(_), Some((target, false))) => Some(format!("{kind} - {target}")),
    };
    let tagless = local.split('+').next().unwrap_or_default();
    let by_tag = || if local.contains('+') { by_name(tagless, "SUB_ADDRESS") } else { None };
    let by_role = || ["postmaster", "abuse"].contains(&local).then(|| format!("ROLE {BOX_ID}"));
    let by_rule = || {
        let last =
            settings.iter().rev().find_map(|s| if let Setting::Rule(rule) = s { Some(rule) } else { None });
        match last.unwrap_or(&DefaultRule::Box) {
            DefaultRule::Box => format!("DEFAULT {BOX_ID}"),
            DefaultRule::Reject => "unknown".to_owned(),
            DefaultRule::Discard => "discard".to_owned(),
            DefaultRule::Address(target) => format!("DEFAULT - {target}"),
        }
    };
    by_name(local, "EXACT").or_else(by_tag).or_else(by_role).unwrap_or_else(by_rule) + " v5"
}

fn table_of(settings: &[Setting]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let mut rule = DefaultRule::Box;
    for setting in settings {
        match setting.clone() {
            Setting::Mailbox { name, id } => {
                snapshot.mailboxes.insert(format!("{name}@x.test"), id);
            }
            Setting::Forward { name, target, keep_copy } => {
                let row = ForwardRow { targets: vec![target], keep_copy };
                snapshot.forwards.insert(format!("{name}@x.test"), row);
            }
            Setting::Rule(new) => rule = new,
        }
    }
    snapshot.domains.insert("x.test".into(), hosted(DomainState::Live, rule));
    snapshot
}

proptest! {
    #[test]
    fn explicit_beats_catch_all_in_any_order(
        settings in proptest::collection::vec(setting(), 0..12).prop_shuffle(),
        local in proptest::sample::select(vec!["a", "b", "c", "a+t", "a+u", "b+t", "c+t", "postmaster", "abuse", "abuse+t"]),
    ) {
        let snapshot = table_of(&settings);
        prop_assert_eq!(shown(&format!("{local}@x.test"), &snapshot), model(&settings, local));
    }
}

#[test]
fn f_01_a_rewritten_sender_leads_back_before_all_else_or_nowhere() {
    let rewritten = |day| {
        let sender = "Anna.B@far.test".parse().expect("an address");
        let domain = "x.test".parse().expect("a domain");
        postern_mail::rewritten_sender::rewrite(&sender, &domain, &sender_key(), day).expect("it fits")
    };
    for rule in [DefaultRule::Box, DefaultRule::Discard] {
        let house = house(rule);
        let outcome = |address: &EmailAddress| resolve(&Question::new(address), &house).outcome;
        match outcome(&rewritten(20_000)) {
            Some(Outcome::Local(local)) => {
                assert_eq!(local.forward_targets, ["Anna.B@far.test"]);
                assert_eq!(local.r#match(), MatchKind::RewrittenSender);
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(outcome(&rewritten(19_992)), Some(Outcome::Unknown(_))), "too old");
        let forged = rewritten(20_000).to_string().replace("Anna", "Bert").parse().expect("an address");
        assert!(matches!(outcome(&forged), Some(Outcome::Unknown(_))), "forged");
    }
}
