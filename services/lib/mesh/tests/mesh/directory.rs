//! The cached directory against a fake DirectoryService in the same process: what is kept, and when it is not used.

use std::time::Duration;

use postern_mail::EmailAddress;
use postern_mesh::{
    client::MeshChannel,
    directory::{Directory, DirectoryEvent},
    identity::MeshKey,
    settings::MeshSettings,
    shutdown::Shutdown,
};
use postern_proto::account::v1::{Beat, Reset, watch_changes_response::Event};
use tokio::sync::broadcast::Receiver;

use crate::fake::FakeDirectory;

struct House {
    fake: FakeDirectory,
    directory: Directory,
    changes: Receiver<DirectoryEvent>,
    _shutdown: Shutdown,
}

impl House {
    /// A watched directory that has not beaten yet; the first Reset is taken.
    async fn silent() -> Self {
        let fake = FakeDirectory::default();
        fake.set_version("homepage.test", 10);
        let shutdown = Shutdown::new();
        let settings = MeshSettings::with_key(MeshKey::random());
        let directory = Directory::new(MeshChannel::local(fake.routes(), "test", &settings), &shutdown);
        let mut house = Self { changes: directory.changes(), fake, directory, _shutdown: shutdown };
        house.fake.watched().await;
        assert_eq!(house.told().await, DirectoryEvent::Reset);
        house
    }

    async fn fresh() -> Self {
        let house = Self::silent().await;
        house.beat().await;
        house
    }

    async fn beat(&self) {
        self.fake.tell_beat();
        self.until(|house| house.directory.is_fresh()).await;
    }

    async fn told(&mut self) -> DirectoryEvent {
        tokio::time::timeout(Duration::from_secs(10), self.changes.recv())
            .await
            .expect("in time")
            .expect("told")
    }

