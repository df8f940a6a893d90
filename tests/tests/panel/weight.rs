//! Pages stay light and quick in a domain with a thousand boxes and ten people looking at it.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use postern_proto::account::v1::{CreateMailboxRequest, NewPassword, new_password::Secret};
use postern_tests::{admin::PASSWORD, web::Web};

use crate::house::House;

const BOXES: usize = 1000;
const PEOPLE: usize = 10;
const LOOKS: usize = 15;
/// Octets of a page at most.
const PAGE_MAX_BYTES: usize = 100 * 1024;
/// How much longer than an empty page one may take that asks all services.
const RATIO_MAX: f64 = 20.0;
/// A page that asks for nothing but the session.
const EMPTY: &str = "/controlpanel/preferences";
/// A ready hash, so that a thousand boxes cost no thousand hashes. Nobody knows its password.
const PHC: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_light_and_quick_with_a_thousand_boxes() -> anyhow::Result<()> {
    let house = House::start().await?;
    for number in 0..BOXES {
        let request = CreateMailboxRequest {
            address: format!("box{number:04}@homepage.test"),
            password: Some(NewPassword { secret: Some(Secret::Phc(PHC.to_owned())) }),
            display_name: format!("Box number {number}"),
            ..Default::default()
        };
        house.admin.mailboxes().create_mailbox(request).await?;
    }
    let mut people = Vec::new();
    for _ in 0..PEOPLE {
        let mut web = Web::new(house.platform.panel());
        web.sign_in("homepage", PASSWORD).await?;
        people.push(web);
    }
    for page in
        ["home", "pop-accounts", "pop-accounts/box/box0500@homepage.test", "forwards", "activity", "mail"]
    {
        let [plain, took] = look(&people, [EMPTY, &format!("/controlpanel/homepage.test/{page}")]).await?;
        println!("{page}: p95 {took:?}, of an empty page {plain:?}");
        let ratio = took.as_secs_f64() / plain.as_secs_f64();
        assert!(ratio < RATIO_MAX, "{page}: {ratio:.1} times as long as an empty page");
    }
    Ok(())
}

/// What 95 of 100 looks at each page take at most. Both are looked at in turns, so that whatever else the machine does falls on both.
async fn look(people: &[Web], pages: [&str; 2]) -> anyhow::Result<[Duration; 2]> {
    let looks = people.iter().map(async |web| {
        let mut web = web.clone();
        let mut took = [Vec::new(), Vec::new()];
        for _ in 0..LOOKS {
            for (page, took) in pages.iter().zip(&mut took) {
                let begin = Instant::now();
                let answer = web.get(page).await?;
                took.push(begin.elapsed());
                anyhow::ensure!(answer.status == 200, "{page}: {}", answer.status);
                anyhow::ensure!(answer.body.len() < PAGE_MAX_BYTES, "{page}: {} octets", answer.body.len());
            }
        }
        anyhow::Ok(took)
    });
    let all = try_join_all(looks).await?;
    Ok([0, 1].map(|page| {
        let mut took: Vec<Duration> = all.iter().flat_map(|of_one| &of_one[page]).copied().collect();
        took.sort_unstable();
        took[took.len() * 95 / 100]
    }))
}
