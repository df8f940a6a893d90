//! RCPT: where does an address lead, and may mail go there. One question to account for a whole group, one to auth for
//! each recipient that is not here, never kept (PROMISES.md, "The grant").

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use postern_mail::{EmailAddress, Reason, ReversePath};
use postern_mesh::{
    clock::unix_seconds,
    directory::{Place, inbound_recipient},
    failure,
};
use postern_proto::account::v1::Resolution;
use postern_smtp::command::{RcptPath, Refused};

use super::{Asker, Upstream, away};
use crate::session::{Accepted, Login};

/// Questions to auth for one session at once.
const RELAY_QUESTIONS_MAX: usize = 16;

impl Upstream {
    pub(super) async fn recipients(
        &self,
        sender: &ReversePath,
        login: Option<&Login>,
        paths: Vec<RcptPath>,
        counted: bool,
        asker: Asker<'_>,
    ) -> Vec<Result<Accepted, Refused>> {
        let named: Vec<EmailAddress> = paths
            .iter()
            .filter_map(|path| match path {
                RcptPath::Address(address) => Some(address.clone()),
                RcptPath::Postmaster => None,
            })
            .collect();
        let resolutions = match named.as_slice() {
            [] => Ok(Vec::new()),
            [one] => self.directory.resolve(one).await.map(|resolution| vec![resolution]),
            many => self.directory.resolve_all(many).await,
        };
        let inbound = match &resolutions {
            Ok(resolutions) if counted => counted_as(&paths, resolutions),
            _ => vec![None; paths.len()],
        };
        let mut places = match &resolutions {
            Ok(resolutions) => resolutions.iter().map(|resolution| Ok(Place::of(resolution))).collect(),
            Err(status) => {
                away("account", status, asker.session_id, failure::reason_of(status));
                vec![Err(directory_failure(failure::reason_of(status))); named.len()]
            }
        }
        .into_iter();
        let asked = paths.into_iter().map(|path| match path {
            RcptPath::Address(address) => (Some(address), places.next().unwrap_or(Err(Reason::Unavailable))),
            RcptPath::Postmaster => (None, Ok(Place::Here)),
        });
        let mut answers: Vec<Result<Accepted, Refused>> = stream::iter(asked.collect::<Vec<_>>())
            .map(async |(address, place)| match address {
                Some(address) => self.recipient(sender, login, address, place?, asker).await,
                None => self.postmaster(asker).await,
            })
            .buffered(RELAY_QUESTIONS_MAX)
            .collect()
            .await;
        self.limit_inbound(&mut answers, inbound, asker).await;
        answers
    }

    /// Refuses those of the taken recipients that get too much mail; `inbound` says for whom each is counted.
    async fn limit_inbound(
        &self,
        answers: &mut [Result<Accepted, Refused>],
        mut inbound: Vec<Option<String>>,
        asker: Asker<'_>,
    ) {
        for (answer, counted) in answers.iter().zip(&mut inbound) {
            if answer.is_err() {
                *counted = None;
            }
        }
        let taken = self.count_inbound(&inbound, asker.session_id).await;
        for (answer, taken) in answers.iter_mut().zip(taken) {
            if !taken {
                *answer = Err(Reason::InboundLimit.into());
            }
        }
    }

    async fn recipient(
        &self,
        sender: &ReversePath,
        login: Option<&Login>,
        address: EmailAddress,
        place: Place,
        asker: Asker<'_>,
    ) -> Result<Accepted, Refused> {
        match place.refusal() {
            None if !place.needs_relay() => return Ok(Accepted { address, right: None }),
            None => {}
            Some(reason) => return Err(reason.into()),
        }
        match self.check_relay(sender, login, 1, asker).await.map_err(|reason| place.refused_relay(reason)) {
            Ok(right) => Ok(Accepted { address, right: Some(right) }),
            Err(Reason::RelayProhibited) => {
                let refused = self.check_mail_first(Reason::RelayProhibited, sender).await;
                tracing::info!(
                    session_id = asker.session_id,
                    peer = %asker.peer,
                    sender = %sender,
                    recipient = %address,
                    "relay refused"
                );
                Err(refused)
            }
            Err(Reason::BudgetExhausted) => {
                let detail = Reason::budget_frees(unix_seconds().cast_signed());
                Err(Refused { reason: Reason::BudgetExhausted, detail: Some(detail) })
            }
            Err(reason) => Err(reason.into()),
        }
    }

    /// RFC 5321 section 4.5.1. Which address that is, is the platform's setting: none is a mistake of ours, not of the
    /// sender, and so temporary.
    async fn postmaster(&self, asker: Asker<'_>) -> Result<Accepted, Refused> {
        for address in &self.names.postmasters {
            match self.directory.resolve(address).await {
                Ok(resolution) if Place::of(&resolution) == Place::Here => {
                    return Ok(Accepted { address: address.clone(), right: None });
                }
                Ok(resolution) if Place::of(&resolution) == Place::Full => {
                    return Err(Reason::OverQuota.into());
                }
                Ok(_) => {}
                Err(status) => {
                    let reason = failure::reason_of(&status);
                    away("account", &status, asker.session_id, reason);
                    return Err(directory_failure(reason).into());
                }
            }
        }
        tracing::warn!(
            session_id = asker.session_id,
            "mail for <postmaster>, but no postmaster is hosted here: set POSTERN_POSTMASTER"
        );
        Err(Reason::Misconfigured.into())
    }
}

/// For whom each of these recipients is counted; `resolutions` are those of the addresses among them.
fn counted_as(paths: &[RcptPath], resolutions: &[Arc<Resolution>]) -> Vec<Option<String>> {
    let mut resolutions = resolutions.iter();
    let one = |path: &RcptPath| match path {
        RcptPath::Address(address) => inbound_recipient(address, resolutions.next()?),
        RcptPath::Postmaster => None,
    };
    paths.iter().map(one).collect()
}

/// The directory says "unknown" as an answer; its errors are never permanent (S-17).
fn directory_failure(reason: Reason) -> Reason {
    match reason {
        Reason::Misconfigured | Reason::Overloaded => reason,
        _ => Reason::Unavailable,
    }
}
