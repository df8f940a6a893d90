//! Senders that we make: of forwards (SRS), of list copies and of probes (VERP). They are addresses, they lead back, and
//! nobody else can make them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern_fuzz::Dice;
use postern_mail::{
    DomainName, EmailAddress,
    rewritten_sender::{self, LIFE_DAYS, NotRestored, SenderKey},
};

#[path = "../../services/delivery/src/lists"]
mod lists {
    pub mod senders;
}
use lists::senders::{copy_sender, probe_sender};

fuzz_target!(|input: &[u8]| {
    let (mut dice, sent) = Dice::part(input);
    let Ok(text) = std::str::from_utf8(sent) else { return };
    let mut lines = text.split('\n');
    let Some(Ok(sender)) = lines.next().map(str::parse::<EmailAddress>) else { return };
    let today = 20_000 + 7 * dice.roll(256) as u64;
    rewritten(&sender, today, 1 + dice.roll(200) as u64);
    if let Some(Ok(bounces)) = lines.next().map(str::parse::<EmailAddress>) {
        of_a_list(&bounces, &sender);
    }
});

fn rewritten(sender: &EmailAddress, today: u64, later: u64) {
    let domain: DomainName = "shop.test".parse().expect("a domain");
    let (ours, others) = (SenderKey::new(&[1; 32]), SenderKey::new(&[2; 32]));
    let by_us = rewritten_sender::restore(sender, std::slice::from_ref(&ours), today);
    assert!(!matches!(by_us, Some(Ok(_))), "nobody guesses a mark");
    let Some(address) = rewritten_sender::rewrite(sender, &domain, &ours, today) else { return };
    assert!(address.domain() == &domain && rewritten_sender::is_rewritten(address.local()));
    let shown = address.to_string();
    assert_eq!(shown.parse().as_ref(), Ok(&address), "it is an address");
    let keys = [others.clone(), ours.clone()];
    let back =
        rewritten_sender::restore(&address, &keys, today).expect("of this form").expect("it leads back");
    if address.local().starts_with("SRS0=") {
        assert_eq!(&back, sender);
        let old = rewritten_sender::restore(&address, &keys, today + LIFE_DAYS + later);
        assert_eq!(old, Some(Err(NotRestored::Old)));
    } else if sender.local().get(..4).is_some_and(|word| word.eq_ignore_ascii_case("srs0")) {
        assert_eq!(back.domain(), sender.domain());
        assert!(back.local().get(4..) == sender.local().get(4..), "{back:?} {sender:?}");
    }
    let forged = rewritten_sender::restore(&address, &[others], today);
    assert_eq!(forged, Some(Err(NotRestored::Forged)));
}

fn of_a_list(bounces: &EmailAddress, member: &EmailAddress) {
    let copy = copy_sender(bounces, member);
    assert_eq!(copy.domain(), bounces.domain());
    assert_eq!(copy.to_string().parse().as_ref(), Ok(&copy), "it is an address");
    assert_eq!(copy_sender(bounces, &member.canonical()), copy, "one sender for one member");
    // Without room for a tag the list's own address stands there.
    if let Some(tag) = copy.local().strip_prefix(bounces.local()).filter(|tag| !tag.is_empty()) {
        assert!(tag.starts_with('+'));
        if let Some((local, domain)) = tag[1..].rsplit_once('=') {
            let member = member.canonical();
            assert_eq!((local, domain), (member.local(), member.domain().as_str()), "it leads back");
        }
    }
    let probe = probe_sender(bounces, "abcdefgh234567");
    assert_eq!(probe.domain(), bounces.domain());
    assert!(probe == *bounces || probe.local().ends_with("+probe-abcdefgh234567"));
    assert!(copy == *bounces || copy != probe, "no member looks like a probe");
}
