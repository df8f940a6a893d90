//! What evidence proves: the state that a domain goes to, or the customer that it goes to. Pure.

use postern_proto::account::v1::DomainState;

use super::Evidence;
use crate::store::{
    checks::{Grace, Standing},
    claims::Claim,
};

/// What is to be done about a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing is proven, or nothing new.
    Stay,
    /// It points here, so what was running out runs no more.
    EndGrace,
    /// It no longer points here: it has so much time.
    BeginGrace,
    /// Into this state.
    Become(DomainState),
    /// To the customer who proved the waiting claim with this id.
    HandOver(i64),
}

/// Decides for a domain that stands like this. `claims`: of everybody, in the order in which they were made.
pub(super) fn decide(standing: Standing, claims: &[Claim], evidence: &Evidence) -> Step {
    if let Some(winner) = winner(standing.customer_id, claims, evidence) {
        return Step::HandOver(winner.claim_id);
    }
    match (standing.state, evidence.delegated) {
        (_, None) => Step::Stay,
        (DomainState::Live, Some(true))
            if standing.grace == Grace::NotNeeded && !standing.live_without_dns =>
        {
            Step::Stay
        }
        (DomainState::Live, Some(true)) => Step::EndGrace,
        // The operator's word holds until DNS has pointed here once.
        (DomainState::Live, Some(false)) if standing.live_without_dns => Step::Stay,
        (DomainState::Live, Some(false)) => match standing.grace {
            Grace::NotNeeded => Step::BeginGrace,
            Grace::Running => Step::Stay,
            Grace::Over => Step::Become(DomainState::Lost),
        },
        (_, Some(true)) if is_proven(standing.customer_id, claims, evidence) => {
            Step::Become(DomainState::Live)
        }
        (_, Some(_)) => Step::Stay,
    }
}

/// Who waits and has proven the claim while the holder has not. DNS may show both for a while: then nothing moves.
fn winner<'c>(holder: i64, claims: &'c [Claim], evidence: &Evidence) -> Option<&'c Claim> {
    let proofs = evidence.proofs.as_deref()?;
    if claims.iter().any(|claim| claim.customer_id == holder && shows(proofs, claim)) {
        return None;
    }
    claims.iter().find(|claim| claim.waiting && shows(proofs, claim))
}

/// With others who want the domain, or had it, the TXT record alone says whose it is; else its leading here does.
fn is_proven(holder: i64, claims: &[Claim], evidence: &Evidence) -> bool {
    let is_contested = claims.iter().any(|claim| claim.customer_id != holder);
    !is_contested
        || evidence.proofs.as_deref().is_some_and(|proofs| {
            claims.iter().any(|claim| claim.customer_id == holder && shows(proofs, claim))
        })
}

fn shows(proofs: &[String], claim: &Claim) -> bool {
    proofs.iter().any(|proof| proof.strip_prefix("postern-claim=") == Some(claim.token.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLDER: i64 = 1;

    fn standing(state: DomainState, grace: Grace, live_without_dns: bool) -> Standing {
        Standing { customer_id: HOLDER, state, live_without_dns, grace }
    }

    fn claim(customer_id: i64, waiting: bool) -> Claim {
        let token = format!("t{customer_id}");
        Claim { claim_id: customer_id * 10, customer_id, token, waiting, alias_of: None }
    }

    fn evidence(delegated: Option<bool>, proofs: Option<&[&str]>) -> Evidence {
        let proofs =
            proofs.map(|proofs| proofs.iter().map(|proof| format!("postern-claim={proof}")).collect());
        Evidence { delegated, proofs }
    }

    #[test]
    fn one_claim_goes_by_where_the_domain_leads() {
        use DomainState::{Live, Lost, Pending};
        use Grace::{NotNeeded, Over, Running};
        let alone = [claim(HOLDER, false)];
        for (state, grace, without_dns, delegated, step) in [
            (Pending, NotNeeded, false, Some(true), Step::Become(Live)),
            (Pending, NotNeeded, false, Some(false), Step::Stay),
            (Pending, NotNeeded, false, None, Step::Stay),
            (Live, NotNeeded, false, Some(true), Step::Stay),
            (Live, NotNeeded, false, Some(false), Step::BeginGrace),
            (Live, NotNeeded, false, None, Step::Stay),
            (Live, Running, false, Some(true), Step::EndGrace),
            (Live, Running, false, Some(false), Step::Stay),
            (Live, Over, false, Some(false), Step::Become(Lost)),
            (Live, Over, false, None, Step::Stay),
            (Live, Over, false, Some(true), Step::EndGrace),
            (Lost, NotNeeded, false, Some(true), Step::Become(Live)),
            (Lost, NotNeeded, false, Some(false), Step::Stay),
            (Live, NotNeeded, true, Some(false), Step::Stay),
            (Live, NotNeeded, true, None, Step::Stay),
            (Live, NotNeeded, true, Some(true), Step::EndGrace),
        ] {
            let standing = standing(state, grace, without_dns);
            let proofs = [None, Some(&[][..])];
            for proofs in proofs {
                let got = decide(standing, &alone, &evidence(delegated, proofs));
                assert_eq!(got, step, "{standing:?} {delegated:?}");
            }
        }
    }

    #[test]
    fn with_two_claims_or_a_former_owner_the_record_decides() {
        use DomainState::{Live, Pending};
        let waits = [claim(HOLDER, false), claim(2, true), claim(3, true)];
        let former = [claim(HOLDER, false), claim(2, false)];
        let pending = standing(Pending, Grace::NotNeeded, false);
        let live = standing(Live, Grace::NotNeeded, false);
        for (standing, claims, delegated, proofs, step) in [
            (pending, &waits[..], Some(true), Some(&[][..]), Step::Stay),
            (pending, &waits, Some(true), None, Step::Stay),
            (pending, &waits, Some(true), Some(&["t1"]), Step::Become(Live)),
            (pending, &waits, Some(false), Some(&["t1"]), Step::Stay),
            (pending, &waits, None, Some(&["t3"]), Step::HandOver(30)),
            (pending, &waits, Some(true), Some(&["t3", "t2"]), Step::HandOver(20)),
            (live, &waits, Some(true), Some(&["t2"]), Step::HandOver(20)),
            // Both at once: the holder keeps it. No record at all: a live domain stays live.
            (live, &waits, Some(true), Some(&["t2", "t1"]), Step::Stay),
            (live, &waits, Some(true), Some(&[]), Step::Stay),
            (pending, &former, Some(true), Some(&[]), Step::Stay),
            (pending, &former, Some(true), Some(&["t1"]), Step::Become(Live)),
            // Who had it and does not ask for it gets nothing.
            (pending, &former, Some(true), Some(&["t2"]), Step::Stay),
        ] {
            let got = decide(standing, claims, &evidence(delegated, proofs));
            assert_eq!(got, step, "{standing:?} {delegated:?} {proofs:?}");
        }
    }
}
