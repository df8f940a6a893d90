//! Every menu has a guide that speaks of the domain where the reader is, in every language, and a file that can be read at once.

use std::{collections::HashSet, fs, path::Path};

use axum::http::Request;
use postern_mesh::identity::Caller;

use super::*;
use crate::{
    call::Calls,
    listener::Peer,
    session::SessionToken,
    tests::{HERE, panel},
    texts::Language,
    visit::Door,
};

fn place(domain: &str, language: Language) -> Place {
    place_at(Domain { name: domain.to_owned(), ..Domain::default() }, language)
}

fn place_at(domain: Domain, language: Language) -> Place {
    let panel = panel();
    let request = Request::get("/controlpanel").header("accept-language", language.tag());
    let (parts, ()) = request.body(()).expect("a request").into_parts();
    let person = Person {
        caller: Caller::customer("homepage", "homepage"),
        calls: Calls::new(&panel.upstreams, "none"),
        token: SessionToken::new("pss_x".to_owned()),
    };
    let visit = Visit::begin(&panel, Door { secure: false }, Peer::direct(HERE), &parts);
    let visit = Visit { person: Some(person.clone()), ..visit };
    Place::at(Arc::new(visit), person, domain)
}

#[test]
fn every_menu_has_a_guide_with_the_values_of_the_domain() {
    for menu in ALL {
        for language in Language::ALL {
            let guide = (menu.guide)(&place("homepage.test", language)).into_string();
            assert!(
                guide.contains("homepage.test"),
                "{} ({language:?}) says nothing of the domain",
                menu.name
            );
            assert!(
                guide.contains("<dd>") && guide.len() > 300,
                "{} ({language:?}) explains too little",
                menu.name
            );
            let other = (menu.guide)(&place("rival.test", language)).into_string();
            assert!(!other.contains("homepage") && other.contains("rival.test"), "{}", menu.name);
        }
    }
}

#[test]
fn guides_tell_what_lets_programs_of_the_domain_send() {
    let domain = || Domain { name: "homepage.test".to_owned(), ..Domain::default() };
    for (domain, told, untold) in [
        (domain(), "30 minutes", "not enough"),
        (Domain { grant_ttl_seconds: Some(600), ..domain() }, "10 minutes", "30 minutes"),
        (Domain { grant_ttl_seconds: Some(330), ..domain() }, "330 seconds", "30 minutes"),
        (Domain { auth_only: true, grant_ttl_seconds: Some(600), ..domain() }, "not enough", "minutes for"),
    ] {
        let place = place_at(domain, Language::English);
        for menu in [&pop_accounts::MENU, &trouble::MENU] {
            let guide = (menu.guide)(&place).into_string();
            assert!(guide.contains(told) && !guide.contains(untold), "{}: {told}: {guide}", menu.name);
        }
    }
}

#[test]
fn menus_have_names_of_their_own_and_are_hidden_where_they_have_nothing() {
    let names: HashSet<_> = ALL.iter().map(|menu| menu.name).collect();
    assert_eq!(names.len(), ALL.len());
    let second = Domain { name: "b.test".to_owned(), alias_of: "a.test".to_owned(), ..Domain::default() };
    let to = instead(&second, "/controlpanel/b.test/forwards/new");
    assert_eq!(to.as_deref(), Some("/controlpanel/b.test/domain"));
    assert_eq!(instead(&second, "/controlpanel/b.test/domain/verify"), None);
    let own = Domain { name: "a.test".to_owned(), ..Domain::default() };
    assert_eq!(instead(&own, "/controlpanel/a.test/forwards"), None);
}

#[test]
fn every_call_that_a_page_asks_about_is_there() {
    fn calls(folder: &Path, found: &mut HashSet<String>) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            if entry.path().is_dir() {
                calls(&entry.path(), found);
            } else {
                let text = fs::read_to_string(entry.path()).expect("a source");
                let quoted =
                    text.split('"').filter(|text| text.contains(".v1.") && text.contains("Service/"));
                found.extend(quoted.map(str::to_owned));
            }
        }
    }
    let mut found = HashSet::new();
    calls(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/menus"), &mut found);
    assert!(found.len() > 10, "{found:?}");
    let owner = place("homepage.test", Language::English).person;
    for call in found {
        assert!(owner.may(&call), "{call}: no such call, or nothing that an owner may");
    }
    let support = Person { caller: Caller::new("support", Role::Support), ..owner };
    assert!(support.may("account.v1.ForwardService/GetForward"));
    assert!(!support.may("account.v1.ForwardService/CreateForward"));
}

#[test]
fn no_file_of_a_menu_is_longer_than_one_can_read() {
    fn check(folder: &Path) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            if entry.path().is_dir() {
                check(&entry.path());
            } else {
                let text = fs::read_to_string(entry.path()).expect("a source");
                assert!(text.lines().count() <= 400, "{}", entry.path().display());
            }
        }
    }
    check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/menus"));
}
