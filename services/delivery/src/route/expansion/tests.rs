//! Routing over tables, and over random ones.

use postern_proto::account::v1::{
    DiscardOutcome, ListAddress, LocalList, LocalMailbox, LocalOutcome, NotLiveOutcome, RemoteOutcome,
    UnknownOutcome,
};
use proptest::prelude::*;

use super::*;

type Table = HashMap<EmailAddress, Resolution>;

fn address(text: &str) -> EmailAddress {
    text.parse().expect(text)
}

fn resolution(outcome: Outcome) -> Resolution {
    Resolution { outcome: Some(outcome), ..Resolution::default() }
}

fn local(mailbox_id: Option<i64>, name: &str, targets: &[&str]) -> Resolution {
    resolution(Outcome::Local(LocalOutcome {
        mailbox: mailbox_id.map(|mailbox_id| LocalMailbox {
            mailbox_id,
            address: name.to_owned(),
            full: false,
        }),
        forward_targets: targets.iter().map(|t| (*t).to_owned()).collect(),
        ..LocalOutcome::default()
    }))
}

/// Whoever is not in the table: `@x.test` is unknown, everything else remote.
fn look_up(table: &Table, wanted: &EmailAddress) -> Resolution {
    table.get(wanted).cloned().unwrap_or_else(|| {
        resolution(if wanted.domain().as_str() == "x.test" {
            Outcome::Unknown(UnknownOutcome {})
        } else {
            Outcome::Remote(RemoteOutcome {})
        })
    })
}

fn run(table: &Table, recipients: &[&str], may_relay: bool, seen: &[&str]) -> Result<Plan, Reason> {
    let recipients: Vec<_> = recipients.iter().map(|r| address(r)).collect();
    let seen: Vec<_> = seen.iter().map(|r| address(r)).collect();
    let mut expansion = Expansion::begin(&recipients, may_relay, &seen);
    for _round in 0..100 {
        let wanted = expansion.wanted();
        if wanted.is_empty() {
            return expansion.finish();
        }
        let answers: Vec<_> = wanted.iter().map(|w| (w, look_up(table, w))).collect();
        expansion.take(answers.iter().map(|(address, resolution)| (*address, resolution)));
    }
    panic!("the expansion does not end");
}

fn table(rows: &[(&str, Resolution)]) -> Table {
    rows.iter().map(|(name, resolution)| (address(name), resolution.clone())).collect()
}

/// `#1` box, `>a via b` remote, `!a reason` failed, `~n` discarded.
fn show(plan: &Plan) -> String {
    let mut words: Vec<String> = plan.entries.iter().map(|e| format!("#{}", e.mailbox_id)).collect();
    for remote in &plan.queue {
        let via = remote.via.as_ref().map(|via| format!(" via {via}")).unwrap_or_default();
        words.push(format!(">{}{via}", remote.recipient));
    }
    for errand in &plan.errands {
        let note = errand.note.as_ref().map(|note| format!(" {note}")).unwrap_or_default();
        words.push(format!("={:?} {} {}{note}", errand.class, errand.subject_id, errand.recipient));
    }
    words.extend(plan.list_bounces.iter().map(|bounce| format!("<{} {}", bounce.list_id, bounce.member)));
    words.extend(plan.failed.iter().map(|f| format!("!{} {}", f.recipient, f.reason.name())));
    if plan.discarded > 0 {
        words.push(format!("~{}", plan.discarded));
    }
    words.join(", ")
}

/// One of a list's addresses, or an autoresponder.
fn errand(role: ListAddress, id: i64, tag: &str) -> Resolution {
    let list = LocalList { list_id: id, role: role.into(), tag: tag.to_owned(), ..LocalList::default() };
    resolution(Outcome::Local(LocalOutcome { list: Some(list), ..LocalOutcome::default() }))
}

fn answered(autoresponder_id: i64, mut resolution: Resolution) -> Resolution {
    if let Some(Outcome::Local(local)) = &mut resolution.outcome {
        local.autoresponder_id = autoresponder_id;
    }
    resolution
}