    async fn until(&self, condition: impl Fn(&Self) -> bool) {
        tokio::time::timeout(Duration::from_secs(10), async {
            while !condition(self) {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("in time");
    }

    /// Asks, and holds that this took so many questions. A measurement that a slow machine spoilt (the beat grew old
    /// meanwhile, so that nothing kept was used) is made again.
    async fn asks(&self, expected: usize, ask: impl AsyncFn(&Directory)) {
        loop {
            let was_fresh = self.directory.is_fresh();
            let before = self.fake.asked();
            ask(&self.directory).await;
            let questions = self.fake.asked() - before;
            if questions == expected {
                return;
            }
            let spoilt = !was_fresh || !self.directory.is_fresh();
            assert!(expected == 0 && spoilt, "{questions}, not {expected}");
            self.beat().await;
        }
    }

    async fn asks_for(&self, expected: usize, text: &str) {
        self.asks(expected, async |directory| {
            let resolution = directory.resolve(&address(text)).await.expect("answer");
            assert_eq!(resolution.address, text);
        })
        .await;
    }
}

fn address(text: &str) -> EmailAddress {
    text.parse().expect("address")
}

#[tokio::test]
async fn an_answer_is_asked_once_and_dropped_by_a_newer_version_of_its_domain_only() {
    let mut house = House::fresh().await;
    house.asks_for(1, "user@homepage.test").await;
    house.asks_for(0, "user@homepage.test").await;
    house.fake.tell_change("other.test", 99);
    house.told().await;
    house.asks_for(0, "user@homepage.test").await;

    house.fake.set_version("homepage.test", 11);
    house.fake.tell_change("homepage.test", 11);
    let expected = DirectoryEvent::Change {
        domain: "homepage.test".to_owned(),
        version: 11,
        revoked_mailbox_ids: vec![11],
    };
    assert_eq!(house.told().await, expected);
    house.asks_for(1, "user@homepage.test").await;
    house.asks_for(0, "user@homepage.test").await;
}

#[tokio::test]
async fn one_address_in_two_spellings_is_one_question() {
    let house = House::fresh().await;
    house.directory.resolve(&address("User@Homepage.TEST")).await.expect("answer");
    house.asks_for(0, "user@homepage.test").await;
}

#[tokio::test]
async fn before_the_first_beat_answers_are_given_and_not_used_again() {
    let house = House::silent().await;
    assert!(!house.directory.is_fresh());
    house.asks_for(1, "user@homepage.test").await;
    house.asks_for(1, "user@homepage.test").await;
}

#[tokio::test]
async fn a_change_that_overtakes_an_answer_leaves_nothing_old_behind() {
    let mut house = House::fresh().await;
    // The question reads version 10 and waits; version 11 is told; then the old answer comes.
    house.fake.gate.forget_permits(tokio::sync::Semaphore::MAX_PERMITS);
    let asking = {
        let directory = house.directory.clone();
        tokio::spawn(async move { directory.resolve(&address("user@homepage.test")).await })
    };
    house.fake.at_gate.acquire().await.expect("gate").forget();
    house.fake.set_version("homepage.test", 11);
    house.fake.tell_change("homepage.test", 11);
    house.told().await;
    house.fake.gate.add_permits(1000);
    assert_eq!(asking.await.expect("task").expect("answer").domain_version, 10);

    house.beat().await;
    house.asks_for(1, "user@homepage.test").await;
    house.asks_for(0, "user@homepage.test").await;
}

#[tokio::test]
async fn a_reset_that_overtakes_an_answer_leaves_nothing_old_behind() {
    let mut house = House::fresh().await;
    house.fake.gate.forget_permits(tokio::sync::Semaphore::MAX_PERMITS);
    let asking = {
        let directory = house.directory.clone();
        tokio::spawn(async move { directory.mailbox(5).await })
    };
    house.fake.at_gate.acquire().await.expect("gate").forget();
    house.fake.tell(Event::Reset(Reset {}));
    assert_eq!(house.told().await, DirectoryEvent::Reset);
    house.fake.gate.add_permits(1000);
    asking.await.expect("task").expect("answer");

    house.beat().await;
    house.asks(1, async |directory| assert!(directory.mailbox(5).await.expect("answer").is_some())).await;
}

#[tokio::test]
async fn a_reset_and_the_end_of_the_stream_forget_everything() {
    let mut house = House::fresh().await;
    house.asks_for(1, "user@homepage.test").await;
    house.fake.tell(Event::Reset(Reset {}));
    assert_eq!(house.told().await, DirectoryEvent::Reset);
    assert!(!house.directory.is_fresh());
    house.beat().await;
    house.asks_for(1, "user@homepage.test").await;
    house.asks_for(0, "user@homepage.test").await;

    house.fake.tell(Event::Beat(Beat { version: -1 }));
    assert_eq!(house.told().await, DirectoryEvent::Reset, "the new stream begins with it");
    house.beat().await;
    house.asks_for(1, "user@homepage.test").await;
}

#[tokio::test]
async fn a_domain_that_is_not_hosted_is_kept_until_it_comes_and_again_when_it_goes() {
    let mut house = House::fresh().await;
    house.asks_for(1, "a@new.test").await;
    house.asks_for(0, "a@new.test").await;
    // Nobody there is asked for: all of the world's addresses are alike.
    house.asks_for(0, "b@new.test").await;
    let name = "new.test".parse().expect("name");
    assert_eq!(house.directory.domain(&name).await.expect("answer"), None);

    house.fake.set_version("new.test", 3);
    house.fake.tell_change("new.test", 3);
    house.told().await;
    house.asks_for(1, "a@new.test").await;
    assert_eq!(house.directory.domain(&name).await.expect("answer").expect("hosted").domain_version, 3);

    house.fake.set_version("new.test", 0);
    house.fake.tell_change("new.test", 4);
    house.told().await;
    house.asks_for(1, "a@new.test").await;
    house.asks_for(0, "b@new.test").await;
    assert_eq!(house.directory.domain(&name).await.expect("answer"), None);
}

#[tokio::test]
async fn many_are_asked_in_one_question_and_only_those_that_are_not_kept() {
    let house = House::fresh().await;
    house.asks_for(1, "b@homepage.test").await;
    let addresses: Vec<_> = ["a@homepage.test", "b@homepage.test", "c@far.test"].map(address).into();
    let all = async |directory: &Directory| {
        let found = directory.resolve_all(&addresses).await.expect("answers");
        let names: Vec<_> = found.iter().map(|resolution| resolution.address.as_str()).collect();
        assert_eq!(names, ["a@homepage.test", "b@homepage.test", "c@far.test"]);
    };
    house.asks(1, all).await;
    house.asks(0, all).await;
    assert!(house.directory.resolve_all(&[]).await.expect("answers").is_empty());
}

#[tokio::test]
async fn more_than_a_thousand_are_asked_in_turns() {
    let house = House::fresh().await;
    let addresses: Vec<_> = (0..2500).map(|n| address(&format!("u{n}@homepage.test"))).collect();
    let found = house.directory.resolve_all(&addresses).await.expect("answers");
    assert_eq!(house.fake.asked(), 3);
    assert!(found.iter().zip(&addresses).all(|(found, asked)| found.address == asked.to_string()));
}

#[tokio::test]
async fn unknown_addresses_are_kept_by_domain_unknown_customers_are_asked_anew() {
    let mut house = House::fresh().await;
    let nobody = async |directory: &Directory| {
        assert_eq!(directory.login("nobody@homepage.test").await.expect("answer"), None);
    };
    let unknown = async |directory: &Directory| {
        assert_eq!(directory.login("nobody").await.expect("answer"), None);
    };
    let known = async |directory: &Directory| {
        assert!(directory.login("homepage").await.expect("answer").is_some());
    };
    house.asks(1, nobody).await;
    house.asks(0, nobody).await;
    house.asks(1, unknown).await;
    house.asks(1, unknown).await;
    house.asks(1, known).await;
    house.asks(0, known).await;

    house.fake.set_version("homepage.test", 11);
    house.fake.tell_change("homepage.test", 11);
    house.told().await;
    house.asks(1, nobody).await;
    house.asks(1, known).await;
}

#[tokio::test]
async fn a_mailbox_that_never_was_is_asked_anew() {
    let house = House::fresh().await;
    let nothing = async |directory: &Directory| {
        assert_eq!(directory.mailbox(-1).await.expect("answer"), None);
    };
    house.asks(1, nothing).await;
    house.asks(1, nothing).await;
    let five = async |directory: &Directory| {
        assert!(directory.mailbox(5).await.expect("answer").is_some());
    };
    house.asks(1, five).await;
    house.asks(0, five).await;
}
