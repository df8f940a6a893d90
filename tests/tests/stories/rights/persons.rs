//! Who calls.

use postern_mesh::identity::{Caller, Scopes};

use super::{house::House, things::Things};

/// Somebody who calls, and what is theirs.
pub(super) struct Person {
    pub(super) name: &'static str,
    /// `None`: without an assertion.
    pub(super) caller: Option<Caller>,
    pub(super) own: Things,
}

/// Everybody who has nothing to do with the rival, or not with all that is its.
pub(super) async fn persons(house: &House) -> anyhow::Result<Vec<Person>> {
    let user = house.admin.get_mailbox("user@homepage.test").await?.mailbox_id;
    let spare: i64 = house.rival.get("spare_id").parse()?;
    let things = |customer: &str, domain: &str, address: &str, id: i64| {
        Things::new(vec![
            ("own_customer", customer.to_owned()),
            ("own_domain", domain.to_owned()),
            ("own_address", address.to_owned()),
            ("own_box_id", id.to_string()),
        ])
    };
    let stranger = || things("homepage", "homepage.test", "user@homepage.test", user);
    let reading = Scopes::parse(&["*:read"])?;
    let token = |customer: &str| Caller { scopes: reading.clone(), ..Caller::customer("token", customer) };
    Ok(vec![
        Person { name: "nobody", caller: None, own: stranger() },
        Person {
            name: "another customer",
            caller: Some(Caller::customer("homepage", "homepage")),
            own: stranger(),
        },
        Person { name: "its reading token", caller: Some(token("homepage")), own: stranger() },
        Person {
            name: "its mailbox user",
            caller: Some(Caller::mailbox("user@homepage.test", "homepage", user)),
            own: stranger(),
        },
        Person {
            name: "another user of the same customer",
            caller: Some(Caller::mailbox("spare@rival.test", "rival", spare)),
            own: things("rival", "rival.test", "spare@rival.test", spare),
        },
        Person {
            name: "a customer that is gone",
            caller: Some(Caller::customer("gone", "gone")),
            own: stranger(),
        },
    ])
}