#[test]
fn errands_are_planned_once() {
    let table = table(&[
        ("list@x.test", errand(ListAddress::Post, 7, "")),
        ("list-request@x.test", errand(ListAddress::Request, 7, "")),
        ("list-request+abc@x.test", errand(ListAddress::Request, 7, "abc")),
        ("list-subscribe@x.test", errand(ListAddress::Subscribe, 7, "")),
        ("list-bounces+a=b.test@x.test", errand(ListAddress::Bounces, 7, "a=b.test")),
        ("odd@x.test", errand(ListAddress::Unspecified, 7, "")),
        ("tolist@x.test", local(None, "", &["list@x.test", "box@x.test"])),
        ("box@x.test", answered(3, local(Some(1), "box@x.test", &[]))),
        ("away@x.test", answered(4, local(None, "", &[]))),
    ]);
    for (recipients, expected) in [
        (&["list@x.test"][..], "=ListPost 7 list@x.test"),
        (&["list@x.test", "tolist@x.test"], "#1, =ListPost 7 list@x.test, =Autoreply 3 box@x.test"),
        (
            &["list-request@x.test", "list-request+abc@x.test"],
            "=ListRequest 7 list-request@x.test, =ListRequest 7 list-request+abc@x.test abc",
        ),
        (&["list-subscribe@x.test"], "=ListSubscribe 7 list-subscribe@x.test"),
        (&["list-bounces+a=b.test@x.test"], "<7 a=b.test"),
        (&["away@x.test"], "=Autoreply 4 away@x.test"),
    ] {
        let plan = run(&table, recipients, false, &[]).expect("plan");
        assert_eq!(show(&plan), expected, "{recipients:?}");
    }
    // A directory that is newer than we are: later, by somebody who knows.
    assert_eq!(run(&table, &["odd@x.test"], false, &[]), Err(Reason::Unavailable));
}

#[test]
fn plans() {
    let table = table(&[
        ("box@x.test", local(Some(1), "box@x.test", &[])),
        ("box+tag@x.test", local(Some(1), "box@x.test", &[])),
        ("alias@x.test", local(None, "", &["box@x.test"])),
        ("both@x.test", local(Some(2), "both@x.test", &["out@far.test", "box@x.test"])),
        ("self@x.test", local(Some(3), "self@x.test", &["self@x.test"])),
        ("ping@x.test", local(None, "", &["pong@x.test"])),
        ("pong@x.test", local(None, "", &["ping@x.test"])),
        ("dead@x.test", local(None, "", &["nobody@x.test"])),
        ("odd@x.test", local(None, "", &["not an address"])),
        ("hole@x.test", resolution(Outcome::Discard(DiscardOutcome {}))),
        ("later@x.test", resolution(Outcome::NotLive(NotLiveOutcome {}))),
        ("tolater@x.test", local(None, "", &["later@x.test"])),
    ]);
    for (recipients, may_relay, seen, expected) in [
        (&["box@x.test"][..], false, &[][..], "#1"),
        (&["box@x.test", "box@x.test", "box+tag@x.test", "alias@x.test"], false, &[], "#1"),
        (&["both@x.test"], false, &[], "#1, #2, >out@far.test via both@x.test"),
        (&["both@x.test", "out@far.test"], true, &[], "#1, #2, >out@far.test"),
        (&["out@far.test"], false, &[], "!out@far.test RELAY_PROHIBITED"),
        (&["out@far.test", "Out@far.test"], true, &[], ">Out@far.test, >out@far.test"),
        (&["nobody@x.test", "box@x.test"], false, &[], "#1, !nobody@x.test NO_SUCH_MAILBOX"),
        (&["self@x.test"], false, &[], "#3"),
        (&["ping@x.test"], false, &[], "!ping@x.test MAIL_LOOP"),
        (
            &["ping@x.test", "pong@x.test", "box@x.test"],
            false,
            &[],
            "#1, !ping@x.test MAIL_LOOP, !pong@x.test MAIL_LOOP",
        ),
        (&["dead@x.test"], false, &[], "!nobody@x.test NO_SUCH_MAILBOX"),
        (&["odd@x.test"], false, &[], "!odd@x.test BAD_RECIPIENT_ADDRESS"),
        (&["hole@x.test", "box@x.test"], false, &[], "#1, ~1"),
        (&["later@x.test"], true, &[], ">later@x.test"),
        (&["tolater@x.test"], false, &[], ">later@x.test via tolater@x.test"),
        // It comes back from outside: stopped (F-03).
        (&["both@x.test"], false, &["Both@x.test"], "!both@x.test MAIL_LOOP"),
        (&["both@x.test"], false, &["other@x.test"], "#1, #2, >out@far.test via both@x.test"),
    ] {
        let plan = run(&table, recipients, may_relay, seen).expect("plan");
        assert_eq!(show(&plan), expected, "{recipients:?}");
    }
}

