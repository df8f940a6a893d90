use postern_mail::MessageId;

use super::*;

fn domain(name: &str) -> Destination {
    Destination::Domain(name.parse().expect(name))
}

fn job_of(customer: &str, lane: Lane) -> Job {
    Job {
        lane,
        customer: customer.to_owned(),
        message_id: MessageId::new(),
        message: None,
        via: None,
        rows: Vec::new(),
    }
}

fn job(customer: &str, to: &str) -> Job {
    job_of(customer, Lane::Mail(domain(to)))
}

fn copy(number: usize) -> Job {
    job_of("lister", Lane::Copies(domain(&format!("d{number}.test"))))
}

fn limits(total: usize, per_domain: usize) -> Limits {
    Limits { total, per_domain, copies_per_second: 0 }
}

/// Lets so many jobs in; how many were given back at once.
fn enter(lanes: &mut Lanes, count: usize, job: impl Fn(usize) -> Job, now: Instant) -> usize {
    (0..count).filter_map(|n| lanes.enter(job(n), now)).count()
}

fn started(lanes: &mut Lanes, now: Instant) -> Vec<String> {
    std::iter::from_fn(|| lanes.next(now)).map(|job| job.customer).collect()
}

fn nobody() -> Vec<String> {
    Vec::new()
}

/// Puts a destination on hold: all its jobs meet "later".
fn fail(lanes: &mut Lanes, to: &str, now: Instant) {
    let lane = Lane::Mail(domain(to));
    for _ in 0..10 {
        while let Some(job) = lanes.next(now) {
            lanes.ended(&job.lane, &job.customer, Some(Manners::Later), now);
        }
        if lanes.outside.pause(&lane, now) > Duration::ZERO {
            return;
        }
        lanes.enter(job("first", to), now);
    }
    panic!("{to} is not on hold");
}

#[test]
fn customers_take_turns_whoever_came_first() {
    let now = Instant::now();
    let mut lanes = Lanes::new(limits(4, 4));
    enter(&mut lanes, 400, |n| job("mass", &format!("d{n}.test")), now);
    lanes.enter(job("small", "one.test"), now);
    // Three quarters are the most that one customer gets; the other one's mail goes at once.
    assert_eq!(started(&mut lanes, now), ["mass", "small", "mass", "mass"]);
    assert_eq!(lanes.busy_customers(), ["mass"]);
    lanes.ended(&Lane::Mail(domain("one.test")), "small", Some(Manners::Takes), now);
    assert_eq!(started(&mut lanes, now), nobody());
    lanes.enter(job("other", "one.test"), now);
    lanes.enter(job("small", "two.test"), now);
    assert_eq!(started(&mut lanes, now), ["other"], "who was never served goes first");
}

#[test]
fn what_is_nobodys_has_a_quarter() {
    let now = Instant::now();
    let mut lanes = Lanes::new(limits(8, 8));
    enter(&mut lanes, 8, |n| job("", &format!("d{n}.test")), now);
    assert_eq!(started(&mut lanes, now).len(), 2);
    assert_eq!(lanes.busy_customers(), [""]);
}

#[test]
fn one_destination_that_is_down_stands_in_nobodys_way() {
    let now = Instant::now();
    let mut lanes = Lanes::new(limits(100, 20));
    fail(&mut lanes, "down.test", now);
    for customer in ["a", "b", "c", "d"] {
        assert_eq!(enter(&mut lanes, 500, |_| job(customer, "down.test"), now), 500);
    }
    assert_eq!(lanes.busy_customers(), nobody());
    assert!(lanes.enter(job("other", "fine.test"), now).is_none());
    assert!(lanes.enter(job("a", "fine.test"), now).is_none());
    assert_eq!(started(&mut lanes, now), ["a", "other"]);
}

#[test]
fn what_waits_for_a_destination_that_goes_down_is_given_back_until_it_may_be_tried() {
    let now = Instant::now();
    let mut lanes = Lanes::new(limits(100, 4));
    enter(&mut lanes, 20, |_| job("one", "slow.test"), now);
    lanes.enter(job("one", "fast.test"), now);
    assert_eq!(started(&mut lanes, now).len(), 5);
    let lane = Lane::Mail(domain("slow.test"));
    let given_back: Vec<GivenBack> =
        (0..4).flat_map(|_| lanes.ended(&lane, "one", Some(Manners::Later), now)).collect();
    assert_eq!(given_back.len(), 16);
    assert_eq!(given_back.last().map(|back| back.pause), Some(Duration::from_secs(1)));
    assert_eq!(lanes.wanted_of_domains(now).iter().filter(|(name, _)| name == "slow.test").count(), 1);
    assert!(lanes.wanted_of_domains(now).contains(&("slow.test".to_owned(), 0)));
    assert!(!lanes.wants_left(now), "it is on hold");
    let later = now + Duration::from_secs(2);
    assert!(lanes.next_release(now, true).is_some_and(|look| look < later));
    assert!(lanes.wants_left(later));
    assert!(!lanes.wanted_of_domains(later).contains(&("slow.test".to_owned(), 0)));
    enter(&mut lanes, 3, |_| job("one", "slow.test"), later);
    assert_eq!(started(&mut lanes, later).len(), 1);
    lanes.ended(&lane, "one", Some(Manners::Takes), later);
    assert_eq!(started(&mut lanes, later).len(), 2, "it recovers");
}

