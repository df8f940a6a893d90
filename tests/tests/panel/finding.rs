//! In long lists people find what they look for, and no page shows or asks for all of it.

use postern_proto::account::v1::{CreateMailboxRequest, MailingList, NewPassword, new_password::Secret};
use postern_tests::{
    admin::{Admin, PASSWORD},
    web::Web,
};

use crate::house::House;

const BASE: &str = "/controlpanel/homepage.test";
/// More than any page of a list shows.
const MANY: usize = 105;
/// A ready hash: nobody logs in.
const PHC: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

async fn fill(admin: &Admin) -> anyhow::Result<()> {
    let many = || (0..MANY).map(|n| format!("a{n:03}@homepage.test")).chain(["zoe@homepage.test".to_owned()]);
    for address in many() {
        let password = Some(NewPassword { secret: Some(Secret::Phc(PHC.to_owned())) });
        let request = CreateMailboxRequest { address: address.clone(), password, ..Default::default() };
        admin.mailboxes().create_mailbox(request).await?;
        admin.forward(&format!("to-{address}"), &["out@outside.test"], false).await?;
        admin.autoresponder(&format!("on-{address}"), "Away", "Back on Monday").await?;
        let list = MailingList { address: format!("l-{address}"), ..MailingList::default() };
        admin.mailing_list(list, &[]).await?;
    }
    let list = MailingList { address: "big@homepage.test".to_owned(), ..MailingList::default() };
    admin.mailing_list(list, &many().collect::<Vec<_>>()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_searched_by_what_its_names_begin_with() -> anyhow::Result<()> {
    let house = House::start().await?;
    fill(&house.admin).await?;
    let mut web = Web::new(house.platform.panel());
    web.sign_in("homepage", PASSWORD).await?;
    // The list, what is looked for, and an address that is found.
    let lists = [
        ("pop-accounts", "Zo", "zoe"),
        ("set-up", "zoe%40home", "zoe"),
        ("forwards", "to-z", "to-zoe"),
        ("autoresponders", "on-z", "on-zoe"),
        ("mailing-lists", "l-z", "l-zoe"),
        ("mailing-lists/of/big@homepage.test", "zo", "zoe"),
    ];
    let shown = |name: &str| format!("<span class=\"address\">{name}<wbr>@homepage.test</span>");
    for (page, prefix, name) in lists {
        let page = format!("{BASE}/{page}");
        let first = web.get(&page).await?;
        assert!(
            first.status == 200 && !first.body.contains(&shown(name)),
            "{page}: it is not on the first page"
        );
        assert!(first.body.contains("role=\"search\""), "{page}: {}", first.body);
        let found = web.get(&format!("{page}?find={prefix}")).await?;
        let first_name = name.replace("zoe", "a000");
        assert!(
            first.body.contains(&shown(&first_name)) && !found.body.contains(&shown(&first_name)),
            "{page}"
        );
        assert!(found.status == 200 && found.body.contains(&shown(name)), "{page}: {}", found.body);
        let nothing = web.get(&format!("{page}?find=qqq")).await?;
        assert!(nothing.body.contains("Nothing here begins with “qqq”."), "{page}: {}", nothing.body);
        // What is looked for stays on the next page.
        let all = web.get(&format!("{page}?find={}", &name[..name.len() - 3])).await?;
        let next =
            all.body.split("href=\"").find(|rest| rest.contains("page=") && rest.contains("Next page"));
        if name.len() > 3 {
            let next = next.unwrap_or_default().split('"').next().unwrap_or_default().replace("&amp;", "&");
            assert!(next.starts_with(&format!("{page}?find=")), "{page}: {next}");
            assert_eq!(web.get(&next).await?.status, 200, "{next}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_many_domains_finds_one_and_is_not_shown_all() -> anyhow::Result<()> {
    let house = House::start().await?;
    for n in 0..70 {
        house.admin.another_domain("homepage", &format!("d{n:02}.test"), true).await?;
    }
    let mut web = Web::new(house.platform.panel());
    web.sign_in("homepage", PASSWORD).await?;
    let domains = |body: &str| body.matches("/home\"").count();
    for front in ["/controlpanel", "/controlpanel/domains"] {
        let all = web.get(front).await?;
        assert_eq!((all.status, domains(&all.body)), (200, 60), "{front}");
    }
    let found = web.get("/controlpanel/domains?find=HOME").await?;
    assert!(domains(&found.body) == 1 && found.body.contains("/controlpanel/homepage.test/home"));
    // The page of a domain that is far down the list offers some others, and the way to all.
    let page = web.get("/controlpanel/homepage.test/home").await?;
    assert_eq!(page.status, 200);
    assert!(domains(&page.body) < 40, "{}", domains(&page.body));
    assert!(page.body.contains("href=\"/controlpanel/domains\""), "{}", page.body);
    // Whoever comes by the host of one domain begins there, and has a way to the others.
    let mut there = Web::new(house.platform.panel()).at_host("mail.d42.test");
    there.sign_in("homepage", PASSWORD).await?;
    assert_eq!(there.get("/controlpanel").await?.location, "/controlpanel/d42.test/home");
    assert_eq!(domains(&there.get("/controlpanel/domains").await?.body), 60);
    // A domain of somebody else is none of the own.
    let mut there = Web::new(house.platform.panel()).at_host("mail.rival.test");
    there.sign_in("homepage", PASSWORD).await?;
    assert_eq!(there.get("/controlpanel").await?.status, 200);
    assert_eq!(there.get("/controlpanel/rival.test/home").await?.status, 404);

    // Staff find customers and domains; a row names a few domains, and how many more there are.
    let mut staff = Web::new(house.platform.panel());
    staff.sign_in_with_token(house.platform.operator_token()).await?;
    let customers = staff.get("/controlpanel/operator/customers?find=Homep").await?.body;
    assert!(customers.contains("d00.test") && !customers.contains("d60.test"), "{customers}");
    assert!(customers.contains("and 66 more") && !customers.contains("rival"), "{customers}");
    let found = staff.get("/controlpanel/operator/domains?find=d6").await?.body;
    assert!(found.contains("d60.test") && !found.contains("d50.test"), "{found}");
    Ok(())
}