#[test]
fn what_cannot_be_known_now_is_temporary() {
    let table = table(&[
        ("later@x.test", resolution(Outcome::NotLive(NotLiveOutcome {}))),
        ("blank@x.test", Resolution::default()),
    ]);
    for (recipient, reason) in
        [("later@x.test", Reason::DomainNotLive), ("blank@x.test", Reason::Unavailable)]
    {
        assert_eq!(run(&table, &[recipient], false, &[]), Err(reason));
        assert_eq!(reason.verdict(), postern_mail::Verdict::Temporary);
    }
}

#[test]
fn f_04_depth_and_breadth_are_bounded() {
    let chain: Vec<String> = (0..20).map(|n| format!("c{n}@x.test")).collect();
    let mut rows: Table =
        chain.windows(2).map(|pair| (address(&pair[0]), local(None, "", &[&pair[1]]))).collect();
    let plan = run(&rows, &["c0@x.test"], false, &[]).expect("plan");
    assert_eq!(show(&plan), "!c11@x.test MAIL_LOOP");

    let many: Vec<String> = (0..999).map(|n| format!("m{n}@far.test")).collect();
    let targets: Vec<&str> = many.iter().map(String::as_str).collect();
    rows.insert(address("list@x.test"), local(None, "", &targets));
    assert_eq!(run(&rows, &["list@x.test"], false, &[]).expect("plan").queue.len(), 999);
    let more: Vec<&str> = targets.iter().copied().chain(["one@far.test", "two@far.test"]).collect();
    rows.insert(address("bomb@x.test"), local(Some(7), "bomb@x.test", &more));
    rows.insert(address("box@x.test"), local(Some(1), "box@x.test", &[]));
    let plan = run(&rows, &["bomb@x.test", "box@x.test"], false, &[]).expect("plan");
    assert_eq!(show(&plan), "#1, !bomb@x.test MAIL_LOOP");
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        (0u8..8).prop_map(|n| format!("n{n}@x.test")),
        (0u8..3).prop_map(|n| format!("r{n}@far.test"))
    ]
}

fn any_table() -> impl Strategy<Value = Table> {
    let row = (proptest::option::of(1i64..5), proptest::collection::vec(name(), 0..4));
    proptest::collection::hash_map((0u8..8).prop_map(|n| format!("n{n}@x.test")), row, 0..8).prop_map(
        |rows| {
            rows.into_iter()
                .map(|(name, (mailbox, targets))| {
                    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
                    (address(&name), local(mailbox, &name, &targets))
                })
                .collect()
        },
    )
}

proptest! {
    #[test]
    fn ends_without_duplicates_and_loses_nobody(
        table in any_table(),
        recipients in proptest::collection::vec(name(), 1..6),
        may_relay in any::<bool>(),
    ) {
        let given: Vec<&str> = recipients.iter().map(String::as_str).collect();
        let plan = run(&table, &given, may_relay, &[]).expect("plan");
        let boxes: HashSet<_> = plan.entries.iter().map(|e| e.mailbox_id).collect();
        prop_assert_eq!(boxes.len(), plan.entries.len());
        let remotes: HashSet<_> = plan.queue.iter().map(|r| &r.recipient).collect();
        prop_assert_eq!(remotes.len(), plan.queue.len());
        for one in &given {
            let alone = run(&table, &[one], may_relay, &[]).expect("plan");
            prop_assert!(!(alone.entries.is_empty() && alone.queue.is_empty() && alone.failed.is_empty()), "{} is lost", one);
            // What one recipient leads to does not depend on the others.
            for entry in &alone.entries { prop_assert!(boxes.contains(&entry.mailbox_id)); }
            for remote in &alone.queue { prop_assert!(remotes.contains(&remote.recipient)); }
        }
        for failed in &plan.failed {
            prop_assert_eq!(failed.reason.verdict(), postern_mail::Verdict::Permanent);
        }
    }

    #[test]
    fn order_does_not_matter(
        table in any_table(),
        recipients in proptest::collection::vec(name(), 1..6).prop_shuffle(),
        may_relay in any::<bool>(),
    ) {
        let given: Vec<&str> = recipients.iter().map(String::as_str).collect();
        let mut turned = given.clone();
        turned.reverse();
        prop_assert_eq!(run(&table, &given, may_relay, &[]), run(&table, &turned, may_relay, &[]));
    }
}