#[test]
fn whoever_has_most_places_gives_way() {
    let now = Instant::now();
    let mut lanes = Lanes::new(limits(1, 1));
    lanes.enter(job("small", "busy.test"), now);
    assert_eq!(started(&mut lanes, now), ["small"]);
    let full = PENDING_MAX + 7;
    assert_eq!(enter(&mut lanes, full, |n| job("mass", &format!("d{n}.test")), now), 7);
    for n in 0..10 {
        let gave_way = lanes.enter(job("small", &format!("s{n}.test")), now).expect("there was no place");
        assert_eq!(gave_way.job.customer, "mass");
    }
    assert_eq!(lanes.pending(), PENDING_MAX);
    lanes.ended(&Lane::Mail(domain("busy.test")), "small", Some(Manners::Takes), now);
    assert_eq!(started(&mut lanes, now), ["mass"]);
}

#[test]
fn who_comes_later_stands_behind_what_is_in_postgres() {
    let now = Instant::now();
    let mut lanes = Lanes::new(limits(100, 2));
    let lane = Lane::Mail(domain("busy.test"));
    // Two run, twenty may wait.
    enter(&mut lanes, 2, |_| job("a", "busy.test"), now);
    assert_eq!(started(&mut lanes, now).len(), 2);
    assert_eq!(enter(&mut lanes, 25, |_| job("a", "busy.test"), now), 5);
    lanes.ended(&lane, "a", Some(Manners::Takes), now);
    assert_eq!(started(&mut lanes, now), ["a"]);
    assert_eq!(enter(&mut lanes, 1, |_| job("a", "busy.test"), now), 1, "others came before it");
    assert!(!lanes.wants_left(now));
    // When nearly nothing waits any more it is time to look for them.
    (0..20).for_each(|_| {
        lanes.ended(&lane, "a", Some(Manners::Takes), now);
        started(&mut lanes, now);
    });
    let later = now + LOOK_EVERY;
    assert!(lanes.wants_left(later));
    assert_eq!(enter(&mut lanes, 1, |_| job("a", "busy.test"), later), 0);
}

#[test]
fn destinations_are_forgotten() {
    let now = Instant::now();
    let mut lanes = Lanes::new(limits(100, 20));
    for n in 0..50 {
        fail(&mut lanes, &format!("d{n}.test"), now);
    }
    assert_eq!(lanes.outside.known(), 50);
    let later = now + Duration::from_secs(3700);
    fail(&mut lanes, "last.test", later);
    assert_eq!(lanes.outside.known(), 1);
}

#[test]
fn posts_leave_room_for_other_errands_and_these_for_posts() {
    let now = Instant::now();
    let mut lanes = Lanes::new(limits(10, 10));
    // Two run, of two customers; another replica may do the others.
    assert_eq!(enter(&mut lanes, 5, |_| job_of("lister", Lane::Post), now), 4);
    assert_eq!(lanes.posting_customers(), ["lister"]);
    assert_eq!(enter(&mut lanes, 5, |n| job_of(&format!("l{n}"), Lane::Post), now), 4);
    assert_eq!(started(&mut lanes, now).len(), 2);
    assert_eq!(lanes.posts_room(), 0);
    lanes.enter(job_of("mass", Lane::Errand), now);
    assert_eq!(started(&mut lanes, now), ["mass"]);
    assert_eq!(enter(&mut lanes, 50, |_| job_of("mass", Lane::Errand), now), 10);
    lanes.ended(&Lane::Errand, "mass", None, now);
    assert_eq!(started(&mut lanes, now).len(), 2);
    // A post ends, and errands never: there is room for a post all the same.
    lanes.ended(&Lane::Post, "lister", None, now);
    assert_eq!(started(&mut lanes, now), ["mass"]);
    lanes.ended(&Lane::Post, "l0", None, now);
    assert_eq!(lanes.posting_customers().len(), 2, "others come first");
    assert!(lanes.begin_turns() && !lanes.begin_turns());
    assert_eq!(lanes.posting_customers(), nobody());
    assert!(lanes.wants_left(now + LOOK_EVERY), "posts were left");
    lanes.enter(job_of("other", Lane::Post), now);
    assert_eq!(started(&mut lanes, now), ["other"]);
}

