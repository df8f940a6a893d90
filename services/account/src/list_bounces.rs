//! Members whose copies bounce: after five in a row a probe is sent to them, and if that bounces too they are suspended, so
//! that forged bounces alone cost a member one letter and nothing else.

use postern_mail::EmailAddress;
use postern_mesh::{audit::Action, identity::Caller};
use postern_proto::account::v1::{AddListMembersRequest, ListProbe, ReportListCopiesRequest};

use crate::{
    Account,
    error::{AccountError, Doing as _},
    list_changes::{hashed, new_token},
    list_members::deed,
    store::{Tx, list_bounces, lists, versions},
};

/// Bounces in a row after which a probe is sent.
const BOUNCES_MAX: i32 = 5;
/// 80 bits: nobody tries them all.
const PROBE_TOKEN_CHARS: usize = 16;

impl Account {
    /// Takes in how copies fared, and says whom to probe. A list that is gone has nobody.
    pub(crate) async fn report_list_copies(
        &self,
        caller: &Caller,
        report: &ReportListCopiesRequest,
    ) -> Result<Vec<ListProbe>, AccountError> {
        let mut tx = self.store.begin(caller).await?;
        let Some(list) = lists::find_id_in(&mut tx, report.list_id).await? else { return Ok(Vec::new()) };
        let delivered: Vec<_> = report.delivered.iter().filter_map(|member| canonical(member)).collect();
        list_bounces::note_delivered(&mut tx, list.list_id, &delivered).await?;
        let bounced = bounced(&mut tx, list.list_id, &report.bounced).await?;
        let mut probes = Vec::new();
        for member in list_bounces::count(&mut tx, list.list_id, &bounced, BOUNCES_MAX).await? {
            // It stands in an address, of which 64 octets are before the @.
            let mut token = new_token();
            token.truncate(PROBE_TOKEN_CHARS);
            list_bounces::note_probe(&mut tx, list.list_id, &member, &hashed(&token)).await?;
            probes.push(ListProbe { member, token });
        }
        let tokens: Vec<_> =
            report.bounced_probes.iter().map(|token| hashed(&token.to_ascii_lowercase())).collect();
        if !tokens.is_empty() {
            let stored = || AccountError::Stored("a stored address is no address");
            let address: EmailAddress = list.address.parse().map_err(|_| stored())?;
            let change = versions::enter(&mut tx, address.domain()).await?;
            let suspended = list_bounces::suspend(&mut tx, list.list_id, &tokens).await?;
            if !suspended.is_empty() {
                tracing::info!(list = list.address, ?suspended, "members get no posts any more, they bounce");
                let before = AddListMembersRequest {
                    list: list.address.clone(),
                    addresses: suspended,
                    ..AddListMembersRequest::default()
                };
                deed(&change, &list.address, Action::Suspend).removed(&mut tx, &before).await?;
                change.announce(&mut tx, &[]).await?;
            }
        }
        tx.commit().await.doing("commit how the copies of a mailing list fared")?;
        Ok(probes)
    }
}

/// Who is meant: an address, or the digest of one that did not fit into a sender.
async fn bounced(tx: &mut Tx, list_id: i64, named: &[String]) -> Result<Vec<String>, AccountError> {
    let mut members = Vec::with_capacity(named.len());
    for name in named {
        match name.strip_prefix('h').filter(|digits| !digits.contains('@')) {
            Some(digits) => members.extend(list_bounces::by_digest(tx, list_id, digits).await?),
            None => members.extend(canonical(name)),
        }
    }
    // Locked in one order.
    members.sort_unstable();
    members.dedup();
    Ok(members)
}

fn canonical(text: &str) -> Option<String> {
    text.parse::<EmailAddress>().ok().map(|address| address.canonical().to_string())
}
