//! Whose queue rows are: by the address of ours that brings them about.

use std::collections::HashMap;

use postern_mail::DomainName;
use postern_mesh::directory::Directory;

use crate::{accept::NewQueueRow, trace};

/// Names the customer of each row that a forward, a list or an autoresponder of ours brings about. What the directory cannot tell
/// now stays with the sender of the message.
pub(crate) async fn name(directory: &Directory, rows: &mut [NewQueueRow]) {
    let mut owners: HashMap<DomainName, Option<String>> = HashMap::new();
    for row in rows {
        let ours = if row.class.is_errand() { Some(&row.recipient) } else { row.via.as_ref() };
        let Some(domain) = ours.map(|address| address.domain().clone()) else { continue };
        row.customer = match owners.get(&domain) {
            Some(owner) => owner.clone(),
            None => {
                let owner = trace::owner(directory, &domain).await;
                owners.insert(domain, owner.clone());
                owner
            }
        };
    }
}