#[test]
fn customers_take_turns_at_errands() {
    let now = Instant::now();
    let mut lanes = Lanes::new(limits(10, 10));
    enter(&mut lanes, 20, |_| job_of("mass", Lane::Errand), now);
    lanes.enter(job_of("small", Lane::Errand), now);
    assert_eq!(started(&mut lanes, now), ["mass", "small", "mass"]);
}

#[test]
fn copies_of_lists_are_asked_for_by_the_dozen() {
    let now = Instant::now();
    let mut lanes = Lanes::new(Limits { copies_per_second: 50, ..limits(100, 100) });
    assert_eq!(lanes.copies_room(now), 50);
    enter(&mut lanes, 25, copy, now);
    assert_eq!(lanes.copies_room(now), 25, "half of the room");
    lanes.enter(copy(25), now);
    assert_eq!(lanes.copies_room(now), 0);
    assert_eq!(started(&mut lanes, now), ["lister"]);
    assert_eq!(lanes.copies_room(now), 0, "25 of 49 wait");
    let later = now + Duration::from_millis(20);
    assert_eq!(started(&mut lanes, later), ["lister"]);
    assert_eq!(lanes.copies_room(later), 24);
}

#[test]
fn mail_and_lists_of_one_customer_leave_a_quarter_to_the_others() {
    let now = Instant::now();
    let mut lanes = Lanes::new(limits(8, 8));
    enter(&mut lanes, 8, |n| job("lister", &format!("m{n}.test")), now);
    enter(&mut lanes, 8, copy, now);
    assert_eq!(started(&mut lanes, now).len(), 6, "mail has what it may have, its copies wait");
    assert_eq!(lanes.busy_customers(), ["lister"]);
    assert_eq!(lanes.copies_room(now), 2, "they keep no other list's copies away");
    lanes.enter(job_of("other", Lane::Copies(domain("d0.test"))), now);
    assert_eq!(started(&mut lanes, now), ["other"]);
    // Copies alone have three quarters of the half that copies may have, and leave the rest of their customer's share to its mail.
    let mut lanes = Lanes::new(limits(8, 8));
    enter(&mut lanes, 8, copy, now);
    assert_eq!(started(&mut lanes, now).len(), 3);
    assert_eq!(lanes.busy_with_copies(), ["lister"], "no more of them are asked for");
    assert_eq!(lanes.busy_customers(), nobody());
    enter(&mut lanes, 8, |n| job("lister", &format!("m{n}.test")), now);
    assert_eq!(started(&mut lanes, now).len(), 3);
    assert_eq!(lanes.busy_customers(), ["lister"]);
}

#[test]
fn copies_for_slow_destinations_keep_no_others_away() {
    let now = Instant::now();
    let mut lanes = Lanes::new(limits(20, 2));
    let slow = |n: usize| job_of("lister", Lane::Copies(domain(&format!("slow{}.test", n % 5))));
    enter(&mut lanes, 50, slow, now);
    assert_eq!(started(&mut lanes, now).len(), 5, "one copy each");
    assert_eq!(lanes.copies_room(now), 5, "the others wait for their hosts");
}

#[test]
fn copies_of_lists_trickle_and_mail_goes_by() {
    let now = Instant::now();
    let mut lanes = Lanes::new(Limits { copies_per_second: 50, ..limits(100, 100) });
    enter(&mut lanes, 40, copy, now);
    assert_eq!(started(&mut lanes, now), ["lister"]);
    lanes.enter(job("other", "one.test"), now);
    assert_eq!(started(&mut lanes, now), ["other"]);
    let next = lanes.next_release(now, true).expect("the next copy");
    assert_eq!(next - now, Duration::from_millis(20));
    assert_eq!(started(&mut lanes, next), ["lister"]);
}

#[test]
fn copies_that_wait_take_no_place_of_mail() {
    let now = Instant::now();
    let mut lanes = Lanes::new(Limits { copies_per_second: 1, ..limits(100, 4) });
    let to_one = |_| job_of("lister", Lane::Copies(domain("one.test")));
    assert_eq!(enter(&mut lanes, 30, to_one, now), 10);
    assert_eq!(started(&mut lanes, now), ["lister"]);
    assert_eq!(lanes.wanted_of_domains(now), [("one.test".to_owned(), 40)]);
    assert_eq!(enter(&mut lanes, 40, |_| job("other", "one.test"), now), 0);
    assert_eq!(started(&mut lanes, now).len(), 3);
}
