//! Every desk has a guide in every language.

use std::collections::HashSet;

use axum::http::Request;

use super::*;
use crate::{
    listener::Peer,
    tests::{HERE, panel},
    texts::Language,
    visit::Door,
};

#[test]
fn every_desk_has_a_name_and_a_guide() {
    let names: HashSet<_> = ALL.iter().map(|desk| desk.name).collect();
    assert_eq!(names.len(), ALL.len());
    let panel = panel();
    for language in Language::ALL {
        let request = Request::get(OPERATOR).header("accept-language", language.tag());
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        let visit = Visit::begin(&panel, Door { secure: false }, Peer::direct(HERE), &parts);
        for desk in ALL {
            let guide = (desk.guide)(&visit).into_string();
            assert!(guide.contains("<dd>") && guide.len() > 200, "{} ({language:?}): {guide}", desk.name);
        }
    }
}
